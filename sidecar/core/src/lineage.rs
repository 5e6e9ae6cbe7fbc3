//! Who a copy descends from, per partition: stored in the same write as the data it speaks of.

use crate::batch::Batch;
use crate::offset::{Epoch, Offset};

/// Epoch starts kept per partition. More elections than this make old tokens unjudgeable, not wrong.
const EPOCHS_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// Everything below has been read (exclusive).
    pub position: Offset,
    /// The leader epochs below `position`.
    pub epochs: EpochChain,
    /// The copy is exact iff `position >= exact_from`: a gap was met while the log's cleaner may
    /// have been working up to here, so a record below `position` may be missing from the copy.
    pub exact_from: Offset,
    /// How far the log reached when those gaps were read; only ends above `position`, which the copy still waits for.
    pub ends: LogEnds,
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
            ends: LogEnds::default(),
            confirmed_at_ms,
            delete_retention_ms_min: delete_retention_ms,
        }
    }

    pub fn exact(&self) -> bool {
        self.position >= self.exact_from
    }

    /// How far the log is known to have reached.
    pub(crate) fn known_end(&self) -> Offset {
        self.position.max(self.exact_from)
    }

    /// Newest leader epoch that told of what is known here.
    pub(crate) fn leader(&self) -> Option<Epoch> {
        self.epochs.latest().max(self.ends.leader())
    }

    /// An end, told where this copy met a gap, that the log may have lost, since a later epoch seems to begin below it.
    /// Records that its cleaner removed for the sake of others below that end may be back.
    pub(crate) fn doubted(&self, batch: &Batch) -> Option<(Epoch, Offset)> {
        self.ends.doubted(&self.epochs, batch)
    }

    /// Whether `batch`, read from this position or later, is of another history: it has records of an epoch that had already
    /// ended before them in this copy's. KIP-320 compares only ends, so a log that lost records of the copy's newest epoch to
    /// a leader that had others there may still accept the position.
    pub(crate) fn contradicts(&self, batch: &Batch) -> bool {
        let ends = batch.epochs.iter().skip(1).map(|(_, next)| *next).chain([batch.range.end]);
        let mut epochs = batch.epochs.iter().zip(ends);
        // A pin may have ended the copy in a hole, of the epoch behind that. On another replica there may be records in it.
        epochs.any(|((epoch, _), end)| !self.epochs.allows(*epoch, batch.unbroken_to(end)))
    }

    /// Notes the topic's delete.retention.ms as it is now.
    pub fn see_retention(&mut self, delete_retention_ms: u64) {
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
        next.ends.forget_below(next.position);
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

    /// Whether something of `epoch` was seen in this history, as far back as is remembered.
    pub(crate) fn has(&self, epoch: Epoch) -> bool {
        self.starts.iter().any(|(known, _)| *known == epoch)
    }

    /// Where `epoch` has ended in this history at the latest; none while no later one was seen.
    pub(crate) fn end(&self, epoch: Epoch) -> Option<Offset> {
        self.starts.iter().find(|(later, _)| *later > epoch).map(|(_, start)| *start)
    }

    /// The offset below which everything was the same in `other`: a leader epoch has one leader, so two histories that
    /// have a record of it have the same records before it.
    pub(crate) fn shared_with(&self, other: &EpochChain) -> Offset {
        let both = self.starts.iter().filter_map(|(epoch, start)| {
            let (_, also) = other.starts.iter().find(|(known, _)| known == epoch)?;
            Some(*start.min(also))
        });
        both.max().unwrap_or(Offset::ZERO)
    }
}

/// Ends of the log as leaders told them, ascending by leader epoch and by end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEnds {
    told: Vec<(Epoch, Offset)>,
}

impl LogEnds {
    /// Rebuilds the ends from their stored form; `None` when the stored bytes cannot be such ends.
    pub fn from_told(told: Vec<(Epoch, Offset)>) -> Option<LogEnds> {
        let ascending = told.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
        (ascending && told.len() <= EPOCHS_MAX).then_some(LogEnds { told })
    }

