//! What others do to the topic: other clients, brokers, operators. Never a node's own calls.
//!
//! Used by tests, the simulator and the conformance suite. Nothing is delivered here: the next
//! `tick` tells the nodes' clients what became of it.

use bytes::Bytes;
use outrigger_core::offset::{Epoch, Offset, Partition};
use outrigger_core::time::Now;
use outrigger_core::topic::{TopicId, TopicPolicy};

use super::cleaner;
use super::faults::{AppendFate, Outage};
use super::replica::{Replica, offset_at};
use super::segments::RecordBatch;
use super::topic::Topic;
use super::transactions::{ProducerId, Verdict};
use super::{Content, LogModel};

/// A record of another client: any key in any partition, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
}

/// All of a partition but its batches: what a journal needs to bring it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    pub log_start: Offset,
    pub log_end: Offset,
    pub cleaned_to: Offset,
    /// Leader epochs with their start offsets, ascending.
    pub epochs: Vec<(Epoch, Offset)>,
}

/// Other clients.
impl LogModel {
    /// One batch; returns the offsets of its records.
    pub fn append(&mut self, now: Now, partition: Partition, records: &[Foreign]) -> Vec<Offset> {
        self.append_as(now, partition, None, records)
    }

    /// One batch of `producer`'s transaction, which begins with its first batch in a partition.
    pub fn append_in_transaction(
        &mut self,
        now: Now,
        partition: Partition,
        producer: ProducerId,
        records: &[Foreign],
    ) -> Vec<Offset> {
        self.append_as(now, partition, Some(producer), records)
    }

    /// Writes a marker to each partition that the transaction wrote to (KIP-98).
    pub fn end_transaction(&mut self, now: Now, producer: ProducerId, verdict: Verdict) {
        let before = self.log_ends();
        for log in &mut self.topic.partitions {
            if log.leader.transactions.open(producer) {
                log.leader.end_transaction(now.wall_ms, producer, verdict);
            }
        }
        self.note_appended(&before);
    }

    fn append_as(
        &mut self,
        now: Now,
        partition: Partition,
        producer: Option<ProducerId>,
        records: &[Foreign],
    ) -> Vec<Offset> {
        let before = self.log_ends();
        let pairs = records.iter().map(|record| (record.key.clone(), record.value.clone()));
        let base = self.topic.log(partition).leader.append(now.wall_ms, producer, pairs);
        self.note_appended(&before);
        (0..records.len()).map(|index| offset_at(base, index)).collect()
    }
}

/// Brokers.
impl LogModel {
    pub fn roll(&mut self, partition: Partition) {
        self.topic.log(partition).leader.roll();
    }

    /// One pass of the cleaner over every partition.
    pub fn clean(&mut self, now: Now) {
        for log in &mut self.topic.partitions {
            cleaner::clean(&mut log.leader, &self.topic.policy, now.wall_ms);
        }
        self.stirred = true;
    }

    /// A clean election: nothing is lost.
    pub fn elect(&mut self, partition: Partition) {
        self.topic.log(partition).elect();
        self.stirred = true;
    }

    /// An unclean election: the new leader's log ends at `end`, or before the batch around it.
    /// Returns where it ends.
    pub fn truncate(&mut self, partition: Partition, end: Offset) -> Offset {
        let log = self.topic.log(partition);
        log.leader.truncate(end);
        log.elect();
        self.stirred = true;
        self.topic.log(partition).leader.log_end
    }

    /// A new leader is elected; `clients` reach only the old one, which does not know.
    pub fn depose_leader(&mut self, partition: Partition, clients: impl IntoIterator<Item = u32>) {
        self.topic.log(partition).depose(clients.into_iter().collect());
        self.stirred = true;
    }

    /// Everybody reaches the leader again.
    pub fn reunite(&mut self, partition: Partition) {
        self.topic.log(partition).reunite();
        self.stirred = true;
    }

    pub fn set_outage(&mut self, outage: Option<Outage>) {
        if let Some(outage) = &outage {
            outage.append.check();
            self.faults.untold = self.clients.keys().copied().collect();
        }
        self.faults.outage = outage;
        self.stirred = true;
    }

