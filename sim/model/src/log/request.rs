//! One produce request: the part of a call that goes to one partition, as one batch, over all its tries.

use std::time::Duration;

use bytes::Bytes;
use outrigger_core::log::{KafkaError, Write};
use outrigger_core::offset::{Epoch, Offset, Partition, Revision};
use outrigger_core::time::Now;
use outrigger_core::topic::TopicId;

use super::client::{Role, World};
use super::cluster::Cluster;
use super::faults::{AppendFate, Failure, Faults, Landing, error, timed_out};
use super::replica::{Replica, offset_at};
use super::topic::Topic;

/// `DefaultRecordBatch.RECORD_BATCH_OVERHEAD` and the most that a record's own fields take.
const BATCH_OVERHEAD_BYTES: u64 = 61 + 21;

/// Where a try put a batch. An epoch has one leader, so epoch and offset name a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) topic: TopicId,
    pub(super) epoch: Epoch,
    pub(super) base: Offset,
    pub(super) last: Offset,
}

/// The first and the last batch that a producer's leader acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    pub(super) first: Written,
    pub(super) last: Written,
}

/// Writes of a failed call that reach the log after all.
#[derive(Clone, Debug)]
pub(super) struct LateAppend {
    pub(super) at: Duration,
    partition: Partition,
    records: Vec<(Option<Bytes>, Option<Bytes>)>,
}

pub(super) type Answer = Result<Revision, KafkaError>;

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) call: u64,
    /// The indexes of the call's writes that it has.
    pub(super) indexes: Vec<usize>,
    pub(super) deadline: Duration,
    fate: AppendFate,
    /// Where each try was written. A leader that has any of them knows its sequence, and takes no other
    /// (`ProducerStateManager`, KIP-98).
    tries: Vec<Written>,
    /// Its leader answered with an error that is not retried.
    failed: Option<KafkaError>,
}

impl Written {
    /// Whether the batch is in this log, or was until it was cleaned.
    pub(super) fn survives_in(&self, replica: &Replica, topic: TopicId) -> bool {
        let Written { epoch, base, last, .. } = *self;
        topic == self.topic && replica.epochs.holds(epoch, base, last, replica.log_end)
    }
}

impl Request {
    pub(super) fn new(
        call: u64,
        indexes: Vec<usize>,
        deadline: Duration,
        fate: AppendFate,
    ) -> Request {
        Request { call, indexes, deadline, fate, tries: Vec::new(), failed: None }
    }

    /// Sends it; false when it cannot be sent now. `sequence` is the producer's, before and after: a leader that lacks
    /// its end refuses what continues it, and the producer is given up for a new one; a leader that knows nothing of it
    /// takes what comes (KIP-360).
    pub(super) fn send(
        &mut self,
        client: u32,
        partition: Partition,
        writes: &[Write],
        sequence: Option<Sequence>,
        world: &mut World<'_>,
    ) -> (bool, Option<Sequence>) {
        let (id, now_ms) = (world.cluster.topic.id, world.now.wall_ms);
        let Some((replica, enough)) = reached(client, partition, world) else {
            return (false, sequence);
        };
        if self.failed.is_some() || self.surviving(replica, id).is_some() {
            return (true, sequence);
        }
        // NOT_ENOUGH_REPLICAS is retried like any refusal before the append.
        if !enough {
            return (false, sequence);
        }
        let sequence = sequence.filter(|sequence| sequence.first.survives_in(replica, id));
        if sequence.is_some_and(|sequence| !sequence.last.survives_in(replica, id)) {
            self.failed = Some(error(45, "OUT_OF_ORDER_SEQUENCE_NUMBER", false));
            return (true, None);
        }
        match &self.fate {
            AppendFate::Acknowledged => {
                let records = self.indexes.iter().map(|index| record(&writes[*index]));
                let base = replica.append(now_ms, None, records);
                let (epoch, last) = (replica.epoch(), offset_at(base, self.indexes.len() - 1));
                self.tries.push(Written { topic: id, epoch, base, last });
            }
            AppendFate::Fails(failure) => {
                self.land(failure, partition, writes, world.now, world.cluster, world.faults);
                self.failed = Some(failure.error.clone());
            }
        }
        (true, sequence)
    }

    /// Whether it is certain that it never left its client.
    pub(super) fn is_unsent(&self, faults: &Faults) -> bool {
        let kept = match &self.fate {
            AppendFate::Fails(_) => false,
            AppendFate::Acknowledged => {
                faults.outage.as_ref().is_none_or(|outage| outage.append.error.not_persisted)
            }
        };
        kept && self.tries.is_empty() && self.failed.is_none()
    }

    fn surviving(&self, replica: &Replica, topic: TopicId) -> Option<&Written> {
        self.tries.iter().rev().find(|written| written.survives_in(replica, topic))
    }

