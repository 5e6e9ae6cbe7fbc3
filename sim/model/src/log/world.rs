//! What others do to the topic: other clients and operators, and what is wrong between the nodes'
//! clients and the brokers. Never a node's own calls.
//!
//! Used by tests, the simulator and the conformance suite. Nothing is delivered here: the next
//! `tick` tells the nodes' clients what became of it.

use std::time::Duration;

use bytes::Bytes;
use outrigger_core::offset::{Offset, Partition};
use outrigger_core::time::Now;
use outrigger_core::topic::{TopicId, TopicPolicy};

use super::LogModel;
use super::broker::BrokerId;
use super::cleaner;
use super::faults::{AppendFate, Outage};
use super::history::LogChange;
use super::partition::PartitionLog;
use super::replica::offset_at;
use super::topic::Topic;
use super::transactions::{ProducerId, Verdict};

/// A record of another client: any key in any partition, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
}

/// Other clients. They do not retry: what is refused, because nobody leads or too few are in sync, is
/// not in the log and has no offsets.
impl LogModel {
    /// Appends one batch; returns the offsets of its records.
    pub fn append(&mut self, now: Now, partition: Partition, records: &[Foreign]) -> Vec<Offset> {
        self.append_as(now, partition, None, records)
    }

    /// Appends one batch of `producer`'s transaction, which begins with its first batch in a partition.
    pub fn append_in_transaction(
        &mut self,
        now: Now,
        partition: Partition,
        producer: ProducerId,
        records: &[Foreign],
    ) -> Vec<Offset> {
        if !self.cluster.coordinator.may_write(producer) {
            return Vec::new();
        }
        let offsets = self.append_as(now, partition, Some(producer), records);
        if !offsets.is_empty() {
            self.cluster.coordinator.wrote(producer, partition, now);
        }
        offsets
    }

    /// Writes a marker to each partition that the transaction wrote to, as soon as that can take it
    /// (KIP-98).
    pub fn end_transaction(&mut self, now: Now, producer: ProducerId, verdict: Verdict) {
        self.cluster.coordinator.end(producer, verdict);
        self.cluster.settle(now);
        self.changed();
    }

    fn append_as(
        &mut self,
        now: Now,
        partition: Partition,
        producer: Option<ProducerId>,
        records: &[Foreign],
    ) -> Vec<Offset> {
        let Topic { policy, partitions, .. } = &mut self.cluster.topic;
        let log = &mut partitions[partition.index()];
        let leader = log.reachable_leader(&self.cluster.brokers);
        let Some(leader) = leader.filter(|_| log.enough_in_sync(policy)) else {
            return Vec::new();
        };
        let behind = if policy.log_append_time { Duration::ZERO } else { self.faults.behind };
        let behind_ms = u64::try_from(behind.as_millis()).expect("clocks are behind by less");
        let written_ms = now.wall_ms.saturating_sub(behind_ms);
        let replica = log.replicas.get_mut(&leader).expect("a leader has a replica");
        let pairs = records.iter().map(|record| (record.key.clone(), record.value.clone()));
        let base = replica.append(written_ms, producer, pairs);
        self.cluster.settle(now);
        self.changed();
        (0..records.len()).map(|index| offset_at(base, index)).collect()
    }
}

/// What is wrong between nodes' clients and brokers.
impl LogModel {
    pub fn set_outage(&mut self, outage: Option<Outage>) {
        if let Some(outage) = &outage {
            outage.append.check();
            self.tell_trouble();
        }
        self.faults.outage = outage;
        self.changed();
    }

    /// The client alone reaches no broker, until it is called with false.
    pub fn cut_off(&mut self, client: u32, cut_off: bool) {
        if cut_off {
            self.faults.untold.insert(client);
            self.faults.cut_off.insert(client)
        } else {
            self.faults.cut_off.remove(&client)
        };
        self.changed();
    }

