//! What a reading node asks and does again and again: ends, topic id, flushes, confirmations.

use std::time::Duration;

use crate::deposed::Deposed;
use crate::limits::Limits;
use crate::lineage::Lineage;
use crate::log::{EndAnswer, LogCall, PartitionEnd};
use crate::offset::{Generation, Partition};
use crate::stall::StallKind;
use crate::store::{StoreCall, StoreCallKind};
use crate::topic::TopicId;

use super::reader::Reader;
use super::reading::{Durability, Reading, Usage};
use super::{Node, Stage};

impl Node {
    /// Everything that is due while reading.
    pub(super) fn keep_up(&mut self) {
        self.want_flush();
        self.assign_again();
        self.keep_policy_known();
        if self.describe.ask(self.now) {
            self.log(LogCall::Describe);
        }
        self.ask_ends();
        self.check_topic();
        self.save_confirmations();
        self.name_stalls();
        self.show_gathered();
        self.give_credits();
    }

    fn want_flush(&mut self) {
        let draining = self.drain.is_some();
        let Stage::Reading(reading) = &mut self.stage else {
            return;
        };
        // Or the flush that ends a rebuild would wait for the next event.
        reading.note_targets();
        let last = draining && !reading.all_durable() && reading.durability == Durability::Idle;
        if last || reading.wants_flush(self.now, &self.limits) {
            reading.durability = Durability::Wanted;
            self.topic_id.hurry();
        }
    }

    fn ask_ends(&mut self) {
        let Stage::Reading(reading) = &self.stage else {
            return;
        };
        let reached = reading.readers.iter().map(|reader| reader.fetched().known_end());
        if self.ends.ask(self.now) {
            self.reached_at_ask = reached.collect();
            self.log(LogCall::Ends);
        }
    }

    fn check_topic(&mut self) {
        if !self.topic_id.ask(self.now) {
            return;
        }
        self.log(LogCall::TopicId);
        let Some(reading) = self.reading() else {
            return;
        };
        if reading.durability == Durability::Wanted {
            reading.durability = Durability::Checking;
        }
    }

    pub(super) fn on_topic_id(&mut self, topic: TopicId) {
        self.topic_id.answered(self.now, self.limits.ends_interval);
        let Some(reading) = self.reading() else {
            return;
        };
        if reading.identity.topic != topic {
            return self.reopen();
        }
        match (reading.durability == Durability::Checking, reading.settled()) {
            (true, true) => self.flush(),
            (true, false) => {
                reading.durability = Durability::Settling;
                self.ends.hurry();
                self.hurry_policy();
            }
            (false, _) => {}
        }
    }

    /// A flush may wait for the answer to a question from now on.
    pub(super) fn hurry_policy(&mut self) {
        let Stage::Reading(reading) = &self.stage else {
            return;
        };
        let waits = reading.durability == Durability::Settling;
        if waits && reading.readers.iter().any(Reader::waits_for_policy) {
            self.describe.hurry();
        }
    }

    pub(super) fn flush_if_settled(&mut self) {
        let settled =
            |reading: &mut Reading| reading.durability == Durability::Settling && reading.settled();
        if self.reading().is_some_and(settled) {
            self.flush();
        }
    }

    /// Everything sent to the store so far was fetched before the topic's id was last asked for.
    fn flush(&mut self) {
        let Some(reading) = self.reading() else {
            return;
        };
        let heard = reading.readers.iter_mut();
        let heard = heard.filter_map(|reader| Some((reader.partition, reader.flush()?))).collect();
        self.save(heard);
        let Some(reading) = self.reading() else {
            return;
        };
        let positions = reading.readers.iter().map(|reader| reader.fetched().position).collect();
        reading.durability = Durability::Flushing(positions);
        reading.unflushed_bytes = 0;
        reading.unflushed_since = None;
        let generation = reading.generation;
        self.store(StoreCall::Flush { generation });
        self.release_held();
    }

