//! One partition's part of the ring: batches without a hole between them, also where the offsets have gaps.

use std::collections::VecDeque;

use super::{Applied, Origin};
use crate::offset::{Epoch, Offset};

/// What a lane shows of whatever lies right below a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::watch) enum Below {
    /// It was written in this leader epoch.
    Of(Option<Epoch>),
    /// Records may be missing. What comes behind them was written in this epoch, or the copy has heard of it as the latest.
    Hole(Option<Epoch>),
}

#[derive(Debug)]
pub(in crate::watch) struct Lane {
    from: Offset,
    /// The leader epoch of the newest record below `from`.
    epoch: Option<Epoch>,
    /// Records may be missing right below `from`.
    hidden: bool,
    /// The newest epoch that the copy has heard of.
    latest: Option<Epoch>,
    /// No copy was exact below, whatever was thought when its batches came.
    exact_from: Offset,
    /// With the number of each in the ring, ascending.
    batches: VecDeque<(u64, Applied)>,
}

impl Below {
    pub(in crate::watch) fn epoch(self) -> Option<Epoch> {
        match self {
            Below::Of(epoch) | Below::Hole(epoch) => epoch,
        }
    }
}

impl Lane {
    pub(super) fn new(from: Origin) -> Lane {
        let Origin { position, epoch, latest, exact_from } = from;
        let batches = VecDeque::new();
        Lane { from: position, epoch, hidden: false, latest, exact_from, batches }
    }

    /// Goes on from there, with everything before it that is of the same history.
    pub(super) fn begin(&mut self, from: Origin) {
        if !self.borders(from.position) || self.below(from.position).epoch() != from.epoch {
            *self = Lane::new(from);
            return;
        }
        self.batches.truncate(self.ending_by(from.position));
        self.latest = from.latest;
        self.exact_from = from.exact_from;
    }

    pub(super) fn push(&mut self, number: u64, applied: Applied) {
        assert_eq!(self.end(), applied.batch.range.start, "batches are applied in order");
        self.latest = applied.latest;
        self.batches.push_back((number, applied));
    }

    /// Forgets the oldest batch, and returns how many bytes it had.
    pub(super) fn shed(&mut self) -> usize {
        let Some((_, applied)) = self.batches.pop_front() else { return 0 };
        self.from = applied.end();
        self.epoch = applied.epoch;
        self.hidden = applied.batch.unbroken_to(self.from) < self.from;
        applied.bytes()
    }

    /// The number of the oldest batch.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.batches.front().map(|(number, _)| *number)
    }

    pub(super) fn bytes(&self) -> usize {
        self.batches.iter().map(|(_, applied)| applied.bytes()).sum()
    }

    /// What comes after this position is here, or has not come yet.
    pub(in crate::watch) fn from(&self) -> Offset {
        self.from
    }

    pub(in crate::watch) fn end(&self) -> Offset {
        self.batches.back().map_or(self.from, |(_, applied)| applied.end())
    }

    /// The leader epoch of the newest record below the end.
    pub(in crate::watch) fn epoch(&self) -> Option<Epoch> {
        self.epoch_before(self.batches.len())
    }

    /// The newest that the copy has heard of.
    pub(in crate::watch) fn latest(&self) -> Option<Epoch> {
        self.latest
    }

    /// The copy that has everything up to the end is exact from here on.
    pub(in crate::watch) fn exact_from(&self) -> Offset {
        let told = self.batches.back().map_or(Offset::ZERO, |(_, applied)| applied.exact_from);
        told.max(self.exact_from)
    }

    /// What the newest reading began with: batches from before may have been taken for exact too early.
    pub(in crate::watch) fn exact_from_at_begin(&self) -> Offset {
        self.exact_from
    }

    /// The batch that has what comes after `at`, which is not before `from`.
    pub(in crate::watch) fn next(&self, at: Offset) -> Option<&Applied> {
        self.batches.get(self.ending_by(at)).map(|(_, applied)| applied)
    }

    /// The number of batches that end at `at` or before.
    fn ending_by(&self, at: Offset) -> usize {
        self.batches.partition_point(|(_, applied)| applied.end() <= at)
    }

    fn borders(&self, at: Offset) -> bool {
        at == self.from || self.batches.iter().any(|(_, applied)| applied.end() == at)
    }

    /// The leader epoch of what lies right below `at`, which is between `from` and the end. A log that has a record has
    /// everything that its leader had before it: so this epoch tells whether it is the history of whoever was there.
    ///
    /// Where records may be missing right below, they are of that history if the next record is of the same epoch, or if
    /// nobody has heard of a later one.
    pub(in crate::watch) fn below(&self, at: Offset) -> Below {
        if at == self.from && !self.hidden {
            return Below::Of(self.epoch);
        }
        let number = self.batches.partition_point(|(_, applied)| applied.end() < at);
        let below = self.batches.get(number).map(|(_, applied)| &applied.batch);
        match below.filter(|batch| at > batch.range.start && batch.unbroken_to(at) == at) {
            Some(batch) => Below::Of(batch.epoch_before(at).or(self.epoch_before(number))),
            None => Below::Hole(self.next_epoch(number, at)),
        }
    }

    fn next_epoch(&self, number: usize, at: Offset) -> Option<Epoch> {
        let mut batches = self.batches.iter().enumerate().skip(number);
        let next = batches.find_map(|(number, (_, applied))| {
            Some((number, applied, applied.batch.next_record(at)?))
        });
        match next {
            Some((number, applied, offset)) => {
                applied.batch.epoch_before(offset.next()).or(self.epoch_before(number))
            }
            None => self.latest,
        }
    }

    /// The leader epoch of the newest record below batch `number`.
    fn epoch_before(&self, number: usize) -> Option<Epoch> {
        let before = number.checked_sub(1).map(|before| self.batches[before].1.epoch);
        before.unwrap_or(self.epoch)
    }
}
