//! Partitions whose leaders do not answer while others' do. Each matters to its own keys only: what is read goes on, the
//! other partitions' ends are known, and a LATEST of their keys is answered. Only to decide about a copy all are needed.

use crate::log::{EndAnswer, KafkaError};
use crate::offset::{Offset, Partition};
use crate::stall::StallKind;
use crate::topic::{LogFacts, PartitionFacts, TopicFacts};

use super::reading::Durability;
use super::{Node, Stage};

impl Node {
    /// What reads a copy goes by the answers to its questions for the ends: for its audit the topic is enough.
    pub(super) fn on_leaderless(
        &mut self,
        topic: TopicFacts,
        partition: Partition,
        error: &KafkaError,
    ) {
        match self.with_known_ends(topic) {
            Some(facts) => self.on_facts(facts),
            None => {
                self.describe.failed(self.now, &self.limits);
                self.begin_stall(StallKind::LeaderUnavailable, silence(partition, error));
            }
        }
    }

    fn with_known_ends(&self, topic: TopicFacts) -> Option<LogFacts> {
        let Stage::Reading(_) = self.stage else { return None };
        let TopicFacts { cluster, topic, policy, partitions: count } = topic;
        let mut partitions = self.facts.as_ref()?.partitions.clone();
        // Another number makes it another topic's identity, and the copy is opened anew.
        let unknown =
            PartitionFacts { log_start: Offset::ZERO, high_watermark: Offset::ZERO, epoch: None };
        let count =
            usize::try_from(count).expect("usize holds 32 bits on every supported platform");
        partitions.resize(count, unknown);
        Some(LogFacts { cluster, topic, policy, partitions })
    }

    /// Whose leaders did not answer the last question for the ends.
    pub(super) fn leaderless(&self) -> Vec<Partition> {
        let Stage::Reading(reading) = &self.stage else { return Vec::new() };
        reading.leaderless.iter().map(|(partition, _)| *partition).collect()
    }

    /// An answer of the log ends what was named because none came, but not the name of a leader that is still silent.
    pub(super) fn end_silence(&mut self) {
        let leaderless = !self.leaderless().is_empty();
        self.end_stalls(|kind| {
            kind.ends_with_an_answer() && !(leaderless && kind == StallKind::LeaderUnavailable)
        });
    }

    pub(super) fn note_leaders(&mut self, ends: &[EndAnswer]) {
        let partitions = (0..).map(Partition).zip(ends);
        let silent =
            partitions.filter_map(|(partition, end)| Some((partition, end.as_ref().err()?)));
        let leaderless: Vec<_> =
            silent.map(|(partition, error)| (partition, error.clone())).collect();
        let details: Vec<_> = leaderless.iter().map(|(at, error)| silence(*at, error)).collect();
        if let Some(reading) = self.reading() {
            reading.leaderless = leaderless;
        }
        self.end_silence();
        if !details.is_empty() {
            self.begin_stall(StallKind::LeaderUnavailable, details.join(", "));
        }
    }

    /// A flush that waits for a leader that does not answer is put off: what other partitions bring is applied meanwhile,
    /// and the topic's id is asked for again before it is flushed.
    pub(super) fn put_flush_off(&mut self) {
        let Some(reading) = self.reading() else { return };
        if reading.durability == Durability::Settling && !reading.leaderless.is_empty() {
            reading.durability = Durability::Wanted;
            self.release_held();
        }
    }
}

fn silence(partition: Partition, error: &KafkaError) -> String {
    format!("partition {partition}: {error}")
}