    /// What becomes of the next `Append` calls, in the order they are made.
    pub fn next_appends(&mut self, fates: impl IntoIterator<Item = AppendFate>) {
        for fate in fates {
            if let AppendFate::Fails(failure) = &fate {
                failure.check();
            }
            self.faults.fates.push_back(fate);
        }
    }

    /// The client's fetches return nothing until it is let go again.
    pub fn stall_fetches(&mut self, client: u32, stalled: bool) {
        match stalled {
            true => self.faults.stalled.insert(client),
            false => self.faults.stalled.remove(&client),
        };
        self.stirred = true;
    }

    /// The client's process ended: no answer goes to it any more, what it had queued is gone.
    pub fn forget(&mut self, client: u32) {
        self.clients.remove(&client);
    }
}

/// Operators.
impl LogModel {
    /// `DeleteRecords`: the log start moves up (KIP-107).
    pub fn delete_records(&mut self, partition: Partition, before: Offset) {
        self.topic.log(partition).leader.delete_records(before);
        self.stirred = true;
    }

    /// Same name, another topic (KIP-516). Readers do not notice: librdkafka goes by name.
    pub fn recreate(&mut self, id: TopicId) {
        assert!(id != self.topic.id, "a recreated topic has another id");
        let (policy, count) = (self.topic.policy.clone(), self.topic.count());
        self.topic = Topic::new(id, policy, count, self.config.segments);
        self.stirred = true;
    }

    pub fn set_policy(&mut self, policy: TopicPolicy) {
        self.topic.policy = policy;
        self.stirred = true;
    }

    pub fn policy(&self) -> &TopicPolicy {
        &self.topic.policy
    }
}

/// What a journal keeps, and oracles compare with.
impl LogModel {
    /// From now on `take_appended` tells every batch that enters the log.
    pub fn keep_appended(&mut self) {
        self.appended.get_or_insert_default();
    }

    pub fn take_appended(&mut self) -> Vec<(Partition, RecordBatch)> {
        self.appended.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub fn batches(&self, partition: Partition) -> impl Iterator<Item = &RecordBatch> {
        self.topic.partitions[partition.index()].leader.segments.batches()
    }

    pub fn last_stable(&self, partition: Partition) -> Offset {
        self.topic.partitions[partition.index()].leader.last_stable()
    }

    pub fn state(&self, partition: Partition) -> PartitionState {
        let Replica { log_start, log_end, cleaned_to, epochs, .. } =
            &self.topic.partitions[partition.index()].leader;
        PartitionState {
            log_start: *log_start,
            log_end: *log_end,
            cleaned_to: *cleaned_to,
            epochs: epochs.starts().to_vec(),
        }
    }

    /// Puts a batch back as it was: the log ends after it.
    pub fn put(&mut self, partition: Partition, batch: RecordBatch) {
        self.topic.log(partition).leader.put(batch);
    }

    /// Ends the restoring of a partition: `put` its batches first.
    pub fn restore(&mut self, partition: Partition, state: &PartitionState) {
        self.topic.log(partition).leader.restore(state);
    }

    pub(super) fn log_ends(&self) -> Vec<Offset> {
        self.topic.partitions.iter().map(|log| log.leader.log_end).collect()
    }

    pub(super) fn note_appended(&mut self, before: &[Offset]) {
        for (partition, before) in Partition::all(self.topic.count()).zip(before) {
            let leader = &self.topic.partitions[partition.index()].leader;
            if leader.log_end == *before {
                continue;
            }
            self.stirred = true;
            if let Some(appended) = &mut self.appended {
                let new = leader.segments.batches_from(*before).cloned();
                appended.extend(new.map(|batch| (partition, batch)));
            }
        }
    }
}

impl RecordBatch {
    /// Ends a transaction instead of holding records.
    pub fn is_marker(&self) -> bool {
        matches!(self.content, Content::Marker(_))
    }
}
