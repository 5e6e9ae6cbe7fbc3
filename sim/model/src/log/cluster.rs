//! The brokers' side of everything: one topic on some brokers, with their controller and the
//! transaction coordinator. It knows no client.

use std::time::Duration;

use outrigger_core::time::Now;

use super::LogConfig;
use super::broker::{BrokerId, Brokers};
use super::coordinator::Coordinator;
use super::history::LogChange;
use super::replica::Replica;
use super::topic::Topic;

#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) brokers: Brokers,
    pub(super) topic: Topic,
    pub(super) coordinator: Coordinator,
    /// What the log did since it was last asked, when somebody wants to know.
    pub(super) history: Option<Vec<LogChange>>,
}

impl Cluster {
    pub(super) fn new(config: &LogConfig) -> Cluster {
        let brokers = Brokers::new(config.brokers);
        let (id, policy) = (config.topic, config.policy.clone());
        let topic = Topic::new(id, policy, config.partitions, config.segments, &brokers);
        let coordinator = Coordinator::new(config.transaction_timeout);
        Cluster { brokers, topic, coordinator, history: None }
    }

    /// Carries out everything that is due on the brokers' side by `now`.
    pub(super) fn settle(&mut self, now: Now) {
        for broker in self.brokers.lost_sessions(now.mono) {
            self.fence(broker);
        }
        self.coordinator.settle(now, &mut self.topic, &self.brokers);
        let Topic { policy, partitions, .. } = &mut self.topic;
        for log in partitions {
            log.elect_unclean_when_allowed(&self.brokers, policy);
            log.replicate(now.mono, &self.brokers, policy);
        }
        // Markers that were replicated just now are done.
        self.coordinator.settle(now, &mut self.topic, &self.brokers);
        self.note();
    }

    pub(super) fn next_timer(&self) -> Option<Duration> {
        let logs = &self.topic.partitions;
        let fetches = logs.iter().filter_map(|log| log.next_timer(&self.brokers));
        let sessions = self.brokers.next_session_end();
        fetches.chain(sessions).chain(self.coordinator.next_timeout()).min()
    }

    /// Lets cleaners pass over replicas; each pass says whether it removed a record.
    pub(super) fn clean(&mut self, mut pass: impl FnMut(BrokerId, &mut Replica) -> bool) {
        for log in &mut self.topic.partitions {
            let mut removed = false;
            for (broker, replica) in &mut log.replicas {
                removed |= pass(*broker, replica);
            }
            if let (true, Some(history)) = (removed, &mut self.history) {
                history.push(LogChange::Cleaned(log.partition));
            }
        }
    }

    /// Tells the history what the leaders' logs did.
    pub(super) fn note(&mut self) {
        let Cluster { brokers, topic, .. } = self;
        for log in topic.partitions.iter_mut().filter(|log| log.has_news(brokers)) {
            log.tell(|change| {
                if let Some(history) = &mut self.history {
                    history.push(change);
                }
            });
        }
    }
}
