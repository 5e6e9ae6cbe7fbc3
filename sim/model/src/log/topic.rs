//! One topic: its id, its settings, and per partition the replica that answers each client.

use std::collections::BTreeSet;

use outrigger_core::log::PartitionEnd;
use outrigger_core::offset::{Epoch, Partition};
use outrigger_core::topic::{PartitionFacts, TopicId, TopicPolicy};

use super::replica::Replica;
use super::segments::SegmentLimits;

#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) id: TopicId,
    pub(super) policy: TopicPolicy,
    pub(super) partitions: Vec<PartitionLog>,
}

#[derive(Clone, Debug)]
pub(super) struct PartitionLog {
    pub(super) leader: Replica,
    deposed: Option<Deposed>,
}

/// A leader that was voted out and has not heard of it: reads and asks of those who reach only it
/// are answered with its old log, until it hears (KIP-320; tried: 24 s).
#[derive(Clone, Debug)]
struct Deposed {
    replica: Replica,
    clients: BTreeSet<u32>,
}

impl Topic {
    pub(super) fn new(
        id: TopicId,
        policy: TopicPolicy,
        partitions: u32,
        limits: SegmentLimits,
    ) -> Topic {
        let log = || PartitionLog { leader: Replica::new(limits), deposed: None };
        Topic { id, policy, partitions: Partition::all(partitions).map(|_| log()).collect() }
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.partitions.len()).expect("Kafka counts partitions in 31 bits")
    }

    pub(super) fn log(&mut self, partition: Partition) -> &mut PartitionLog {
        &mut self.partitions[partition.index()]
    }

    pub(super) fn facts(&self, client: u32) -> Vec<PartitionFacts> {
        let facts = |replica: &Replica| PartitionFacts {
            log_start: replica.log_start,
            high_watermark: replica.high_watermark,
            epoch: Some(replica.epoch()),
        };
        self.partitions.iter().map(|log| facts(log.answering(client))).collect()
    }

    pub(super) fn ends(&self, client: u32) -> Vec<PartitionEnd> {
        let end = |replica: &Replica| PartitionEnd {
            high_watermark: replica.high_watermark,
            epoch: Some(replica.epoch()),
        };
        self.partitions.iter().map(|log| end(log.answering(client))).collect()
    }
}

impl PartitionLog {
    pub(super) fn answering(&self, client: u32) -> &Replica {
        match &self.deposed {
            Some(deposed) if deposed.clients.contains(&client) => &deposed.replica,
            Some(_) | None => &self.leader,
        }
    }

    pub(super) fn reaches_leader(&self, client: u32) -> bool {
        self.deposed.as_ref().is_none_or(|deposed| !deposed.clients.contains(&client))
    }

    pub(super) fn elect(&mut self) {
        let next = self.leader.epoch().0.checked_add(1).expect("fewer than 2^31 elections");
        self.leader.elect(Epoch(next));
    }

    pub(super) fn depose(&mut self, clients: BTreeSet<u32>) {
        let mut replica = self.leader.clone();
        replica.deposed = true;
        self.deposed = Some(Deposed { replica, clients });
        self.elect();
    }

    /// The old leader hears of the new one and drops what only it had.
    pub(super) fn reunite(&mut self) {
        self.deposed = None;
    }
}