    /// The next `Append` calls meet nothing any more.
    pub fn forget_fates(&mut self) {
        self.faults.fates.clear();
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

    /// The clocks of all other clients are behind the brokers'.
    pub fn set_others_behind(&mut self, by: Duration) {
        self.faults.behind = by;
    }

    /// The client's fetches return nothing until it is let go again.
    pub fn stall_fetches(&mut self, client: u32, stalled: bool) {
        if stalled {
            self.faults.stalled.insert(client)
        } else {
            self.faults.stalled.remove(&client)
        };
        self.changed();
    }

    /// The client's fetches return nothing for a while, although there is something.
    pub fn fetch_gap(&mut self, now: Now, client: u32, lasts: Duration) {
        let until = self.faults.gaps.entry(client).or_default();
        *until = (now.mono + lasts).max(*until);
    }

    /// The client's process ended: no answer goes to it any more, what it had queued is gone.
    pub fn forget(&mut self, client: u32) {
        self.clients.remove(&client);
    }

    /// Every client says once what is wrong.
    pub(super) fn tell_trouble(&mut self) {
        self.faults.untold = self.clients.keys().copied().collect();
    }
}

/// Operators.
impl LogModel {
    /// `DeleteRecords`: the log start moves up (KIP-107). False when it is refused: nobody leads, or
    /// `before` is above the high watermark.
    pub fn delete_records(&mut self, partition: Partition, before: Offset) -> bool {
        let log = self.cluster.topic.log(partition);
        let leads = log.reachable_leader(&self.cluster.brokers).is_some();
        let taken = leads && before <= log.log().high_watermark;
        if taken {
            log.log_mut().raise_log_start(before);
        }
        self.changed();
        taken
    }

    /// `kafka-transactions.sh abort` for what a lost marker left open for ever (KIP-664).
    pub fn abort_hanging(&mut self, partition: Partition) {
        let replica = self.cluster.topic.partitions[partition.index()].log();
        self.cluster.coordinator.abort_hanging(partition, replica.transactions.open());
        self.changed();
    }

    /// Adds empty partitions after those that are there, as `CreatePartitions` does (KIP-195). Records stay where they
    /// are.
    pub fn add_partitions(&mut self, more: u32) {
        let Topic { policy, partitions, .. } = &mut self.cluster.topic;
        let first = u32::try_from(partitions.len()).expect("Kafka counts partitions in 31 bits");
        let (brokers, segments) = (&self.cluster.brokers, self.config.segments);
        let log = |number| PartitionLog::new(Partition(number), brokers, policy, segments);
        partitions.extend((first..first + more).map(log));
        self.changed();
    }

    /// Makes another topic of the same name, with as many partitions as at first (KIP-516). Readers do not notice:
    /// librdkafka goes by name.
    pub fn recreate(&mut self, id: TopicId) {
        let topic = &self.cluster.topic;
        assert!(id != topic.id, "a recreated topic has another id");
        let (policy, segments) = (topic.policy.clone(), self.config.segments);
        let count = self.config.partitions;
        self.cluster.topic = Topic::new(id, policy, count, segments, &self.cluster.brokers);
        self.cluster.coordinator.forget();
        if let Some(history) = &mut self.cluster.history {
            history.push(LogChange::Recreated { topic: id, partitions: count });
        }
        self.changed();
    }

    /// Does what `recreate` does, with this many partitions, now and later.
    pub fn recreate_with(&mut self, id: TopicId, partitions: u32) {
        self.config.partitions = partitions;
        self.recreate(id);
    }

    pub fn set_policy(&mut self, policy: TopicPolicy) {
        self.cluster.topic.policy = policy;
        self.changed();
    }

    pub fn topic(&self) -> TopicId {
        self.cluster.topic.id
    }

    pub fn policy(&self) -> &TopicPolicy {
        &self.cluster.topic.policy
    }

    /// The active segment of every live replica is full.
    pub fn roll(&mut self, partition: Partition) {
        let brokers = &self.cluster.brokers;
        let log = &mut self.cluster.topic.partitions[partition.index()];
        let live = log.replicas.iter_mut().filter(|(broker, _)| brokers.up(**broker));
        for (_, replica) in live {
            replica.roll();
        }
    }

    /// Lets every live broker's cleaner pass once over every partition.
    pub fn clean(&mut self, now: Now) {
        let brokers: Vec<_> = self.brokers().collect();
        for broker in brokers {
            self.clean_replica(now, broker);
        }
    }

    /// Lets one broker's cleaner pass once over all its replicas: cleaners do not coordinate.
    pub fn clean_replica(&mut self, now: Now, broker: BrokerId) {
        let up = self.cluster.brokers.up(broker);
        let policy = self.cluster.topic.policy.clone();
        self.cluster.clean(|at, replica| {
            up && at == broker && cleaner::clean(replica, &policy, now.wall_ms)
        });
        self.changed();
    }
}