    pub(super) fn on_reading_done(&mut self, call: StoreCallKind, generation: Generation) {
        match call {
            StoreCallKind::Flush => self.on_flushed(generation),
            StoreCallKind::Activate => self.on_activated(),
            StoreCallKind::Confirm => self.on_confirmed(),
            StoreCallKind::Open
            | StoreCallKind::Look
            | StoreCallKind::Create
            | StoreCallKind::Adopt
            | StoreCallKind::Apply
            | StoreCallKind::Quarantine
            | StoreCallKind::Remove
            | StoreCallKind::Close
            | StoreCallKind::Pin
            | StoreCallKind::Unpin => {}
        }
    }

    fn on_confirmed(&mut self) {
        if let Some(reading) = self.reading() {
            reading.confirming -= 1;
        }
    }

    fn on_flushed(&mut self, generation: Generation) {
        let Some(reading) = self.reading() else {
            return;
        };
        let Durability::Flushing(positions) =
            std::mem::replace(&mut reading.durability, Durability::Idle)
        else {
            unreachable!("a flush is answered once, while it is under way")
        };
        for (reader, position) in reading.readers.iter_mut().zip(positions) {
            reader.on_durable(position);
        }
        if reading.is_rebuilt() && reading.all_durable() {
            let Usage::Building { serve, replaced } = &reading.usage else {
                return;
            };
            reading.usage = Usage::Activating { serve: *serve, replaced: replaced.clone() };
            self.store(StoreCall::Activate { generation });
        }
        self.release_held();
    }

    /// The rebuild ended: what it replaces is no longer needed.
    fn on_activated(&mut self) {
        let Some(reading) = self.reading() else {
            return;
        };
        let Usage::Activating { replaced, .. } =
            std::mem::replace(&mut reading.usage, Usage::Active)
        else {
            unreachable!("an activation is answered once")
        };
        replaced.into_iter().for_each(|generation| self.store(StoreCall::Remove { generation }));
        self.release_held();
    }

