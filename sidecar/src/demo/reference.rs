//! What the log must say: a fold of every acknowledged write, by its revision.

use std::collections::BTreeMap;

use outrigger_client::Revision;

use crate::workload::Change;

/// What one partition must hold. Its offsets are a total order: whichever writer was answered first, the greater offset
/// is the later write.
#[derive(Debug, Default)]
pub(super) struct Reference {
    keys: BTreeMap<Vec<u8>, Last>,
    writes: u64,
    end: u64,
}

/// The last write of a key; where there is no value, it was deleted.
#[derive(Debug)]
struct Last {
    offset: u64,
    value: Option<Vec<u8>>,
}

impl Reference {
    pub(super) fn acknowledge(&mut self, change: Change, revision: Revision) {
        assert_eq!(revision.partition, 0, "the demo's topic has one partition");
        let offset = revision.offset;
        self.writes += 1;
        self.end = self.end.max(offset + 1);
        let last = Last { offset, value: change.value };
        match self.keys.get_mut(&change.key) {
            Some(known) if known.offset > offset => {}
            Some(known) => *known = last,
            None => drop(self.keys.insert(change.key, last)),
        }
    }

    /// Returns the position of a copy that holds all of it.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn writes(&self) -> u64 {
        self.writes
    }

    /// Returns key, value and offset of every key that exists, in order.
    pub(super) fn living(&self) -> impl Iterator<Item = (&[u8], &[u8], u64)> {
        self.keys.iter().filter_map(|(key, last)| {
            last.value.as_deref().map(|value| (key.as_slice(), value, last.offset))
        })
    }

    pub(super) fn rows(&self) -> u64 {
        u64::try_from(self.living().count()).expect("lengths fit 64 bits")
    }

    pub(super) fn deleted(&self) -> u64 {
        u64::try_from(self.keys.len()).expect("lengths fit 64 bits") - self.rows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(reference: &mut Reference, offset: u64, value: Option<&str>) {
        let value = value.map(|value| value.as_bytes().to_vec());
        let change = Change { key: b"k".to_vec(), value };
        reference.acknowledge(change, Revision { partition: 0, offset });
    }

    #[test]
    fn the_greatest_offset_wins_in_whatever_order_answers_come() {
        let mut reference = Reference::default();
        at(&mut reference, 5, Some("new"));
        at(&mut reference, 3, None);
        assert_eq!(reference.living().collect::<Vec<_>>(), [(&b"k"[..], &b"new"[..], 5)]);
        at(&mut reference, 7, None);
        assert_eq!((reference.rows(), reference.deleted(), reference.end()), (0, 1, 8));
        assert_eq!(reference.writes(), 3);
    }
}
