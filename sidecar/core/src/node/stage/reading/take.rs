//! Batches on their way: credits to the log, what it fetched to the store.

use std::time::Duration;

use crate::batch::Batch;
use crate::log::LogCall;
use crate::offset::{Generation, Offset, Partition};
use crate::phase::Phase;
use crate::store::StoreCall;
use crate::watch::ring::{Applied, RingNews};

use super::{Fetch, Reader, Reading, Usage};
use crate::node::event::Notice;
use crate::node::shared::Shared;
use crate::node::stage::handlers::{Leave, Stays};

impl Reading {
    pub(in crate::node) fn on_fetched(&mut self, shared: &mut Shared, batch: Batch) -> Stays {
        let now = shared.now.mono;
        let Some(reader) = self.reader_if(batch.partition) else {
            return Ok(());
        };
        // What an older assignment fetched: its position is not this one's.
        if reader.fetch != Fetch::Waiting {
            return Ok(());
        }
        reader.fetch = Fetch::Idle;
        if let Some(durable) = reader.contradicted(&batch) {
            return self.contradicted(shared, batch.partition, durable);
        }
        let proven = reader.prove();
        self.progress_at = now;
        shared.forget_refused(batch.partition);
        if proven {
            self.assign_one(shared, batch.partition);
            return Ok(());
        }
        if shared.phase != Phase::Ready {
            shared.throttle.charge(batch.bytes(), now, &shared.limits);
        }
        shared.report_ignored(&batch);
        self.take(shared, batch)
    }

    /// Applies a batch, or holds it back until the topic's configuration is known again, or the topic is.
    pub(super) fn take(&mut self, shared: &mut Shared, batch: Batch) -> Stays {
        let known = self.knows_policy(shared, batch.partition);
        if known && !self.holds_back(&shared.limits) {
            return self.gather(shared, batch);
        }
        self.reader(batch.partition).hold(batch);
        if !known {
            shared.hurry_for_policy();
        }
        Ok(())
    }

    /// Gives a batch to the store, in pieces that end where pins want it.
    pub(super) fn apply(&mut self, shared: &mut Shared, batch: Batch) -> Stays {
        let partition = batch.partition;
        let mut batch = batch;
        while let Some(at) = self.pins.cut(partition, &batch.range) {
            let (before, behind) = batch.split_at(at);
            self.apply_piece(shared, before)?;
            batch = behind;
        }
        self.apply_piece(shared, batch)
    }

    /// Sends a piece to the store, unless a tombstone may be missing from it.
    fn apply_piece(&mut self, shared: &mut Shared, batch: Batch) -> Stays {
        let rebuilding = self.usage != Usage::Active;
        let partition = batch.partition;
        let reader = &mut self.readers[partition.index()];
        if reader.past_horizon(shared.now, &shared.limits) {
            shared.evidence.past_horizon.insert(self.generation);
            return Err(Leave::Reopen);
        }
        if !reader.knows(&batch) {
            self.records += u64::try_from(batch.records().len()).expect("lengths fit 64 bits");
            self.bytes += u64::try_from(batch.bytes()).expect("lengths fit 64 bits");
            self.unflushed_bytes += batch.unflushed_bytes();
            self.unflushed_since.get_or_insert(shared.now.mono);
            let (now, limits) = (shared.now, &shared.limits);
            let policy = &shared.known_facts().policy;
            let (batch, lineage) = reader.accept(batch, rebuilding, policy, now, limits);
            let latest = lineage.epochs.latest();
            shared.store(StoreCall::Apply { generation: self.generation, batch, lineage });
            let known = &mut shared.epochs_known[partition.index()];
            *known = (*known).max(latest);
        }
        self.pins.take(shared, partition, self.readers[partition.index()].fetched());
        Ok(())
    }

    pub(in crate::node) fn on_applied(
        &mut self,
        shared: &mut Shared,
        generation: Generation,
        partition: Partition,
        position: Offset,
    ) -> Stays {
        if self.generation == generation {
            let rebuilding = self.usage != Usage::Active;
            let reader = self.reader(partition);
            let batch = reader.on_applied(position);
            let confirmed = !rebuilding || reader.reached_target();
            shared.ring(RingNews::Applied(Applied::of(batch, reader.applied(), confirmed)));
            self.progress_at = shared.now.mono;
        }
        Ok(())
    }

    /// Gives a credit for every partition that can take a batch.
    pub(super) fn give_credits(&mut self, shared: &mut Shared) {
        if !self.wants_credit(shared) {
            return;
        }
        let ready = shared.phase == Phase::Ready;
        if !ready && shared.throttle.until(shared.now.mono).is_some() {
            // What is held back on purpose is no stall.
            self.progress_at = shared.now.mono;
            return;
        }
        let bytes_max = if ready {
            shared.limits.fetch_bytes(self.readers.len())
        } else {
            shared.throttle.batch_bytes(self.readers.len(), &shared.limits)
        };
        for reader in &mut self.readers {
            let partition = reader.partition;
            let leader = shared.epoch_known(partition);
            if reader.wants_batch(&shared.limits) && !reader.mixes(leader) {
                reader.credit(leader);
                shared.log(LogCall::Fetch { partition, bytes_max });
            }
        }
    }

    fn wants_credit(&self, shared: &Shared) -> bool {
        let wants = |reader: &Reader| reader.wants_batch(&shared.limits);
        !self.holds_back(&shared.limits) && shared.drain.is_none() && self.readers.iter().any(wants)
    }

    /// When (monotonic) a credit is due that was not given because of the throttle.
    pub(super) fn throttle_timer(&self, shared: &Shared) -> Option<Duration> {
        let until = shared.throttle.until(shared.now.mono).filter(|_| self.wants_credit(shared))?;
        (shared.phase != Phase::Ready).then_some(until)
    }

    /// Applies what was held back, unless it still is.
    pub(super) fn release_held(&mut self, shared: &mut Shared) -> Stays {
        if self.holds_back(&shared.limits) {
            return Ok(());
        }
        let batches: Vec<_> = self.readers.iter_mut().filter_map(Reader::release).collect();
        for batch in batches {
            self.take(shared, batch)?;
        }
        Ok(())
    }
}

impl Shared {
    fn report_ignored(&mut self, batch: &Batch) {
        let Batch { partition, misplaced, keyless, .. } = *batch;
        if misplaced + keyless > 0 {
            self.ignored += u64::from(misplaced) + u64::from(keyless);
            self.misplaced += u64::from(misplaced);
            self.notice(Notice::Ignored { partition, misplaced, keyless });
        }
    }
}