    pub(super) fn on_ends(&mut self, ends: &[EndAnswer]) {
        let number = self.ends.asked();
        let asked = self.ends.answered(self.now, self.limits.ends_interval);
        self.note_leaders(ends);
        let (Some(asked), Stage::Reading(_)) = (asked, &self.stage) else {
            return;
        };
        if let Some(deposed) = self.deposed(ends) {
            return self.begin_stall(StallKind::StaleLeader, deposed.to_string());
        }
        self.end_stale_leader();
        let reached = std::mem::take(&mut self.reached_at_ask);
        if reached.is_empty() {
            // Asked before this copy was opened: perhaps of a topic that is gone, with other partitions and epochs.
            return;
        }
        self.learn_epochs(ends.iter().map(|end| end.as_ref().ok().and_then(|end| end.epoch)));
        let Some(reading) = self.reading() else {
            return;
        };
        let answered = reading.readers.iter_mut().zip(ends);
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
            return match Deposed::by_end(reader.partition, end, reached, leader) {
                Some(deposed) => self.begin_stall(StallKind::StaleLeader, deposed.to_string()),
                None => self.lose(),
            };
        }
        if !answered.iter_mut().all(|(reader, end)| reader.settles(end.epoch, asked)) {
            // Read again, the gaps have an end that is known to be this leader's.
            return self.reopen();
        }
        for (reader, end) in &mut answered {
            reader.on_end(end, asked);
        }
        let read = |(reader, end): &(&mut Reader, &PartitionEnd)| {
            reader.applied().position >= end.high_watermark
        };
        if answered.len() == ends.len() && answered.iter().all(read) {
            // Everything there is was read: nothing can be waited for, however long nothing more comes.
            self.end_stalls(|kind| matches!(kind, StallKind::PoisonBatch | StallKind::NoProgress));
        }
        let reached = self.awaits.on_ends(number, ends);
        self.settle(reached);
        self.judge_pins(number, ends);
        self.flush_if_settled();
        self.put_flush_off();
    }

    fn deposed(&self, ends: &[EndAnswer]) -> Option<Deposed> {
        let mut pairs = (0..).map(Partition).zip(ends).zip(&self.epochs_known);
        pairs.find_map(|((partition, end), known)| {
            Deposed::by_epoch(partition, end.as_ref().ok()?, *known)
        })
    }

    fn save_confirmations(&mut self) {
        let Stage::Reading(reading) = &mut self.stage else {
            return;
        };
        if reading.confirming > 0 {
            return;
        }
        let confirmation = |reader: &mut Reader| {
            let interval = confirm_interval(&self.limits, reader.fetched().delete_retention_ms_min);
            Some((reader.partition, reader.unsaved_confirmation(interval)?))
        };
        let confirmations = reading.readers.iter_mut().filter_map(confirmation).collect();
        self.save(confirmations);
    }

    fn save(&mut self, lineages: Vec<(Partition, Lineage)>) {
        let now = self.now.mono;
        let Some(reading) = self.reading().filter(|_| !lineages.is_empty()) else {
            return;
        };
        reading.confirming += lineages.len();
        reading.unflushed_since.get_or_insert(now);
        let generation = reading.generation;
        for (partition, lineage) in lineages {
            self.store(StoreCall::Confirm { generation, partition, lineage });
        }
    }

    fn name_stalls(&mut self) {
        let Stage::Reading(reading) = &self.stage else {
            return;
        };
        let long = |since: Duration| self.now.mono.saturating_sub(since) >= self.limits.stall_after;
        let idle = long(reading.progress_at);
        match reading.hidden() {
            // After a quiet time the end moves before the records come: that alone hides nothing.
            Some((partition, (offset, since))) if idle && long(since) => {
                let detail =
                    format!("partition {partition}: a transaction is open at offset {offset}");
                self.begin_stall(StallKind::OpenTransaction, detail);
            }
            Some(_) => {}
            None => self.end_stalls(|kind| kind == StallKind::OpenTransaction),
        }
        self.name_inexactness();
        let Stage::Reading(reading) = &self.stage else {
            return;
        };
        // What is hidden gets its name from the next ends.
        if let Some((reader, until)) = reading.awaits_records()
            && idle
            && reading.hidden().is_none()
            && !self.stalls.any()
        {
            let (partition, position) = (reader.partition, reader.applied().position);
            let detail =
                format!("partition {partition}: nothing arrives at position {position} of {until}");
            self.begin_stall(StallKind::NoProgress, detail);
        }
    }

    /// A copy whose gaps may be compaction's waits until it has read what the leader had when they were read. Where
    /// other writers' transactions overlap that is always ahead: their open records count, and hide what follows.
    /// The last stable offset of that fetch would do, and be reached; but librdkafka keeps it to itself.
    fn name_inexactness(&mut self) {
        let Stage::Reading(reading) = &self.stage else {
            return;
        };
        match reading.inexact() {
            Some((reader, since)) => {
                let (partition, position, from) =
                    (reader.partition, reader.applied().position, reader.applied().exact_from);
                let long = self.now.mono >= since + self.limits.stall_after;
                if long && !self.stalls.any_beside(StallKind::Inexact) {
                    let detail = format!(
                        "partition {partition}: read to {position}, and exact only from {from}: gaps go on"
                    );
                    self.begin_stall(StallKind::Inexact, detail);
                }
            }
            None => self.end_stalls(|kind| kind == StallKind::Inexact),
        }
    }

    /// When something of a reading node is due beside the questions.
    pub(super) fn reading_timer(&self, reading: &Reading) -> Option<Duration> {
        let flush = reading.unflushed_since.filter(|_| reading.durability == Durability::Idle);
        let flush = flush.map(|since| since + self.limits.flush_interval);
        let stalls = reading.awaits_records().is_some() && !self.stalls.any();
        let since = reading.hidden().map_or(Duration::ZERO, |(_, (_, since))| since);
        let stall = stalls.then_some(reading.progress_at.max(since) + self.limits.stall_after);
        let inexact = reading.inexact().filter(|_| !self.stalls.any());
        let inexact = inexact.map(|(_, since)| since + self.limits.stall_after);
        let assign = reading.readers.iter().filter_map(|reader| reader.fetch.assign_at()).min();
        let gathered = self.gathered_timer(reading);
        [flush, stall, inexact, assign, gathered, self.throttle_timer()].into_iter().flatten().min()
    }
}

/// A confirmation is worth a write once a twentieth of the retention it protects has passed.
fn confirm_interval(limits: &Limits, retention_ms: u64) -> Duration {
    Duration::from_millis(retention_ms / 20).min(limits.confirm_interval_max)
}