    pub fn told(&self) -> &[(Epoch, Offset)] {
        &self.told
    }

    fn leader(&self) -> Option<Epoch> {
        self.told.last().map(|(leader, _)| *leader)
    }

    /// Notes that a leader of `leader`, or of a later epoch that nobody has heard of yet, told that the log reaches to
    /// `end`.
    pub(crate) fn tell(&mut self, leader: Epoch, end: Offset) {
        let full = self.told.len() == EPOCHS_MAX;
        match self.told.last_mut() {
            // An earlier leader told as much.
            Some((_, told)) if *told >= end => {}
            // Only some leaders are kept, and an end may count as an earlier leader's: this may report a loss that was
            // none, and never misses one.
            Some((last, told)) if *last >= leader || full => *told = end,
            Some(_) | None => self.told.push((leader, end)),
        }
    }

    /// The first of these ends below which `batch`, which continues `epochs`, may begin an epoch that is not among
    /// them.
    fn doubted(&self, epochs: &EpochChain, batch: &Batch) -> Option<(Epoch, Offset)> {
        let known = epochs.latest();
        let new = batch.epochs.iter().filter(|(epoch, _)| known.is_none_or(|known| known < *epoch));
        new.filter_map(|(epoch, seen)| self.above(*epoch, batch.unbroken_to(*seen))).min()
    }

    /// Notes that the log as a leader of `by` leads it has the end that a leader of `leader` told.
    pub(crate) fn prove(&mut self, (leader, end): (Epoch, Offset), by: Epoch) {
        self.told.retain(|(told_by, _)| *told_by != leader);
        self.tell(by, end);
    }

    pub(crate) fn contains(&self, told: &(Epoch, Offset)) -> bool {
        self.told.contains(told)
    }

    fn forget_below(&mut self, position: Offset) {
        self.told.retain(|(_, end)| *end > position);
    }

