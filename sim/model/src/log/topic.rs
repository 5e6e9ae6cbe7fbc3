//! One topic: its id, its settings, its partitions.

use outrigger_core::log::PartitionEnd;
use outrigger_core::offset::Partition;
use outrigger_core::topic::{PartitionFacts, TopicId, TopicPolicy};

use super::broker::Brokers;
use super::client::Role;
use super::partition::PartitionLog;
use super::replica::Replica;
use super::segments::SegmentLimits;

#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) id: TopicId,
    pub(super) policy: TopicPolicy,
    pub(super) partitions: Vec<PartitionLog>,
}

/// Why a leader's ends cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untold {
    /// `LEADER_NOT_AVAILABLE`.
    NoLeader,
    /// `OFFSET_NOT_AVAILABLE`: its high watermark is not known to be as high as it was (KIP-207).
    NotKnown,
}

impl Topic {
    pub(super) fn new(
        id: TopicId,
        policy: TopicPolicy,
        partitions: u32,
        limits: SegmentLimits,
        brokers: &Brokers,
    ) -> Topic {
        let log = |partition| PartitionLog::new(partition, brokers, &policy, limits);
        let partitions = Partition::all(partitions).map(log).collect();
        Topic { id, policy, partitions }
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.partitions.len()).expect("Kafka counts partitions in 31 bits")
    }

    pub(super) fn log(&mut self, partition: Partition) -> &mut PartitionLog {
        &mut self.partitions[partition.index()]
    }

    pub(super) fn facts(
        &self,
        client: u32,
        brokers: &Brokers,
    ) -> Vec<Result<PartitionFacts, Untold>> {
        let facts = |replica: &Replica| PartitionFacts {
            log_start: replica.log_start,
            high_watermark: replica.high_watermark,
            epoch: Some(replica.epoch()),
        };
        self.ask_all(client, brokers, facts)
    }

    pub(super) fn ends(&self, client: u32, brokers: &Brokers) -> Vec<Result<PartitionEnd, Untold>> {
        let end = |replica: &Replica| PartitionEnd {
            high_watermark: replica.high_watermark,
            epoch: Some(replica.epoch()),
        };
        self.ask_all(client, brokers, end)
    }

    fn ask_all<T>(
        &self,
        client: u32,
        brokers: &Brokers,
        answer: impl Fn(&Replica) -> T,
    ) -> Vec<Result<T, Untold>> {
        let ask = |log: &PartitionLog| {
            let client = (client, Role::Asks);
            let replica = log.answering(client, brokers).ok_or(Untold::NoLeader)?.replica;
            if replica.knows_its_end() { Ok(answer(replica)) } else { Err(Untold::NotKnown) }
        };
        self.partitions.iter().map(ask).collect()
    }
}
