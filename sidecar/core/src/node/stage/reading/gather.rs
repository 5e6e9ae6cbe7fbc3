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
use crate::offset::Partition;
use crate::phase::Phase;

use super::{Reader, Reading};
use crate::node::shared::Shared;
use crate::node::stage::handlers::Stays;

impl Reading {
    /// Gives a batch to the store, unless reads would be refused for it: then it may wait for those that follow.
    pub(super) fn gather(&mut self, shared: &mut Shared, batch: Batch) -> Stays {
        let ready = shared.phase == Phase::Ready && shared.drain.is_none();
        let bytes_max = shared.limits.fetch_bytes(self.readers.len());
        let reader = &mut self.readers[batch.partition.index()];
        let (policy, now) = (&shared.known_facts().policy, shared.now);
        let batches = if ready && reader.fetched().exact() {
            reader.gather(batch, policy, now, bytes_max, &shared.limits)
        } else {
            [reader.ungather(), Some(batch)]
        };
        self.apply_all(shared, batches.into_iter().flatten())
    }

    fn apply_all(
        &mut self,
        shared: &mut Shared,
        batches: impl IntoIterator<Item = Batch>,
    ) -> Stays {
        for batch in batches {
            if self.reader(batch.partition).doubts(&batch) {
                self.assign_one(shared, batch.partition);
                return Ok(());
            }
            self.apply(shared, batch)?;
        }
        Ok(())
    }

    /// Applies what waited too long; and, before more is asked for, what must not be mixed with a later leader's.
    pub(super) fn show_gathered(&mut self, shared: &mut Shared) -> Stays {
        if self.holds_back(&shared.limits) {
            return Ok(());
        }
        let due = self.readers.iter().filter(|reader| is_due(reader, shared));
        let due: Vec<Partition> = due.map(|reader| reader.partition).collect();
        for partition in due {
            if !self.knows_policy(shared, partition) {
                // It is shown when that is known: until then nothing is applied.
                shared.hurry_for_policy();
                continue;
            }
            let gathered = self.reader(partition).ungather();
            self.apply_all(shared, gathered)?;
        }
        Ok(())
    }

    pub(super) fn gathered_timer(&self, shared: &Shared) -> Option<Duration> {
        let shown =
            self.readers.iter().filter(|reader| self.knows_policy(shared, reader.partition));
        let at = shown.filter_map(|reader| reader.shows_at(&shared.limits)).min();
        at.filter(|_| !self.holds_back(&shared.limits))
    }
}

fn is_due(reader: &Reader, shared: &Shared) -> bool {
    reader.mixes(shared.epoch_known(reader.partition))
        || reader.shows_at(&shared.limits).is_some_and(|at| at <= shared.now.mono)
}
