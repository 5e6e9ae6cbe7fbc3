//! What a reading node asks and does again and again: ends, topic id, flushes, confirmations.

use std::time::Duration;

use crate::clock::Moment;
use crate::deposed::Deposed;
use crate::limits::Limits;
use crate::lineage::Lineage;
use crate::log::{EndAnswer, LogCall, PartitionEnd};
use crate::offset::Partition;
use crate::stall::StallKind;
use crate::store::StoreCall;
use crate::topic::TopicId;

use super::{Durability, Reader, Reading, Usage};
use crate::node::shared::Shared;
use crate::node::stage::handlers::{Leave, Stays};

impl Reading {
    /// Does everything that is due while reading.
    pub(super) fn keep_up(&mut self, shared: &mut Shared) -> Stays {
        self.want_flush(shared);
        self.assign_again(shared);
        self.keep_policy_known(shared);
        shared.describe();
        self.ask_ends(shared);
        self.check_topic(shared);
        self.save_confirmations(shared);
        self.name_stalls(shared);
        self.show_gathered(shared)?;
        self.give_credits(shared);
        Ok(())
    }

    fn want_flush(&mut self, shared: &mut Shared) {
        // Otherwise the flush that ends a rebuild would wait for the next event.
        self.note_targets();
        let last =
            shared.drain.is_some() && !self.all_durable() && self.durability == Durability::Idle;
        if last || self.wants_flush(shared.now, &shared.limits) {
            self.durability = Durability::Wanted;
            shared.topic_id.hurry();
        }
    }

    fn ask_ends(&mut self, shared: &mut Shared) {
        if shared.ends.ask(shared.now) {
            let reached = self.readers.iter().map(|reader| reader.fetched().known_end());
            self.reached_at_ask = reached.collect();
            shared.log(LogCall::Ends);
        }
    }

    fn check_topic(&mut self, shared: &mut Shared) {
        if !shared.topic_id.ask(shared.now) {
            return;
        }
        shared.log(LogCall::TopicId);
        if self.durability == Durability::Wanted {
            self.durability = Durability::Checking;
        }
    }

    pub(in crate::node) fn on_topic_id(&mut self, shared: &mut Shared, topic: TopicId) -> Stays {
        if self.identity.topic != topic {
            return Err(Leave::Reopen);
        }
        match (self.durability == Durability::Checking, self.settled()) {
            (true, true) => return self.flush(shared),
            (true, false) => {
                self.durability = Durability::Settling;
                shared.ends.hurry();
                self.hurry_policy(shared);
            }
            (false, _) => {}
        }
        Ok(())
    }

    /// Where the number of partitions changed, keys belong elsewhere: what the topic is by now is asked for at once.
    pub(in crate::node) fn on_partition_count(&self, shared: &mut Shared, count: u32) -> Stays {
        if self.identity.partitions != count {
            shared.describe.hurry();
        }
        Ok(())
    }

    pub(super) fn flush_if_settled(&mut self, shared: &mut Shared) -> Stays {
        if self.is_settling() && self.settled() { self.flush(shared) } else { Ok(()) }
    }

    /// All that was sent to the store was fetched before the last question for the topic's id.
    fn flush(&mut self, shared: &mut Shared) -> Stays {
        let heard = self.readers.iter_mut();
        let heard = heard.filter_map(|reader| Some((reader.partition, reader.flush()?))).collect();
        self.save(shared, heard);
        let positions = self.readers.iter().map(|reader| reader.fetched().position).collect();
        self.durability = Durability::Flushing(positions);
        self.unflushed_bytes = 0;
        self.unflushed_since = None;
        shared.store(StoreCall::Flush { generation: self.generation });
        self.release_held(shared)
    }

    pub(super) fn on_flushed(&mut self, shared: &mut Shared) -> Stays {
        let Durability::Flushing(positions) =
            std::mem::replace(&mut self.durability, Durability::Idle)
        else {
            unreachable!("a flush is answered once, while it is under way")
        };
        for (reader, position) in self.readers.iter_mut().zip(positions) {
            reader.on_durable(position);
        }
        if let Usage::Building(beside) = &self.usage
            && self.is_rebuilt()
            && self.all_durable()
        {
            self.usage = Usage::Activating(beside.clone());
            shared.store(StoreCall::Activate { generation: self.generation });
        }
        self.release_held(shared)
    }

    /// The rebuild ended: what it replaces is no longer needed.
    pub(super) fn on_activated(&mut self, shared: &mut Shared) -> Stays {
        let Usage::Activating(beside) = std::mem::replace(&mut self.usage, Usage::Active) else {
            unreachable!("an activation is answered once")
        };
        if let Some(generation) = beside.replaced {
            shared.store(StoreCall::Remove { generation });
        }
        self.release_held(shared)
    }

