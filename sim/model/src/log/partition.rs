//! One partition: its replicas, who leads, who is in sync, and who is cut off from the others.

use std::collections::{BTreeMap, BTreeSet};

use outrigger_core::offset::{Epoch, Offset, Partition};
use outrigger_core::topic::TopicPolicy;

use super::broker::{BrokerId, Brokers};
use super::client::Role;
use super::history::Told;
use super::replica::Replica;
use super::replication::Follower;
use super::segments::SegmentLimits;

#[derive(Clone, Debug)]
pub(super) struct PartitionLog {
    pub(super) partition: Partition,
    pub(super) replicas: BTreeMap<BrokerId, Replica>,
    pub(super) leader: Option<BrokerId>,
    /// The leader, or while nobody leads, who led last: the log as far as anybody knows it.
    pub(super) last_leader: BrokerId,
    pub(super) in_sync: BTreeSet<BrokerId>,
    /// What the leader knows of the others, in its term.
    pub(super) followers: BTreeMap<BrokerId, Follower>,
    /// Replicas that hear nothing of the others, each with the clients that reach only it (KIP-320).
    cut_off: BTreeMap<BrokerId, Option<BTreeSet<(u32, Role)>>>,
    /// The epoch of the newest term.
    pub(super) epoch: Epoch,
    /// No clean election may lose anything below this: a leader's high watermark, lowered by what was lost since.
    pub(super) committed: Offset,
    /// The highest high watermark that readers may have seen, of the log as it was told.
    pub(super) exposed: Offset,
    /// Everything below that was told to be appended is.
    pub(super) acknowledged: Offset,
    pub(super) told: Told,
}

/// Who answers a client for this partition.
pub(super) struct Answering<'a> {
    pub(super) replica: &'a Replica,
    /// The broker leads no longer, or is cut off from the leader, and does not know it.
    pub(super) stale: bool,
}

impl PartitionLog {
    pub(super) fn new(
        partition: Partition,
        brokers: &Brokers,
        policy: &TopicPolicy,
        limits: SegmentLimits,
    ) -> PartitionLog {
        let count = brokers.config.count;
        let assigned = (0..policy.replication.clamp(1, count))
            .map(|place| BrokerId((partition.0 % count + place) % count));
        let preferred: Vec<BrokerId> = assigned.collect();
        let electable = |broker: &BrokerId| brokers.electable(*broker);
        let leader = preferred.iter().copied().find(electable);
        let first = leader.unwrap_or(preferred[0]);
        let in_sync = preferred.iter().copied().filter(electable).chain([first]).collect();
        let mut log = PartitionLog {
            partition,
            replicas: preferred.iter().map(|broker| (*broker, Replica::new(limits))).collect(),
            leader,
            last_leader: first,
            in_sync,
            followers: BTreeMap::new(),
            cut_off: BTreeMap::new(),
            epoch: Epoch(0),
            committed: Offset::ZERO,
            exposed: Offset::ZERO,
            acknowledged: Offset::ZERO,
            told: Told::new(first),
        };
        log.forget_progress();
        log
    }

    /// The replica of the leader or, while nobody leads, of the last one.
    pub(super) fn log(&self) -> &Replica {
        &self.replicas[&self.last_leader]
    }

    pub(super) fn log_mut(&mut self) -> &mut Replica {
        self.replicas.get_mut(&self.last_leader).expect("a leader has a replica")
    }

    pub(super) fn is_cut_off(&self, broker: BrokerId) -> bool {
        self.cut_off.contains_key(&broker)
    }

    /// The leader, when the other brokers and most clients reach it.
    pub(super) fn reachable_leader(&self, brokers: &Brokers) -> Option<BrokerId> {
        self.leader.filter(|leader| brokers.up(*leader) && !self.is_cut_off(*leader))
    }

    fn stale_for(&self, client: (u32, Role)) -> Option<BrokerId> {
        let mut cut_off = self.cut_off.iter();
        let answers = |clients: &Option<BTreeSet<(u32, Role)>>| {
            clients.as_ref().is_some_and(|clients| clients.contains(&client))
        };
        cut_off.find(|(_, clients)| answers(clients)).map(|(broker, _)| *broker)
    }

    /// The broker that answers the client, and whether it is stale.
    pub(super) fn reached_by(
        &self,
        client: (u32, Role),
        brokers: &Brokers,
    ) -> Option<(BrokerId, bool)> {
        match self.stale_for(client) {
            Some(broker) => Some((broker, true)),
            None => self.reachable_leader(brokers).map(|leader| (leader, false)),
        }
    }

    pub(super) fn answering(
        &self,
        client: (u32, Role),
        brokers: &Brokers,
    ) -> Option<Answering<'_>> {
        let (broker, stale) = self.reached_by(client, brokers)?;
        Some(Answering { replica: &self.replicas[&broker], stale })
    }

    /// From now on `broker` hears nobody; if it leads, it still answers `clients`, beside those that it answers already
    /// while it is cut off.
    pub(super) fn cut_off(&mut self, broker: BrokerId, clients: &[(u32, Role)]) {
        if self.replicas.contains_key(&broker) {
            let leads = self.leader == Some(broker);
            let answers = self.cut_off.entry(broker).or_insert_with(|| leads.then(BTreeSet::new));
            for answers in answers.iter_mut() {
                answers.extend(clients);
            }
        }
    }

    /// The broker hears of the others again, and they of it.
    pub(super) fn reunite(&mut self, broker: BrokerId) {
        self.cut_off.remove(&broker);
        if let Some(follower) = self.followers.get_mut(&broker) {
            *follower = Follower::default();
        }
    }

    pub(super) fn reunite_all(&mut self) {
        for broker in std::mem::take(&mut self.cut_off).into_keys() {
            self.followers.insert(broker, Follower::default());
        }
    }

    /// Those that are cut off answer nobody any more: what they would continue is gone.
    pub(super) fn silence_cut_off(&mut self) {
        for clients in self.cut_off.values_mut() {
            *clients = None;
        }
    }

    /// A new leader knows nothing of its followers' logs (`Partition.makeLeader`).
    pub(super) fn forget_progress(&mut self) {
        self.followers =
            self.replicas.keys().map(|broker| (*broker, Follower::default())).collect();
    }

    pub(super) fn lose_tail(&mut self, broker: BrokerId, batches: usize) {
        let committed = self.committed;
        if let Some(replica) = self.replicas.get_mut(&broker) {
            replica.lose_tail(batches);
            replica.maimed |= replica.log_end < committed;
        }
    }
}
