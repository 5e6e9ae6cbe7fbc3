//! Batches with gaps beside a READY copy: kept back until the copy is exact behind them.
//!
//! A gap may be compaction's, for the sake of a record below the high watermark of its fetch. Other writers' transactions
//! leave one with every marker, and the next fetch brings what is needed a moment later. So a batch that would make an
//! exact copy inexact is joined with those that follow, as if one fetch had returned them, and applied as one when the
//! copy is exact behind it: reads see the copy of a moment ago instead of being refused.
//!
//! What is joined was told by leaders of one epoch, as far as is known. Anything else is applied piece by piece, so that
//! an end which the log may have lost is doubted as ever; and so is what waited too long or became too much.

use std::time::Duration;

use crate::batch::Batch;
use crate::clock::Moment;
use crate::limits::Limits;
use crate::offset::{Epoch, Partition};
use crate::phase::Phase;
use crate::topic::TopicPolicy;

use super::reader::Reader;
use super::reading::Reading;
use super::{Node, Stage};

#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) batch: Batch,
    /// Monotonic: when its first part came.
    since: Duration,
}

impl Reader {
    /// Keeps the batch, or gives what is to be applied now.
    fn gather(
        &mut self,
        batch: Batch,
        policy: &TopicPolicy,
        now: Moment,
        bytes_max: u32,
        limits: &Limits,
    ) -> [Option<Batch>; 2] {
        let before = self.gathered.take();
        let bytes = before.as_ref().map_or(0, |before| before.batch.bytes()) + batch.bytes();
        let fits = u32::try_from(bytes).is_ok_and(|bytes| bytes <= bytes_max);
        // Nor may it wait until a tombstone may be missing from it.
        let fits = fits && self.horizon_in(now, limits) > 2 * limits.gap_wait_max;
        let same = |before: &Gathered| batch.leader() <= self.told_by(&before.batch);
        let (batch, since) = match before {
            Some(before) if !fits || !same(&before) => return [Some(before.batch), Some(batch)],
            Some(before) => (before.batch.join(batch), before.since),
            None => (batch, now.mono),
        };
        let shows = !batch.gap
            || batch.clean_bound <= batch.range.end
            || !self.gap_counts(&batch, policy, now, limits);
        if shows || !fits {
            return [None, Some(batch)];
        }
        self.gathered = Some(Gathered { batch, since });
        [None, None]
    }

    /// What comes next, while a leader of `known` leads, may be a later one's than what is gathered.
    pub(super) fn mixes(&self, known: Option<Epoch>) -> bool {
        self.gathered.is_some() && self.leader_at_credit() < known
    }

    fn ungather(&mut self) -> Option<Batch> {
        self.gathered.take().map(|gathered| gathered.batch)
    }
}

impl Node {
    /// Gives a batch to the store, unless reads would be refused for it: then it may wait for those that follow.
    pub(super) fn gather(&mut self, batch: Batch) {
        let ready = self.phase == Phase::Ready && self.drain.is_none();
        let Stage::Reading(reading) = &mut self.stage else {
            return;
        };
        let bytes_max = self.limits.fetch_bytes(reading.readers.len());
        let reader = &mut reading.readers[batch.partition.index()];
        let facts = self.facts.as_ref().expect("reading follows the log's facts");
        let batches = match ready && reader.fetched().exact() {
            true => reader.gather(batch, &facts.policy, self.now, bytes_max, &self.limits),
            false => [reader.ungather(), Some(batch)],
        };
        self.apply_all(batches.into_iter().flatten());
    }

    fn apply_all(&mut self, batches: impl IntoIterator<Item = Batch>) {
        for batch in batches {
            let Stage::Reading(reading) = &mut self.stage else {
                return;
            };
            match reading.reader(batch.partition).doubts(&batch) {
                true => return self.assign_one(batch.partition),
                false => self.apply_to_pins(batch),
            }
        }
    }

    /// Applies what waited too long; and, before more is asked for, what must not be mixed with a later leader's.
    pub(super) fn show_gathered(&mut self) {
        let Stage::Reading(reading) = &self.stage else {
            return;
        };
        if reading.holds_back(&self.limits) {
            return;
        }
        let due = reading.readers.iter().filter(|reader| self.is_due(reader));
        let due: Vec<Partition> = due.map(|reader| reader.partition).collect();
        for partition in due {
            if !self.knows_policy(partition) {
                // Shown when that is known: until then nothing is applied.
                self.hurry_for_policy();
                continue;
            }
            let gathered =
                self.reading().and_then(|reading| reading.reader_if(partition)?.ungather());
            self.apply_all(gathered);
        }
    }

    fn is_due(&self, reader: &Reader) -> bool {
        let known = self.epochs_known.get(reader.partition.index()).copied().flatten();
        reader.mixes(known) || self.shows_at(reader).is_some_and(|at| at <= self.now.mono)
    }

    /// When (monotonic) what is gathered is shown at the latest. What came behind it while nothing may be applied is
    /// looked at first.
    fn shows_at(&self, reader: &Reader) -> Option<Duration> {
        let gathered = reader.gathered.as_ref().filter(|_| !reader.holds())?;
        Some(gathered.since + self.limits.gap_wait_max)
    }

    pub(super) fn gathered_timer(&self, reading: &Reading) -> Option<Duration> {
        let shown = reading.readers.iter().filter(|reader| self.knows_policy(reader.partition));
        let at = shown.filter_map(|reader| self.shows_at(reader)).min();
        at.filter(|_| !reading.holds_back(&self.limits))
    }
}
