//! Who a copy descends from, per partition: stored in the same write as the data it speaks of.

use std::time::Duration;

use crate::batch::Batch;
use crate::offset::{Epoch, Offset};

/// Epoch starts kept per partition. More elections than this make old tokens unjudgeable, not wrong.
const EPOCHS_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// Everything below has been read.
    pub position: Offset,
    /// The leader epochs below `position`.
    pub epochs: EpochChain,
    /// The copy is exact iff `position >= exact_from`: a gap was met while the log's cleaner may
    /// have been working up to here, so a record below `position` may be missing from the copy.
    pub exact_from: Offset,
    /// Wall clock, ms: when the log's end was last asked for such that everything below the answer
    /// is in `position`. No tombstone at or after `position` can vanish before this plus
    /// delete.retention.ms (KIP-534).
    pub confirmed_at_ms: u64,
    /// Smallest delete.retention.ms that the topic was seen with since this copy began.
    pub delete_retention_ms_min: u64,
}

impl Lineage {
    /// The start of a new copy: nothing read yet, the log seen at `confirmed_at_ms` (before the first fetch).
    pub fn empty(confirmed_at_ms: u64, delete_retention_ms: u64) -> Lineage {
        Lineage {
            position: Offset::ZERO,
            epochs: EpochChain::default(),
            exact_from: Offset::ZERO,
            confirmed_at_ms,
            delete_retention_ms_min: delete_retention_ms,
        }
    }

    pub fn exact(&self) -> bool {
        self.position >= self.exact_from
    }

    /// How old the confirmation is by the wall clock. One that is from the future by no more than the margin, which
    /// two clocks may differ by, is of now; beyond that the clock went back and proves nothing.
    pub(crate) fn age(&self, wall_ms: u64, margin_ms: u64) -> Option<Duration> {
        let behind = self.confirmed_at_ms.saturating_sub(wall_ms);
        let age = Duration::from_millis(wall_ms.saturating_sub(self.confirmed_at_ms));
        (behind <= margin_ms).then_some(age)
    }

    /// The topic's delete.retention.ms as it is now.
    pub(crate) fn see_retention(&mut self, delete_retention_ms: u64) {
        self.delete_retention_ms_min = self.delete_retention_ms_min.min(delete_retention_ms);
    }

    /// The lineage after `batch`. `gap_counts`: a gap in it may be compaction's.
    #[must_use]
    pub fn after(&self, batch: &Batch, gap_counts: bool) -> Lineage {
        assert_eq!(
            self.position, batch.range.start,
            "a batch continues exactly where the copy ends"
        );
        let mut next = self.clone();
        next.position = batch.range.end;
        for (epoch, offset) in &batch.epochs {
            next.epochs.observe(*epoch, *offset);
        }
        if batch.gap && gap_counts {
            next.exact_from = next.exact_from.max(batch.clean_bound);
        }
        next
    }
}

/// Leader epochs and the first offset seen with each, ascending: the copy's view of the leader
/// epoch cache. Compaction can hide a start, never move it forward, so a start is at or after the real one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochChain {
    starts: Vec<(Epoch, Offset)>,
}

impl EpochChain {
    /// Rebuilds a chain from its stored form.
    ///
    /// `None` when the starts do not ascend: the stored bytes are not a chain.
    pub fn from_starts(starts: Vec<(Epoch, Offset)>) -> Option<EpochChain> {
        let ascending =
            starts.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        (ascending && starts.len() <= EPOCHS_MAX).then_some(EpochChain { starts })
    }

    pub fn starts(&self) -> &[(Epoch, Offset)] {
        &self.starts
    }

    pub fn latest(&self) -> Option<Epoch> {
        self.starts.last().map(|(epoch, _)| *epoch)
    }

    pub fn observe(&mut self, epoch: Epoch, offset: Offset) {
        if self.latest().is_some_and(|latest| latest >= epoch) {
            return;
        }
        if self.starts.len() == EPOCHS_MAX {
            self.starts.remove(0);
        }
        self.starts.push((epoch, offset));
    }

