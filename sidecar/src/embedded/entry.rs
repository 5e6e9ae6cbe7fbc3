//! One entry of the journal, as bytes. Numbers are little-endian.
//!
//! ```text
//! batch      1, partition u32, base u64, last u64, epoch u32, timestamp ms u64,
//!            producer (0 | 1, u64), delete horizon (0 | 1, ms u64), content
//! content    0, count u32, count x (offset u64, key bytes, value bytes) | 1 commit | 2 abort
//! bytes      length u32, bytes; length 2^32 - 1 for none
//! partition  2, partition u32, log start u64, log end u64, cleaned to u64,
//!            count u32, count x (epoch u32, start u64)
//! ```

use bytes::Bytes;
use outrigger_core::offset::{Epoch, Offset, Partition};
use outrigger_model::log::{
    Content, Entry as Record, PartitionState, ProducerId, RecordBatch, Verdict,
};

const BATCH: u8 = 1;
const PARTITION: u8 = 2;
const RECORDS: u8 = 0;
const COMMIT: u8 = 1;
const ABORT: u8 = 2;
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Batch(Partition, RecordBatch),
    /// It comes after the batches of that partition.
    Partition(Partition, PartitionState),
}

pub(super) fn encode_batch(partition: Partition, batch: &RecordBatch, out: &mut Vec<u8>) {
    out.push(BATCH);
    put_u32(out, partition.0);
    put_u64(out, batch.base.0);
    put_u64(out, batch.last.0);
    put_u32(out, batch.epoch.0);
    put_u64(out, batch.timestamp_ms);
    put_optional(out, batch.producer.map(|producer| producer.0));
    put_optional(out, batch.delete_horizon_ms);
    match &batch.content {
        Content::Records(records) => {
            out.push(RECORDS);
            put_len(out, records.len());
            for record in records {
                put_u64(out, record.offset.0);
                put_bytes(out, record.key.as_deref());
                put_bytes(out, record.value.as_deref());
            }
        }
        Content::Marker(Verdict::Commit) => out.push(COMMIT),
        Content::Marker(Verdict::Abort) => out.push(ABORT),
    }
}

pub(super) fn encode_partition(partition: Partition, state: &PartitionState, out: &mut Vec<u8>) {
    out.push(PARTITION);
    put_u32(out, partition.0);
    put_u64(out, state.log_start.0);
    put_u64(out, state.log_end.0);
    put_u64(out, state.cleaned_to.0);
    put_len(out, state.epochs.len());
    for (epoch, start) in &state.epochs {
        put_u32(out, epoch.0);
        put_u64(out, start.0);
    }
}

/// The entries of one frame; none when these bytes are not entries.
pub(super) fn decode_all(mut bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        entries.push(entry(&mut bytes)?);
    }
    Some(entries)
}

fn entry(from: &mut &[u8]) -> Option<Entry> {
    let kind = u8(from)?;
    let partition = Partition(u32(from)?);
    match kind {
        BATCH => Some(Entry::Batch(partition, batch(from)?)),
        PARTITION => Some(Entry::Partition(partition, state(from)?)),
        _ => None,
    }
}

fn batch(from: &mut &[u8]) -> Option<RecordBatch> {
    Some(RecordBatch {
        base: Offset(u64(from)?),
        last: Offset(u64(from)?),
        epoch: Epoch(u32(from)?),
        timestamp_ms: u64(from)?,
        producer: optional(from)?.map(ProducerId),
        delete_horizon_ms: optional(from)?,
        content: content(from)?,
    })
}

fn content(from: &mut &[u8]) -> Option<Content> {
    match u8(from)? {
        RECORDS => many(from, record).map(Content::Records),
        COMMIT => Some(Content::Marker(Verdict::Commit)),
        ABORT => Some(Content::Marker(Verdict::Abort)),
        _ => None,
    }
}

fn record(from: &mut &[u8]) -> Option<Record> {
    Some(Record { offset: Offset(u64(from)?), key: bytes(from)?, value: bytes(from)? })
}

fn state(from: &mut &[u8]) -> Option<PartitionState> {
    Some(PartitionState {
        log_start: Offset(u64(from)?),
        log_end: Offset(u64(from)?),
        cleaned_to: Offset(u64(from)?),
        epochs: many(from, |from| Some((Epoch(u32(from)?), Offset(u64(from)?))))?,
    })
}

fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).ok().filter(|len| *len != NONE);
    put_u32(out, len.expect("a record is below 2^31 bytes, a batch below 2^31 records"));
}

