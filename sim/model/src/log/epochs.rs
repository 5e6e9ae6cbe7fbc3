//! The leader epoch cache of one replica: where each leader's term began (KIP-101, KIP-279).

use outrigger_core::offset::{Epoch, Offset};

#[derive(Clone, Debug)]
pub(super) struct EpochCache {
    /// Ascending in both; never empty.
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

    pub(super) fn current(&self) -> Epoch {
        self.starts.last().expect("a leader has a term").0
    }

    /// A new leader's term begins at `end`. A term that wrote nothing leaves no trace in the cache.
    pub(super) fn begin(&mut self, epoch: Epoch, end: Offset) {
        assert!(epoch > self.current(), "epoch {epoch} after {}", self.current());
        self.starts.retain(|(_, start)| *start < end);
        self.starts.push((epoch, end));
    }

    /// `OffsetsForLeaderEpoch`: where the history of `epoch` ends; none when it is unknown here.
    pub(super) fn end_of(&self, epoch: Epoch, log_end: Offset) -> Option<Offset> {
        if epoch > self.current() {
            return None;
        }
        let later = self.starts.iter().find(|(later, _)| *later > epoch);
        Some(later.map_or(log_end, |(_, start)| *start))
    }
}
