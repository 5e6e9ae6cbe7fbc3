//! The leader epoch cache of one replica: where each leader's term began (KIP-101, KIP-279).

use outrigger_core::offset::{Epoch, Offset};

#[derive(Clone, Debug)]
pub(super) struct EpochCache {
    /// Ascending in both; empty only in a follower whose log was cut to nothing.
    starts: Vec<(Epoch, Offset)>,
}

impl EpochCache {
    pub(super) fn starting(epoch: Epoch, at: Offset) -> EpochCache {
        EpochCache { starts: vec![(epoch, at)] }
    }

    pub(super) fn restored(starts: Vec<(Epoch, Offset)>) -> EpochCache {
        let ascending = starts.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1);
        assert!(ascending && !starts.is_empty(), "no leader epoch cache: {starts:?}");
        EpochCache { starts }
    }

    pub(super) fn starts(&self) -> &[(Epoch, Offset)] {
        &self.starts
    }

    pub(super) fn latest(&self) -> Option<Epoch> {
        self.starts.last().map(|(epoch, _)| *epoch)
    }

    /// Where the newest term began.
    pub(super) fn latest_start(&self) -> Option<Offset> {
        self.starts.last().map(|(_, start)| *start)
    }

    /// A term begins at `end`, as its leader or as the first batch of it tells. A term that wrote
    /// nothing leaves no trace in the cache.
    pub(super) fn begin(&mut self, epoch: Epoch, end: Offset) {
        assert!(self.latest().is_none_or(|latest| epoch > latest), "{epoch} after {self:?}");
        self.starts.retain(|(_, start)| *start < end);
        self.starts.push((epoch, end));
    }

    /// A batch of `epoch` enters the log at `base` (`LeaderEpochFileCache.assign`).
    pub(super) fn enter(&mut self, epoch: Epoch, base: Offset) {
        if self.latest() < Some(epoch) {
            self.begin(epoch, base);
        }
    }

    /// The log was cut at `end`: terms that began there or later did not happen here.
    pub(super) fn truncate(&mut self, end: Offset) {
        self.starts.retain(|(_, start)| *start < end);
    }

    /// `OffsetsForLeaderEpoch`: where the history of `epoch` ends; none when it is unknown here.
    pub(super) fn end_of(&self, epoch: Epoch, log_end: Offset) -> Option<Offset> {
        if self.latest().is_none_or(|latest| epoch > latest) {
            return None;
        }
        let later = self.starts.iter().find(|(later, _)| *later > epoch);
        Some(later.map_or(log_end, |(_, start)| *start))
    }

    /// Whether offsets `base..=last` were written here in the term of `epoch`, and not cut off since.
    pub(super) fn holds(&self, epoch: Epoch, base: Offset, last: Offset, log_end: Offset) -> bool {
        let Ok(place) = self.starts.binary_search_by_key(&epoch, |(epoch, _)| *epoch) else {
            return false;
        };
        let end = self.starts.get(place + 1).map_or(log_end, |(_, start)| *start);
        self.starts[place].1 <= base && last < end
    }

    /// A follower takes over the terms that its leader knows beyond its own: their batches may be cleaned.
    pub(super) fn follow(&mut self, leader: &EpochCache) {
        let latest = self.latest();
        let newer = leader.starts.iter().filter(|(epoch, _)| latest < Some(*epoch));
        for (epoch, start) in newer {
            self.begin(*epoch, *start);
        }
    }

    /// Where two logs stop being the same: in the last term that both know, where the shorter of them
    /// ends it (KIP-279). Zero when they share no term.
    pub(super) fn common_end(
        &self,
        log_end: Offset,
        other: &EpochCache,
        other_end: Offset,
    ) -> Offset {
        let known = |epoch: Epoch| other.starts.binary_search_by_key(&epoch, |(e, _)| *e).is_ok();
        let shared = self.starts.iter().rev().map(|(epoch, _)| *epoch).find(|epoch| known(*epoch));
        let Some(shared) = shared else {
            return Offset::ZERO;
        };
        let here = self.end_of(shared, log_end).expect("it is in this cache");
        here.min(other.end_of(shared, other_end).expect("it is in that cache"))
    }
}