    /// Whether a reader whose last record had `epoch` can have reached `position` in this history.
    /// False is proof of another history; true is not proof of this one.
    pub fn allows(&self, epoch: Epoch, position: Offset) -> bool {
        self.end(epoch).is_none_or(|end| position <= end)
    }

    /// Where `epoch` has ended in this history at the latest; none while no later one was seen.
    pub(crate) fn end(&self, epoch: Epoch) -> Option<Offset> {
        self.starts.iter().find(|(later, _)| *later > epoch).map(|(_, start)| *start)
    }

    /// Everything below was the same in `other`: a leader epoch has one leader, so two histories that have a record
    /// of it have the same records before it.
    pub(crate) fn shared_with(&self, other: &EpochChain) -> Offset {
        let both = self.starts.iter().filter_map(|(epoch, start)| {
            let (_, also) = other.starts.iter().find(|(known, _)| known == epoch)?;
            Some(*start.min(also))
        });
        both.max().unwrap_or(Offset::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;
    use crate::offset::Partition;

    #[test]
    fn a_position_beyond_its_epochs_end_is_another_history() {
        let mut chain = EpochChain::default();
        chain.observe(Epoch(1), Offset(0));
        chain.observe(Epoch(4), Offset(100));
        assert!(chain.allows(Epoch(1), Offset(100)));
        assert!(!chain.allows(Epoch(1), Offset(101)));
        assert!(chain.allows(Epoch(4), Offset(5_000)));
        assert!(chain.allows(Epoch(9), Offset(5_000)));
    }

    #[test]
    fn the_chain_is_bounded_and_forgets_the_oldest() {
        let mut chain = EpochChain::default();
        for epoch in 0_u32..100 {
            chain.observe(Epoch(epoch), Offset(u64::from(epoch) * 10));
        }
        assert_eq!(chain.starts().len(), EPOCHS_MAX);
        assert_eq!(chain.latest(), Some(Epoch(99)));
    }

    #[test]
    fn stored_starts_are_a_chain_only_when_they_ascend_and_are_few() {
        let chain = |starts: &[(u32, u64)]| {
            let starts = starts.iter().map(|(epoch, start)| (Epoch(*epoch), Offset(*start)));
            EpochChain::from_starts(starts.collect())
        };
        let mut observed = EpochChain::default();
        observed.observe(Epoch(1), Offset(10));
        observed.observe(Epoch(3), Offset(10));
        assert_eq!(chain(&[(1, 10), (3, 10)]), Some(observed), "an election without a record");
        assert_eq!(chain(&[(1, 10), (1, 20)]), None, "an epoch has one start");
        assert_eq!(chain(&[(3, 10), (1, 20)]), None);
        assert_eq!(chain(&[(1, 20), (3, 10)]), None);
        let many = |count: u32| (0..count).map(|epoch| (Epoch(epoch), Offset(0))).collect();
        assert!(EpochChain::from_starts(many(32)).is_some());
        assert_eq!(EpochChain::from_starts(many(33)), None, "no longer than one that was observed");
    }

    fn batch(gap: bool) -> Batch {
        let mut builder = BatchBuilder::new(Partition(0), 1, Offset::ZERO);
        builder.push(Offset(u64::from(gap)), Some(Epoch(2)), Some(b"k"), None);
        builder.finish(Offset(9))
    }

    #[test]
    fn a_gap_that_counts_makes_the_copy_inexact_up_to_where_the_cleaner_may_have_been() {
        let start = Lineage::empty(1_000, 2_000);
        assert!(start.exact());
        let holed = start.after(&batch(true), true);
        assert_eq!((holed.position, holed.exact_from), (Offset(2), Offset(9)));
        assert!(!holed.exact());
        assert!(Lineage { position: Offset(9), ..holed }.exact());
        for unharmed in [start.after(&batch(true), false), start.after(&batch(false), true)] {
            assert_eq!(unharmed.exact_from, Offset::ZERO);
            assert_eq!(unharmed.epochs.starts().last().map(|(epoch, _)| *epoch), Some(Epoch(2)));
        }
    }
}