fn put_optional(out: &mut Vec<u8>, number: Option<u64>) {
    out.push(u8::from(number.is_some()));
    if let Some(number) = number {
        put_u64(out, number);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_len(out, bytes.len());
            out.extend_from_slice(bytes);
        }
        None => put_u32(out, NONE),
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}

fn u8(from: &mut &[u8]) -> Option<u8> {
    take::<1>(from).map(|[byte]| byte)
}

fn u32(from: &mut &[u8]) -> Option<u32> {
    take(from).map(u32::from_le_bytes)
}

fn u64(from: &mut &[u8]) -> Option<u64> {
    take(from).map(u64::from_le_bytes)
}

fn optional(from: &mut &[u8]) -> Option<Option<u64>> {
    match u8(from)? {
        0 => Some(None),
        1 => u64(from).map(Some),
        _ => None,
    }
}

fn bytes(from: &mut &[u8]) -> Option<Option<Bytes>> {
    let len = u32(from)?;
    if len == NONE {
        return Some(None);
    }
    let (taken, rest) = from.split_at_checked(usize::try_from(len).ok()?)?;
    *from = rest;
    // It gets its own allocation: a slice would keep all of the journal in memory.
    Some(Some(Bytes::copy_from_slice(taken)))
}

fn many<T>(from: &mut &[u8], one: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = u32(from)?;
    (0..count).map(|_| one(from)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mutation::{mutated, mutations};

    fn entries() -> Vec<Entry> {
        let record = |offset, key: Option<&'static [u8]>, value: Option<&'static [u8]>| Record {
            offset: Offset(offset),
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
        };
        let batch = RecordBatch {
            base: Offset(5),
            last: Offset(9),
            epoch: Epoch(3),
            timestamp_ms: 1_700_000_000_000,
            producer: None,
            delete_horizon_ms: Some(77),
            content: Content::Records(vec![
                record(5, Some(b"k"), Some(b"value")),
                record(7, Some(b""), None),
                record(8, None, Some(b"")),
            ]),
        };
        let marker = |offset, verdict| RecordBatch {
            base: Offset(offset),
            last: Offset(offset),
            producer: Some(ProducerId(12)),
            delete_horizon_ms: None,
            content: Content::Marker(verdict),
            ..batch.clone()
        };
        let state = PartitionState {
            log_start: Offset(1),
            log_end: Offset(12),
            cleaned_to: Offset(4),
            epochs: vec![(Epoch(0), Offset(0)), (Epoch(3), Offset(5))],
        };
        vec![
            Entry::Batch(Partition(2), marker(10, Verdict::Commit)),
            Entry::Batch(Partition(2), marker(11, Verdict::Abort)),
            Entry::Partition(Partition(2), state),
            Entry::Batch(Partition(2), batch),
        ]
    }

    fn encode(entries: &[Entry]) -> Vec<u8> {
        let mut out = Vec::new();
        for entry in entries {
            match entry {
                Entry::Batch(partition, batch) => encode_batch(*partition, batch, &mut out),
                Entry::Partition(partition, state) => encode_partition(*partition, state, &mut out),
            }
        }
        out
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        assert_eq!(decode_all(&encode(&entries())), Some(entries()));
    }

    #[test]
    fn nothing_shorter_or_longer_is_taken_for_a_frame() {
        let bytes = encode(&entries()[3..]);
        for cut in 1..bytes.len() {
            assert_eq!(decode_all(&bytes[..cut]), None, "{cut} bytes of {}", bytes.len());
        }
        let longer = [&bytes[..], &[BATCH]].concat();
        assert_eq!(decode_all(&longer), None);
    }

    proptest! {
        #[test]
        fn what_became_of_entries_are_none_or_are_spelt_so(mutations in mutations()) {
            let bytes = mutated(&encode(&entries()), &mutations);
            if let Some(entries) = decode_all(&bytes) {
                prop_assert_eq!(encode(&entries), bytes);
            }
        }
    }

    /// The bytes of the batch above. There are such on disks: a change here needs a new journal version.
    #[test]
    fn the_bytes_are_what_they_always_were() {
        let hex: String =
            encode(&entries()[3..]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
    }

    const GOLDEN: &str = concat!(
        "01",
        "02000000",
        "0500000000000000",
        "0900000000000000",
        "03000000",
        "0068e5cf8b010000",
        "00",
        "01",
        "4d00000000000000",
        "00",
        "03000000",
        "0500000000000000",
        "01000000",
        "6b",
        "05000000",
        "76616c7565",
        "0700000000000000",
        "00000000",
        "ffffffff",
        "0800000000000000",
        "ffffffff",
        "00000000",
    );
}