    /// The leaders answered question number `number`, which was asked at `asked`.
    pub(in crate::node) fn on_ends(
        &mut self,
        shared: &mut Shared,
        number: u64,
        asked: Moment,
        ends: &[EndAnswer],
    ) -> Stays {
        if let Some(deposed) = deposed(shared, ends) {
            shared.begin_stall(StallKind::StaleLeader, deposed.to_string());
            return Ok(());
        }
        shared.end_stale_leader();
        let reached = std::mem::take(&mut self.reached_at_ask);
        if reached.is_empty() {
            // It was asked before this copy was opened: perhaps of a topic that is gone, with other partitions and epochs.
            return Ok(());
        }
        shared.learn_epochs(ends.iter().map(|end| end.as_ref().ok().and_then(|end| end.epoch)));
        let answered = self.readers.iter_mut().zip(ends);
        let mut answered: Vec<(&mut Reader, &PartitionEnd)> =
            answered.filter_map(|(reader, end)| Some((reader, end.as_ref().ok()?))).collect();
        let short = answered.iter().find(|(reader, end)| {
            reached
                .get(reader.partition.index())
                .is_some_and(|reached| end.high_watermark < *reached)
        });
        if let Some((reader, end)) = short {
            // The log ends below what it had reached when it was asked: it lost records, or this is not the log.
            let leader = reader.fetched().leader();
            let reached = reached[reader.partition.index()];
            let deposed = Deposed::by_end(reader.partition, end, reached, leader);
            let deposed = deposed.ok_or(Leave::Lose)?;
            shared.begin_stall(StallKind::StaleLeader, deposed.to_string());
            return Ok(());
        }
        if !answered.iter_mut().all(|(reader, end)| reader.settles(end.epoch, asked)) {
            // When the gaps are read again, their end is known to be this leader's.
            return Err(Leave::Reopen);
        }
        for (reader, end) in &mut answered {
            reader.on_end(end, asked);
        }
        let read = |(reader, end): &(&mut Reader, &PartitionEnd)| {
            reader.applied().position >= end.high_watermark
        };
        if answered.len() == ends.len() && answered.iter().all(read) {
            // Everything there is was read: nothing can be waited for, however long nothing more comes.
            shared
                .end_stalls(|kind| matches!(kind, StallKind::PoisonBatch | StallKind::NoProgress));
        }
        let reached = shared.awaits.on_ends(number, ends);
        shared.settle(reached);
        self.pins.judge(shared, number, ends);
        self.flush_if_settled(shared)?;
        self.put_flush_off(shared)
    }

    fn save_confirmations(&mut self, shared: &mut Shared) {
        if self.confirming > 0 {
            return;
        }
        let confirmation = |reader: &mut Reader| {
            let retention_ms = reader.fetched().delete_retention_ms_min;
            let interval = confirm_interval(&shared.limits, retention_ms);
            Some((reader.partition, reader.unsaved_confirmation(interval)?))
        };
        let confirmations = self.readers.iter_mut().filter_map(confirmation).collect();
        self.save(shared, confirmations);
    }

    fn save(&mut self, shared: &mut Shared, lineages: Vec<(Partition, Lineage)>) {
        if lineages.is_empty() {
            return;
        }
        self.confirming += lineages.len();
        self.unflushed_since.get_or_insert(shared.now.mono);
        let generation = self.generation;
        for (partition, lineage) in lineages {
            shared.store(StoreCall::Confirm { generation, partition, lineage });
        }
    }

    /// When (monotonic) something is due beside the questions.
    pub(super) fn due(&self, shared: &Shared) -> Option<Duration> {
        let flush = self.unflushed_since.filter(|_| self.durability == Durability::Idle);
        let flush = flush.map(|since| since + shared.limits.flush_interval);
        let stalls = self.awaits_records().is_some() && !shared.stalls.any();
        let since = self.hidden().map_or(Duration::ZERO, |(_, (_, since))| since);
        let stall = stalls.then_some(self.progress_at.max(since) + shared.limits.stall_after);
        let inexact = self.inexact().filter(|_| !shared.stalls.any());
        let inexact = inexact.map(|(_, since)| since + shared.limits.stall_after);
        let assign = self.readers.iter().filter_map(|reader| reader.fetch.assign_at()).min();
        let gathered = self.gathered_timer(shared);
        let throttle = self.throttle_timer(shared);
        [flush, stall, inexact, assign, gathered, throttle].into_iter().flatten().min()
    }
}

fn deposed(shared: &Shared, ends: &[EndAnswer]) -> Option<Deposed> {
    let mut pairs = (0..).map(Partition).zip(ends).zip(&shared.epochs_known);
    pairs.find_map(|((partition, end), known)| {
        Deposed::by_epoch(partition, end.as_ref().ok()?, *known)
    })
}

/// A confirmation is worth a write once a twentieth of the retention it protects has passed.
fn confirm_interval(limits: &Limits, retention_ms: u64) -> Duration {
    Duration::from_millis(retention_ms / 20).min(limits.confirm_interval_max)
}
