//! Batches on their way: credits to the log, what it fetched to the store.

use std::time::Duration;

use crate::batch::Batch;
use crate::log::{LogCall, Loss};
use crate::offset::{Generation, Offset, Partition};
use crate::phase::Phase;
use crate::stall::StallKind;
use crate::store::StoreCall;

use super::reader::{Durable, Fetch, Reader};
use super::reading::Usage;
use super::{Effect, Node, Notice, Stage};

impl Node {
    pub(super) fn on_assigned(&mut self, partition: Partition) {
        let outstanding = self.assigning.entry(partition).or_default();
        *outstanding = outstanding.checked_sub(1).expect("an assignment is answered once");
        let last = *outstanding == 0;
        if let Some(reader) = self.reading().and_then(|reading| reading.reader_if(partition))
            && last
        {
            reader.fetch = Fetch::Idle;
        }
    }

    pub(super) fn on_fetched(&mut self, batch: Batch) {
        let now = self.now.mono;
        self.end_stalls(|kind| matches!(kind, StallKind::PoisonBatch | StallKind::NoProgress));
        let Some(reading) = self.reading() else {
            return;
        };
        let Some(reader) = reading.reader_if(batch.partition) else {
            return;
        };
        // What an older assignment fetched: its position is not this one's.
        if reader.fetch != Fetch::Waiting {
            return;
        }
        reader.fetch = Fetch::Idle;
        let proven = reader.prove();
        reading.progress_at = now;
        self.forget_refusal(batch.partition);
        if proven {
            return self.assign_one(batch.partition);
        }
        if self.phase != Phase::Ready {
            self.throttle.charge(batch.bytes(), now, &self.limits);
        }
        self.report_ignored(&batch);
        self.take(batch);
    }

    fn report_ignored(&mut self, batch: &Batch) {
        let Batch { partition, misplaced, keyless, .. } = *batch;
        if misplaced + keyless > 0 {
            self.ignored += u64::from(misplaced) + u64::from(keyless);
            self.misplaced += u64::from(misplaced);
            self.notice(Notice::Ignored { partition, misplaced, keyless });
        }
    }

    /// Sends a batch to the store, unless a tombstone may be missing from it.
    pub(super) fn apply(&mut self, batch: Batch) {
        let Stage::Reading(reading) = &mut self.stage else {
            return;
        };
        let facts = self.facts.as_ref().expect("reading follows the log's facts");
        let reader = &mut reading.readers[batch.partition.index()];
        if reader.past_horizon(self.now, &self.limits) {
            self.evidence.past_horizon.insert(reading.generation);
            return self.reopen();
        }
        if reader.knows(&batch) {
            return;
        }
        reading.records += u64::try_from(batch.records().len()).expect("lengths fit 64 bits");
        reading.bytes += u64::try_from(batch.bytes()).expect("lengths fit 64 bits");
        reading.unflushed_bytes += batch.unflushed_bytes();
        reading.unflushed_since.get_or_insert(self.now.mono);
        let generation = reading.generation;
        let rebuilding = reading.usage != Usage::Active;
        let (batch, lineage) =
            reader.accept(batch, rebuilding, &facts.policy, self.now, &self.limits);
        let (partition, latest) = (batch.partition, lineage.epochs.latest());
        self.store(StoreCall::Apply { generation, batch, lineage });
        let known = &mut self.epochs_known[partition.index()];
        *known = (*known).max(latest);
    }

    pub(super) fn on_applied(
        &mut self,
        generation: Generation,
        partition: Partition,
        position: Offset,
    ) {
        let now = self.now.mono;
        if let Some(reading) = self.reading()
            && reading.generation == generation
        {
            reading.reader(partition).on_applied(position);
            reading.progress_at = now;
        }
    }

    pub(super) fn on_lost(&mut self, partition: Partition, loss: Loss) {
        let Some(reading) = self.reading() else {
            return;
        };
        let generation = reading.generation;
        let Some(reader) = reading.reader_if(partition) else {
            return;
        };
        if reader.fetch == Fetch::Assigning {
            return;
        }
        let position = reader.asked_for();
        let at_assign = position == reader.position_at_assign;
        match (loss, reader.lost_end()) {
            // What is not on disk yet is read again, and its end is then told by the leader of now.
            (Loss::Diverged, Some(Durable(false))) => {}
            (Loss::Diverged, Some(Durable(true))) => {
                self.evidence.inexact.insert((generation, partition));
            }
            (Loss::Diverged, None) if at_assign => {
                self.evidence.diverged.insert((generation, partition));
            }
            // What was read since is not on disk yet: where that ends may be as good as ever.
            (Loss::Diverged, None) => {}
            (Loss::OutOfRange, _) => self.note_refusal(partition, position, loss),
            // The copy is as good as it was, and reads go on.
            (Loss::UnknownEpoch, _) => return self.assign_later(partition, position),
        }
        self.notice(Notice::PositionLost { partition, position });
        self.lose();
    }

    /// The log no longer has what this copy read: on from what is on disk, whose position it may still have.
    pub(super) fn lose(&mut self) {
        self.become_phase(Phase::Opening);
        self.suspend();
    }

    /// Credits for every partition that can take a batch.
    pub(super) fn give_credits(&mut self) {
        if !self.wants_credit() {
            return;
        }
        let ready = self.phase == Phase::Ready;
        let Stage::Reading(reading) = &mut self.stage else {
            return;
        };
        if !ready && self.throttle.until(self.now.mono).is_some() {
            // What is held back on purpose is no stall.
            reading.progress_at = self.now.mono;
            return;
        }
        let bytes_max = match ready {
            true => self.limits.fetch_bytes(reading.readers.len()),
            false => self.throttle.batch_bytes(reading.readers.len(), &self.limits),
        };
        for reader in &mut reading.readers {
            let leader = self.epochs_known.get(reader.partition.index()).copied().flatten();
            if reader.wants_batch(&self.limits) && !reader.mixes(leader) {
                reader.credit(leader);
                self.effects.push_back(Effect::Log(LogCall::Fetch {
                    partition: reader.partition,
                    bytes_max,
                }));
            }
        }
    }

    fn wants_credit(&self) -> bool {
        let Stage::Reading(reading) = &self.stage else {
            return false;
        };
        let wants = |reader: &Reader| reader.wants_batch(&self.limits);
        !reading.holds_back(&self.limits)
            && self.drain.is_none()
            && reading.readers.iter().any(wants)
    }

    /// When a credit is due that was not given because of the throttle.
    pub(super) fn throttle_timer(&self) -> Option<Duration> {
        let until = self.throttle.until(self.now.mono).filter(|_| self.wants_credit())?;
        (self.phase != Phase::Ready).then_some(until)
    }

    /// Applies what was held back, unless it still is.
    pub(super) fn release_held(&mut self) {
        let Stage::Reading(reading) = &mut self.stage else {
            return;
        };
        if reading.holds_back(&self.limits) {
            return;
        }
        let batches: Vec<_> = reading.readers.iter_mut().filter_map(Reader::release).collect();
        batches.into_iter().for_each(|batch| self.take(batch));
    }
}
