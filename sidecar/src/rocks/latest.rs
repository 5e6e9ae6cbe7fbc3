//! The lineages of a generation as its writer last wrote them, so that no reader has to look them up.
//!
//! RocksDB numbers its writes, and a snapshot knows the number of the last one in it. Only the store's thread writes,
//! and it says after each write which lineages hold since that number: a snapshot of the same number has exactly these.
//! A snapshot that was taken between a write and what is said of it has another number, and looks into itself.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::Partition;

/// Nothing is known of a generation that is not in use: its lineages come with files that are taken in.
#[derive(Default)]
pub(super) struct Latest(ArcSwapOption<Written>);

struct Written {
    sequence: u64,
    /// One for each partition, in order.
    lineages: Vec<Arc<Lineage>>,
}

impl Latest {
    /// The database has these lineages, and its last write has this number.
    pub(super) fn begin(&self, lineages: &[Lineage], sequence: u64) {
        let lineages = lineages.iter().cloned().map(Arc::new).collect();
        self.0.store(Some(Arc::new(Written { sequence, lineages })));
    }

    /// The write of this number has changed one of them. Called by the thread that writes.
    pub(super) fn wrote(&self, partition: Partition, lineage: &Lineage, sequence: u64) {
        let Some(before) = self.0.load_full() else { return };
        let mut lineages = before.lineages.clone();
        lineages[partition.index()] = Arc::new(lineage.clone());
        self.0.store(Some(Arc::new(Written { sequence, lineages })));
    }

    /// The lineages of a snapshot with this number; none when they are not known.
    pub(super) fn of_snapshot(&self, sequence: u64) -> Option<Vec<Lineage>> {
        let written = self.0.load();
        let written = written.as_ref().filter(|written| written.sequence == sequence)?;
        Some(written.lineages.iter().map(|lineage| Lineage::clone(lineage)).collect())
    }
}

#[cfg(test)]
mod tests {
    use outrigger_core::offset::Offset;

    use super::*;

    fn at(position: u64) -> Lineage {
        Lineage { position: Offset(position), ..Lineage::empty(1, 2) }
    }

    #[test]
    fn only_the_snapshot_of_the_last_write_is_known() {
        let latest = Latest::default();
        latest.wrote(Partition(0), &at(1), 1);
        assert_eq!(latest.of_snapshot(1), None, "nothing was said of the other partitions");
        latest.begin(&[at(5), at(7)], 10);
        latest.wrote(Partition(1), &at(8), 12);
        assert_eq!(latest.of_snapshot(10), None);
        assert_eq!(latest.of_snapshot(11), None);
        assert_eq!(latest.of_snapshot(12), Some(vec![at(5), at(8)]));
    }
}