    /// The answer; none while nothing is certain and there is time left. It comes with where the batch is, when that
    /// was told.
    pub(super) fn answer(
        &self,
        client: u32,
        partition: Partition,
        writes: &[Write],
        world: &mut World<'_>,
    ) -> Option<(Vec<Answer>, Option<Written>)> {
        if let Some(error) = &self.failed {
            return Some((self.all(error), None));
        }
        if let Some(written) = self.acknowledged(client, partition, world) {
            let offsets = (written.base.0..=written.last.0).map(Offset);
            let told = offsets.map(|offset| Ok(Revision { partition, offset })).collect();
            return Some((told, Some(written)));
        }
        let late = self.deadline <= world.now.mono;
        late.then(|| self.expire(partition, writes, world)).map(|error| (self.all(&error), None))
    }

    /// Where the batch is under the high watermark of the leader that the client reaches, with enough replicas in sync
    /// (`Partition.checkEnoughReplicasReachOffset`); too few are NOT_ENOUGH_REPLICAS_AFTER_APPEND, retried.
    fn acknowledged(
        &self,
        client: u32,
        partition: Partition,
        world: &mut World<'_>,
    ) -> Option<Written> {
        if world.faults.outage.is_some() {
            return None;
        }
        let Cluster { brokers, topic, .. } = &mut *world.cluster;
        let log = &mut topic.partitions[partition.index()];
        let (broker, stale) = log.reached_by((client, Role::Writes), brokers)?;
        let replica = &log.replicas[&broker];
        let written = *self.surviving(replica, topic.id)?;
        let committed = !stale && replica.high_watermark > written.last;
        if !committed || !log.enough_in_sync(&topic.policy) {
            return None;
        }
        log.acknowledged = log.acknowledged.max(written.last.next());
        Some(written)
    }

    /// The error that it fails with. What it left in a log may still survive.
    fn expire(&self, partition: Partition, writes: &[Write], world: &mut World<'_>) -> KafkaError {
        if !self.tries.is_empty() {
            return timed_out(false);
        }
        let failure = match &self.fate {
            AppendFate::Fails(failure) => Some(failure.clone()),
            AppendFate::Acknowledged => world.faults.outage.as_ref().map(|out| out.append.clone()),
        };
        let Some(failure) = failure else {
            return timed_out(true);
        };
        self.land(&failure, partition, writes, world.now, world.cluster, world.faults);
        failure.error
    }

    fn land(
        &self,
        failure: &Failure,
        partition: Partition,
        writes: &[Write],
        now: Now,
        cluster: &mut Cluster,
        faults: &mut Faults,
    ) {
        let records = self.indexes.iter().map(|index| record(&writes[*index])).collect();
        let late = |at| LateAppend { at, partition, records };
        match failure.landing {
            Landing::Never => {}
            Landing::Now => late(now.mono).land(now, cluster),
            Landing::After(delay) => faults.late.push(late(now.mono + delay)),
        }
    }

    pub(super) fn all(&self, error: &KafkaError) -> Vec<Answer> {
        vec![Err(error.clone()); self.indexes.len()]
    }
}

impl LateAppend {
    /// A leader that cannot take it now refuses it, and nobody sends it again.
    pub(super) fn land(self, now: Now, cluster: &mut Cluster) {
        let Cluster { brokers, topic, .. } = cluster;
        let log = &mut topic.partitions[self.partition.index()];
        if let Some(leader) = log.reachable_leader(brokers)
            && log.enough_in_sync(&topic.policy)
        {
            let replica = log.replicas.get_mut(&leader).expect("a leader has a replica");
            replica.append(now.wall_ms, None, self.records);
        }
    }
}

/// The log that takes the client's batches, and whether its leader sees enough replicas in sync. One
/// that is cut off sees those that there were.
fn reached<'a>(
    client: u32,
    partition: Partition,
    world: &'a mut World<'_>,
) -> Option<(&'a mut Replica, bool)> {
    if world.faults.reaches_nobody(client) {
        return None;
    }
    let Cluster { brokers, topic, .. } = &mut *world.cluster;
    let log = &mut topic.partitions[partition.index()];
    let (broker, stale) = log.reached_by((client, Role::Writes), brokers)?;
    let enough = stale || log.enough_in_sync(&topic.policy);
    Some((log.replicas.get_mut(&broker).expect("who answers has a replica"), enough))
}

fn record(write: &Write) -> (Option<Bytes>, Option<Bytes>) {
    (Some(write.key.clone()), write.value.clone())
}

/// What librdkafka or the broker refuses for itself, whatever happens to the rest of the call.
pub(super) fn refusal(topic: &Topic, write: &Write) -> Option<KafkaError> {
    let bytes = write.key.len() + write.value.as_ref().map_or(0, Bytes::len);
    let bytes = u64::try_from(bytes).expect("lengths fit 64 bits") + BATCH_OVERHEAD_BYTES;
    if write.partition.0 >= topic.count() {
        return Some(error(-190, "_UNKNOWN_PARTITION", true));
    }
    (bytes > topic.policy.message_bytes_max).then(|| error(10, "MSG_SIZE_TOO_LARGE", true))
}