    /// The first end of an older leader that lies above the earliest offset at which `epoch` may begin.
    fn above(&self, epoch: Epoch, begins: Offset) -> Option<(Epoch, Offset)> {
        self.told.iter().copied().find(|(leader, end)| *leader < epoch && begins < *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;
    use crate::fixtures::{epochs, records};
    use crate::offset::Partition;

    #[test]
    fn a_position_beyond_its_epochs_end_is_another_history() {
        let chain = epochs(&[(1, 0), (4, 100)]);
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
        let observed = Some(epochs(&[(1, 10), (3, 10)]));
        assert_eq!(chain(&[(1, 10), (3, 10)]), observed, "an election without a record");
        assert_eq!(chain(&[(1, 10), (1, 20)]), None, "an epoch has one start");
        assert_eq!(chain(&[(3, 10), (1, 20)]), None);
        assert_eq!(chain(&[(1, 20), (3, 10)]), None);
        let many = |count: u32| (0..count).map(|epoch| (Epoch(epoch), Offset(0))).collect();
        assert!(EpochChain::from_starts(many(32)).is_some());
        assert_eq!(EpochChain::from_starts(many(33)), None, "no longer than one that was observed");
    }

    fn batch(gap: bool) -> Batch {
        records(0, [u64::from(gap)], Some(2), 9)
    }

    fn told(ends: &[(u32, u64)]) -> LogEnds {
        let mut told = LogEnds::default();
        for (leader, end) in ends {
            told.tell(Epoch(*leader), Offset(*end));
        }
        told
    }

    #[test]
    fn an_older_leader_that_told_as_much_says_more() {
        let pairs = |ends: &LogEnds| {
            ends.told().iter().map(|(leader, end)| (leader.0, end.0)).collect::<Vec<_>>()
        };
        assert_eq!(pairs(&told(&[(5, 10), (5, 20), (6, 20), (6, 30)])), [(5, 20), (6, 30)]);
        let mut ends = told(&[(5, 20), (6, 30)]);
        ends.forget_below(Offset(20));
        assert_eq!(pairs(&ends), [(6, 30)]);
        let many: Vec<_> = (0..40).map(|leader| (leader, u64::from(leader) + 1)).collect();
        let many = told(&many);
        assert_eq!((many.told().len(), many.told()[31]), (EPOCHS_MAX, (Epoch(31), Offset(40))));
        assert_eq!(LogEnds::from_told(many.told().to_vec()), Some(many));
        assert_eq!(LogEnds::from_told(vec![(Epoch(5), Offset(9)), (Epoch(5), Offset(10))]), None);
    }

    #[test]
    fn an_end_that_a_later_leader_has_too_is_as_if_that_one_had_told_it() {
        let proven = |leader, end| {
            let mut ends = told(&[(5, 20), (6, 30)]);
            ends.prove((Epoch(leader), Offset(end)), Epoch(7));
            ends
        };
        assert_eq!(proven(5, 20), told(&[(6, 30)]), "the later one says more");
        assert_eq!(proven(6, 30), told(&[(5, 20), (7, 30)]));
    }

    #[test]
    fn a_later_epoch_that_begins_below_a_told_end_puts_it_in_doubt() {
        let ends = told(&[(5, 20), (6, 30)]);
        let above = |epoch, begins| {
            ends.above(Epoch(epoch), Offset(begins)).map(|(leader, end)| (leader.0, end.0))
        };
        assert_eq!((above(6, 19), above(6, 20)), (Some((5, 20)), None));
        assert_eq!(
            (above(7, 19), above(7, 29), above(7, 30)),
            (Some((5, 20)), Some((6, 30)), None)
        );
        assert_eq!(above(5, 0), None, "it told that itself");
    }

    #[test]
    fn where_an_epoch_begins_is_hidden_by_a_gap_before_it() {
        let copy = Lineage { exact_from: Offset(9), ends: told(&[(2, 9)]), ..Lineage::empty(0, 0) };
        let doubts = |offsets: &[(u64, u32)]| {
            let mut builder = BatchBuilder::new(Partition(0), 1, Offset::ZERO);
            for (offset, epoch) in offsets {
                builder.push(Offset(*offset), Some(Epoch(*epoch)), Some(b"k"), None);
            }
            copy.doubted(&builder.finish(Offset(20))).is_some()
        };
        let unbroken: Vec<_> = (0..9).map(|offset| (offset, 2)).collect();
        assert!(!doubts(&[&unbroken[..], &[(9, 3)]].concat()));
        assert!(doubts(&[&unbroken[..8], &[(8, 3)]].concat()));
        assert!(doubts(&[&unbroken[..8], &[(9, 3)]].concat()), "it may begin at 8");
        assert!(doubts(&[(12, 3)]) && !doubts(&[(12, 2)]));
    }

    #[test]
    fn records_of_an_epoch_that_had_ended_are_of_another_history() {
        let mut copy = Lineage { position: Offset(4), ..Lineage::empty(0, 0) };
        copy.epochs = epochs(&[(1, 0), (2, 3)]);
        let contradicts = |copy: &Lineage, offsets: &[(u64, u32)]| {
            let mut builder = BatchBuilder::new(Partition(0), 1, copy.position);
            for (offset, epoch) in offsets {
                builder.push(Offset(*offset), Some(Epoch(*epoch)), Some(b"k"), None);
            }
            copy.contradicts(&builder.at_end(Offset(9), None))
        };
        assert!(contradicts(&copy, &[(4, 1)]) && contradicts(&copy, &[(6, 1), (7, 3)]));
        assert!(!contradicts(&copy, &[(4, 2)]) && !contradicts(&copy, &[(6, 3)]));
        assert!(!contradicts(&copy, &[]));
        // A pin ended it in a hole before the first record of its epoch.
        copy.epochs.observe(Epoch(3), Offset(6));
        assert!(
            !contradicts(&copy, &[(4, 2), (5, 2), (6, 3)])
                && !contradicts(&copy, &[(5, 2), (8, 4)])
        );
        assert!(contradicts(&copy, &[(4, 2), (6, 2), (7, 4)]));
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
