//! Who leads next: an in-sync replica, or by an unclean election another one, with what it has.
//!
//! A clean election never loses a record that was under the high watermark: asserted here.

use outrigger_core::offset::{Epoch, Offset, Partition};
use outrigger_core::topic::TopicPolicy;

use super::LogModel;
use super::broker::{BrokerId, Brokers};
use super::client::{Role, all_roles};
use super::history::Truncation;
use super::partition::PartitionLog;

impl PartitionLog {
    /// Elects the first live in-sync replica after the last leader (`PartitionChangeBuilder.electLeader`).
    pub(super) fn elect_if_leaderless(&mut self, brokers: &Brokers) {
        if self.leader.is_none()
            && let Some(next) = self.next_in_sync(brokers)
        {
            self.lead_cleanly(next);
        }
    }

    /// Elects another in-sync replica; without one the same broker leads again, as after its restart.
    fn elect(&mut self, brokers: &Brokers) {
        let next = self.next_in_sync(brokers).or(self.reachable_leader(brokers));
        if let Some(next) = next.filter(|_| self.leader.is_some()) {
            self.lead_cleanly(next);
        }
    }

    fn next_in_sync(&self, brokers: &Brokers) -> Option<BrokerId> {
        self.next(brokers, |broker| self.in_sync.contains(&broker))
    }

    /// The first electable replica after the last leader that `may` lead; the last leader comes last, and only when it
    /// leads no more.
    fn next(&self, brokers: &Brokers, may: impl Fn(BrokerId) -> bool) -> Option<BrokerId> {
        let (before, after): (Vec<BrokerId>, Vec<BrokerId>) =
            self.replicas.keys().partition(|broker| **broker <= self.last_leader);
        let mut ring = after.into_iter().chain(before);
        ring.find(|broker| {
            let fit = brokers.electable(*broker) && !self.is_cut_off(*broker);
            fit && may(*broker) && self.leader != Some(*broker)
        })
    }

    fn lead_cleanly(&mut self, broker: BrokerId) {
        let replica = &self.replicas[&broker];
        assert!(
            replica.maimed || replica.log_end >= self.committed,
            "a clean election of {broker:?} at {} loses what is committed up to {}",
            replica.log_end,
            self.committed
        );
        self.lead(broker);
    }

    fn lead(&mut self, broker: BrokerId) {
        let latest = self.replicas.values().filter_map(|replica| replica.epochs.latest()).max();
        let latest = self.epoch.max(latest.unwrap_or(self.epoch));
        self.epoch = Epoch(latest.0.checked_add(1).expect("fewer than 2^31 elections"));
        (self.leader, self.last_leader) = (Some(broker), broker);
        let replica = self.replicas.get_mut(&broker).expect("only a replica leads");
        replica.elect(self.epoch);
        replica.maimed = false;
        self.committed = self.committed.min(replica.log_end);
        self.forget_progress();
    }

    /// Elects the replica with the longest log: of those that are not in sync, the one that loses least is one that a
    /// real controller might take.
    pub(super) fn elect_unclean(&mut self, brokers: &Brokers) -> Option<Truncation> {
        if self.reachable_leader(brokers).is_some() || self.next_in_sync(brokers).is_some() {
            return None;
        }
        let fit = |broker: &BrokerId| brokers.electable(*broker) && !self.is_cut_off(*broker);
        let candidates = self.replicas.iter().filter(|(broker, _)| fit(broker));
        let longest = candidates.max_by_key(|(_, replica)| replica.log_end);
        let broker = longest.map(|(broker, _)| *broker)?;
        self.lead(broker);
        self.in_sync = [broker].into();
        Some(self.truncation())
    }

    /// What the log lost of what was told of it, now that this leader has it.
    fn truncation(&self) -> Truncation {
        self.told.truncation(self).unwrap_or(Truncation {
            partition: self.partition,
            from: self.told.end(),
            until: self.told.end(),
            committed: false,
            acknowledged: false,
        })
    }

    pub(super) fn elect_unclean_when_allowed(&mut self, brokers: &Brokers, policy: &TopicPolicy) {
        if policy.unclean_election && self.leader.is_none() {
            self.elect_unclean(brokers);
        }
    }

    /// Every replica loses what is at and above `end`, or above the batch before it.
    fn truncate(&mut self, end: Offset) -> Offset {
        let lowest = self.replicas.values_mut().map(|replica| replica.truncate(end)).min();
        let end = lowest.expect("a partition has a replica");
        for replica in self.replicas.values_mut() {
            replica.truncate(end);
            replica.maimed |= end < self.committed;
        }
        self.silence_cut_off();
        if let Some(leader) = self.leader {
            self.lead(leader);
        }
        end
    }

    /// The leader is voted out without hearing of it; false when nobody else is in sync.
    fn depose(&mut self, clients: &[(u32, Role)], brokers: &Brokers) -> bool {
        self.reunite_all();
        let Some(old) = self.leader.filter(|_| self.next_in_sync(brokers).is_some()) else {
            return false;
        };
        self.cut_off(old, clients);
        self.remove_broker(old, brokers);
        true
    }
}

/// Elections.
impl LogModel {
    /// A clean election, to another in-sync replica where there is one: nothing committed is lost.
    pub fn elect(&mut self, partition: Partition) {
        let brokers = &self.cluster.brokers;
        self.cluster.topic.partitions[partition.index()].elect(brokers);
        self.changed();
    }

    /// An out-of-sync replica leads with what it has. Returns what is lost; none while an in-sync one could lead, or
    /// nobody can.
    pub fn elect_unclean(&mut self, partition: Partition) -> Option<Truncation> {
        let brokers = &self.cluster.brokers;
        let lost = self.cluster.topic.partitions[partition.index()].elect_unclean(brokers);
        self.changed();
        lost
    }

    /// All replicas lose what is at and above `end`, or from before the batch around it: the blunt
    /// instrument. Returns where the log ends.
    pub fn truncate(&mut self, partition: Partition, end: Offset) -> Offset {
        let end = self.cluster.topic.log(partition).truncate(end);
        self.changed();
        end
    }

    /// One partition's leader is voted out; `clients` reach only that one, which does not know. False
    /// when there is no other in-sync replica.
    pub fn depose_leader(
        &mut self,
        partition: Partition,
        clients: impl IntoIterator<Item = u32>,
    ) -> bool {
        self.depose_leader_for(partition, all_roles(clients))
    }

    /// Does what `depose_leader` does, for some of the nodes' librdkafka clients only.
    pub fn depose_leader_for(
        &mut self,
        partition: Partition,
        clients: impl IntoIterator<Item = (u32, Role)>,
    ) -> bool {
        let clients: Vec<(u32, Role)> = clients.into_iter().collect();
        let brokers = &self.cluster.brokers;
        let deposed = self.cluster.topic.partitions[partition.index()].depose(&clients, brokers);
        self.changed();
        deposed
    }

    /// Everybody reaches the leader again: the deposed one hears of it and drops what only it had.
    pub fn reunite(&mut self, partition: Partition) {
        self.cluster.topic.log(partition).reunite_all();
        self.changed();
    }
}
