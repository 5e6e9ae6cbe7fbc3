//! The pure part of bulk loading: what a run of batches comes to, sorted.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::batch::{Batch, Record, index};

/// Where a record lies, before it is read: sorting moves these, not records.
struct Place {
    /// The first bytes of the key after the prefix that all keys of the run share, big-endian, padded with zeros.
    /// Most comparisons end here, without touching the key.
    head: u64,
    batch: u32,
    record: u32,
}

/// The newest record of each key in batches of one partition, in log order; by ascending key. Tombstones are
/// among them: an older run may hold the key.
pub fn newest_per_key(batches: &[Arc<Batch>]) -> impl Iterator<Item = Record<'_>> {
    let shared = shared_prefix(batches);
    let mut places = Vec::with_capacity(batches.iter().map(|batch| batch.records().len()).sum());
    for (number, batch) in (0..).zip(batches) {
        let place = |(record, found): (u32, Record)| Place {
            head: head(&found.key[shared..]),
            batch: number,
            record,
        };
        places.extend((0..).zip(batch.records()).map(place));
    }
    let read = |place: &Place| batches[index(place.batch)].record(place.record);
    places.sort_unstable_by(|left, right| {
        let by_key = || read(left).key[shared..].cmp(&read(right).key[shared..]);
        let newest_first =
            || Reverse((left.batch, left.record)).cmp(&Reverse((right.batch, right.record)));
        left.head.cmp(&right.head).then_with(by_key).then_with(newest_first)
    });
    let mut last: Option<(u64, &[u8])> = None;
    places.into_iter().filter_map(move |place| {
        let record = read(&place);
        // Most keys differ in their heads already: no need to wait for the key itself.
        let first = last.is_none_or(|(head, key)| head != place.head || key != record.key);
        last = Some((place.head, record.key));
        first.then_some(record)
    })
}

/// How many bytes all keys have in common at their beginning.
fn shared_prefix(batches: &[Arc<Batch>]) -> usize {
    let mut keys = batches.iter().flat_map(|batch| batch.records()).map(|record| record.key);
    let Some(first) = keys.next() else { return 0 };
    keys.fold(first.len(), |shared, key| {
        let same = first[..shared].iter().zip(key).take_while(|(left, right)| left == right);
        same.count()
    })
}

fn head(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = key.len().min(8);
    bytes[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::batch::BatchBuilder;
    use crate::offset::{Offset, Partition};

    type Written = (Vec<u8>, Option<Vec<u8>>);

    fn batches(written: &[Vec<Written>]) -> Vec<Arc<Batch>> {
        let mut next = Offset(0);
        let batch = |records: &Vec<Written>| {
            let mut builder = BatchBuilder::new(Partition(0), 1, next);
            for (key, value) in records {
                builder.push(next, None, Some(key), value.as_deref());
                next = next.next();
            }
            Arc::new(builder.finish(next))
        };
        written.iter().map(batch).collect()
    }

    fn keys() -> impl Strategy<Value = Vec<u8>> {
        let ends = prop_oneof![
            vec(0_u8..3, 0..4),
            vec(any::<u8>(), 0..12),
            Just(b"same for eight bytes and on".to_vec()),
        ];
        (0..3_usize, ends).prop_map(|(shared, end)| [&b"orders/"[..shared * 3], &end].concat())
    }

    #[test]
    fn keys_are_told_apart_by_what_follows_their_shared_beginning() {
        let written = |keys: &[&[u8]]| {
            let written: Vec<Written> = keys.iter().map(|key| (key.to_vec(), None)).collect();
            shared_prefix(&batches(&[written]))
        };
        assert_eq!(written(&[b"orders/17", b"orders/2", b"orders/17"]), 7);
        assert_eq!(written(&[b"orders/1", b"orders/17"]), 8);
        assert_eq!(written(&[b"orders", b"notes"]), 0);
    }

    #[test]
    fn the_head_of_a_key_is_its_first_eight_bytes_in_their_order() {
        assert_eq!(head(b"12345678 and more"), u64::from_be_bytes(*b"12345678"));
        assert!(head(b"") < head(b"a") && head(b"a") < head(b"ab") && head(b"ab") < head(b"b"));
    }

    proptest! {
        #[test]
        fn it_is_what_writing_one_by_one_would_leave(
            written in vec(vec((keys(), proptest::option::of(vec(any::<u8>(), 0..4))), 0..20), 0..6),
        ) {
            let batches = batches(&written);
            let mut expected = BTreeMap::new();
            for record in batches.iter().flat_map(|batch| batch.records()) {
                expected.insert(record.key, (record.offset, record.value));
            }
            let found: Vec<_> = newest_per_key(&batches)
                .map(|record| (record.key, (record.offset, record.value)))
                .collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
