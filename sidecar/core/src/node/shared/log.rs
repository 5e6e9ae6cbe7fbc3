//! What is known of the log, and asked of it.

use std::time::Duration;

use crate::log::{KafkaError, LogCall, LogCallKind};
use crate::offset::{Epoch, Partition};
use crate::stall::StallKind;
use crate::topic::{LogFacts, PartitionFacts, TopicFacts};

use super::Shared;
use crate::node::event::{Notice, PolicyWarning};

/// The log's answer to `Describe`, and what it means.
#[derive(Debug)]
pub(in crate::node) struct News {
    pub(in crate::node) facts: LogFacts,
    pub(in crate::node) before: Option<LogFacts>,
    /// The question was asked before what it is wanted for by now.
    pub(in crate::node) superseded: bool,
}

impl Shared {
    /// What the log told last of the topic, safe or not.
    pub(in crate::node) fn known_facts(&self) -> &LogFacts {
        self.facts.as_ref().expect("nothing is opened or read before the log's facts came")
    }

    /// Asks for the log's facts again and again, as stages do before something is read; unless the time of a drain is up, and
    /// nothing waits for the answer.
    pub(in crate::node) fn ask_log(&mut self) {
        if !self.drain_is_due() {
            self.describe();
        }
    }

    /// When (monotonic) `ask_log` asks next.
    pub(in crate::node) fn asks_log_at(&self) -> Option<Duration> {
        self.describe.timer().filter(|_| !self.drain_is_due())
    }

    pub(in crate::node) fn describe(&mut self) {
        if self.describe.ask(self.now) {
            self.log(LogCall::Describe);
        }
    }

    /// `reads`: the node reads. It goes by the ends, which may be newer than these facts.
    pub(in crate::node) fn learn(&mut self, facts: LogFacts, reads: bool) -> News {
        let superseded = self.describe.superseded();
        let asked = self.describe.answered(self.now, self.limits.ends_interval);
        self.asked_at = asked.unwrap_or(self.now);
        self.warn_of(&facts);
        if self.facts.as_ref().is_some_and(|before| before.topic != facts.topic) {
            // A recreated topic counts its epochs anew, and what the old one refused says nothing of it.
            self.epochs_known.clear();
            self.evidence.diverged.clear();
            self.positions_refused.clear();
            self.evidence.inexact.clear();
            self.heard.clear();
        } else {
            self.hear_retention(facts.policy.delete_retention_ms);
        }
        if !reads {
            // They are learned whatever comes of it: the disk may fail, for instance.
            self.epochs_known.resize(facts.partitions.len(), None);
            self.learn_epochs(facts.partitions.iter().map(|facts| facts.epoch));
        }
        let before = self.facts.replace(facts.clone());
        self.peers.hear_retention(&facts, before.as_ref());
        News { facts, before, superseded }
    }

    pub(in crate::node) fn learn_epochs(&mut self, answered: impl Iterator<Item = Option<Epoch>>) {
        for (known, answered) in self.epochs_known.iter_mut().zip(answered) {
            *known = (*known).max(answered);
        }
    }

    pub(in crate::node) fn epoch_known(&self, partition: Partition) -> Option<Epoch> {
        self.epochs_known.get(partition.index()).copied().flatten()
    }

    /// The retention as it is now counts for all that is open.
    pub(in crate::node) fn hear_retention(&mut self, delete_retention_ms: u64) {
        for generation in &self.open {
            self.heard.hear(*generation, delete_retention_ms);
        }
    }

    /// The topic with the ends that were known before.
    pub(in crate::node) fn with_known_ends(&self, topic: TopicFacts) -> Option<LogFacts> {
        let TopicFacts { cluster, topic, policy, partitions: count } = topic;
        let mut partitions = self.facts.as_ref()?.partitions.clone();
        // Another number makes it another topic's identity, and the copy is opened anew.
        let count =
            usize::try_from(count).expect("usize holds 32 bits on every supported platform");
        partitions.resize(count, PartitionFacts::UNKNOWN);
        Some(LogFacts { cluster, topic, policy, partitions })
    }

    pub(in crate::node) fn on_log_failed(&mut self, call: LogCallKind, error: &KafkaError) {
        self.begin_stall(StallKind::of(error), error.to_string());
        let ask = match call {
            LogCallKind::Describe => &mut self.describe,
            LogCallKind::Ends => &mut self.ends,
            LogCallKind::TopicId => &mut self.topic_id,
        };
        ask.failed(self.now, &self.limits);
    }

    pub(in crate::node) fn assign(&mut self, partition: Partition) {
        *self.assigning.entry(partition).or_default() += 1;
    }

    /// Whether this answers the last assignment: after a quick reopening the answer to the older one comes first.
    pub(in crate::node) fn assigned(&mut self, partition: Partition) -> bool {
        let outstanding = self.assigning.entry(partition).or_default();
        *outstanding = outstanding.checked_sub(1).expect("an assignment is answered once");
        *outstanding == 0
    }

    /// Says once what changed in the topic that an operator should know.
    fn warn_of(&mut self, facts: &LogFacts) {
        let before = self.facts.as_ref();
        let partitions = (0..).map(Partition).zip(&facts.partitions);
        let incomplete = partitions.filter(|(partition, now)| {
            let known = before.and_then(|before| before.partitions.get(partition.index()));
            now.log_start.0 > 0 && known.is_none_or(|known| known.log_start < now.log_start)
        });
        let mut notices: Vec<_> = incomplete
            .map(|(partition, now)| Notice::LogIncomplete { partition, log_start: now.log_start })
            .collect();
        if before.is_none_or(|before| before.policy != facts.policy) {
            let warnings = PolicyWarning::of(&facts.policy, &self.limits);
            notices.extend(warnings.into_iter().map(Notice::Policy));
        }
        for notice in notices {
            self.notice(notice);
        }
    }
}
