//! The in-sync set: who must have a record before it is acknowledged, and who may lead cleanly.
//!
//! The leader drops followers that lag and takes them back when they have caught up; the controller
//! drops brokers that it holds for dead, but never the last one (KIP-497, `ReplicationControlManager`).

use std::time::Duration;

use outrigger_core::topic::TopicPolicy;

use super::broker::{BrokerId, Brokers};
use super::partition::PartitionLog;

impl PartitionLog {
    /// Whether `min.insync.replicas` are in sync, or all where there are fewer replicas (`Partition.effectiveMinIsr`).
    pub(super) fn enough_in_sync(&self, policy: &TopicPolicy) -> bool {
        let wanted = usize::try_from(policy.min_insync_replicas).expect("usize holds 32 bits");
        self.in_sync.len() >= wanted.min(self.replicas.len())
    }

    /// Who has not been at the end of the leader's log for too long goes
    /// (`Partition.maybeShrinkIsr`).
    pub(super) fn shrink_in_sync(&mut self, leader: BrokerId, now: Duration, brokers: &Brokers) {
        let lag_max = brokers.config.lag_max;
        let followers = &self.followers;
        self.in_sync.retain(|broker| {
            let behind_since = followers[broker].behind_since;
            *broker == leader || behind_since.is_none_or(|since| since + lag_max > now)
        });
    }

    /// Who, when it fetches, has everything committed and has seen this term's begin comes back
    /// (`Partition.isFollowerInSync`), and gets its time anew.
    pub(super) fn expand_in_sync(&mut self, leader: BrokerId, broker: BrokerId, now: Duration) {
        let log = &self.replicas[&leader];
        let caught_up = log.high_watermark.max(log.term_start());
        let follower = self.followers.get_mut(&broker).expect("every replica has an entry");
        if follower.known_end.is_some_and(|end| end >= caught_up) && self.in_sync.insert(broker) {
            follower.behind_since = follower.behind_since.map(|_| now);
        }
    }

    /// The controller holds `broker` for dead, or moves it out of the way.
    pub(super) fn remove_broker(&mut self, broker: BrokerId, brokers: &Brokers) {
        if self.in_sync.len() > 1 {
            self.in_sync.remove(&broker);
        }
        if self.leader == Some(broker) {
            self.leader = None;
            self.elect_if_leaderless(brokers);
        }
    }
}
