//! What admin answers say, put together into what the log seam promises. Pure.

use std::collections::BTreeMap;

use outrigger_core::log::{LogCallKind, LogEvent, PartitionEnd};
use outrigger_core::offset::{Epoch, Offset};
use outrigger_core::topic::{LogFacts, PartitionFacts, TopicId, TopicPolicy};

use super::admin::Answer;
use super::raw::{ClusterDescription, Code, ListedOffset, OffsetSpec, TopicDescription};

/// The parts of an answer that have come so far.
#[derive(Default)]
pub(super) struct Findings {
    topic: Option<TopicDescription>,
    cluster: Option<ClusterDescription>,
    configs: Option<BTreeMap<String, String>>,
    log_starts: Option<Vec<End>>,
    high_watermarks: Option<Vec<End>>,
}

const MESSAGE_BYTES_MAX: &str = "max.message.bytes";

type End = (Offset, Option<Epoch>);

impl Findings {
    pub(super) fn add(&mut self, spec: OffsetSpec, answer: Answer) -> Result<(), Code> {
        match (answer, spec) {
            (Answer::Topic(topic), _) => self.topic = Some(topic?),
            (Answer::Cluster(cluster), _) => self.cluster = Some(cluster?),
            (Answer::Configs(configs), _) => self.configs = Some(configs?),
            (Answer::Offsets(offsets), OffsetSpec::LogStart) => {
                self.log_starts = Some(in_order(offsets?)?);
            }
            (Answer::Offsets(offsets), OffsetSpec::HighWatermark) => {
                self.high_watermarks = Some(in_order(offsets?)?);
            }
        }
        Ok(())
    }

    /// None: nothing was said of it.
    pub(super) fn message_bytes_max(&self) -> Option<u64> {
        number(self.configs.as_ref()?.get(MESSAGE_BYTES_MAX)?).ok()
    }

    /// Zero until the topic was described.
    pub(super) fn partitions(&self) -> u32 {
        let partitions = self.topic.as_ref().map_or(0, |topic| topic.replicas.len());
        u32::try_from(partitions).expect("Kafka counts partitions in 31 bits")
    }

    /// The answer; an error when a part is missing or says what cannot be.
    pub(super) fn into_event(self, kind: LogCallKind) -> Result<LogEvent, Code> {
        match kind {
            LogCallKind::Describe => self.into_facts().map(LogEvent::Facts),
            LogCallKind::Ends => {
                let ends = self.high_watermarks.ok_or(Code::FAIL)?;
                let end = |(high_watermark, epoch)| PartitionEnd { high_watermark, epoch };
                Ok(LogEvent::Ends(ends.into_iter().map(end).collect()))
            }
            LogCallKind::TopicId => {
                let topic = self.topic.ok_or(Code::FAIL)?;
                Ok(LogEvent::TopicId(TopicId(topic.id)))
            }
        }
    }

    fn into_facts(self) -> Result<LogFacts, Code> {
        let topic = self.topic.ok_or(Code::FAIL)?;
        let cluster = self.cluster.ok_or(Code::FAIL)?;
        let policy = policy(&self.configs.ok_or(Code::FAIL)?, &topic)?;
        let starts = self.log_starts.ok_or(Code::FAIL)?;
        let ends = self.high_watermarks.ok_or(Code::FAIL)?;
        let partitions =
            starts.into_iter().zip(ends).map(|((log_start, _), (high_watermark, epoch))| {
                PartitionFacts { log_start, high_watermark, epoch }
            });
        let partitions: Vec<PartitionFacts> = partitions.collect();
        if partitions.len() != topic.replicas.len() {
            return Err(Code::FAIL);
        }
        Ok(LogFacts { cluster: cluster.id, topic: TopicId(topic.id), policy, partitions })
    }
}

/// Offsets of the partitions `0..`, or the first partition's error.
fn in_order(mut offsets: Vec<ListedOffset>) -> Result<Vec<End>, Code> {
    offsets.sort_by_key(|listed| listed.partition);
    offsets.into_iter().map(|listed| Ok((listed.offset?, listed.epoch))).collect()
}

fn policy(
    configs: &BTreeMap<String, String>,
    topic: &TopicDescription,
) -> Result<TopicPolicy, Code> {
    let replication = topic.replicas.iter().map(Vec::len).min().unwrap_or(0);
    let text = |name| configs.get(name).ok_or(Code::FAIL);
    Ok(TopicPolicy {
        cleanup: text("cleanup.policy")?.clone(),
        delete_retention_ms: number(text("delete.retention.ms")?)?,
        min_compaction_lag_ms: number(text("min.compaction.lag.ms")?)?,
        log_append_time: text("message.timestamp.type")? == "LogAppendTime",
        min_insync_replicas: number(text("min.insync.replicas")?)?,
        replication: u32::try_from(replication).map_err(|_| Code::FAIL)?,
        unclean_election: text("unclean.leader.election.enable")? == "true",
        message_bytes_max: number(text(MESSAGE_BYTES_MAX)?)?,
    })
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, Code> {
    text.parse().map_err(|_| Code::FAIL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_core::offset::Partition;
    use proptest::prelude::*;

    fn listed(partition: u32, offset: Result<u64, Code>, epoch: Option<u32>) -> ListedOffset {
        let offset = offset.map(Offset);
        ListedOffset { partition: Partition(partition), offset, epoch: epoch.map(Epoch) }
    }

    fn configs() -> BTreeMap<String, String> {
        [
            ("cleanup.policy", "compact"),
            ("delete.retention.ms", "604800000"),
            ("min.compaction.lag.ms", "60000"),
            ("message.timestamp.type", "LogAppendTime"),
            ("min.insync.replicas", "2"),
            ("unclean.leader.election.enable", "false"),
            ("max.message.bytes", "1048588"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    fn described(configs: BTreeMap<String, String>) -> Result<LogEvent, Code> {
        let mut findings = Findings::default();
        let topic = TopicDescription { id: [7; 16], replicas: vec![vec![1, 2, 3], vec![2, 3]] };
        let cluster = ClusterDescription { id: "cluster".to_owned(), brokers: vec![1, 2, 3] };
        findings.add(OffsetSpec::HighWatermark, Answer::Topic(Ok(topic)))?;
        findings.add(OffsetSpec::HighWatermark, Answer::Cluster(Ok(cluster)))?;
        findings.add(OffsetSpec::HighWatermark, Answer::Configs(Ok(configs)))?;
        let starts = vec![listed(1, Ok(5), None), listed(0, Ok(0), None)];
        findings.add(OffsetSpec::LogStart, Answer::Offsets(Ok(starts)))?;
        let ends = vec![listed(1, Ok(9), Some(4)), listed(0, Ok(8), None)];
        findings.add(OffsetSpec::HighWatermark, Answer::Offsets(Ok(ends)))?;
        findings.into_event(LogCallKind::Describe)
    }

    #[test]
    fn facts_are_ordered_by_partition_and_take_the_weakest_replication() {
        let Ok(LogEvent::Facts(facts)) = described(configs()) else { panic!("no facts") };
        assert_eq!((facts.policy.replication, facts.policy.min_insync_replicas), (2, 2));
        assert!(facts.policy.log_append_time && !facts.policy.unclean_election);
        let facts: Vec<_> = facts
            .partitions
            .iter()
            .map(|facts| (facts.log_start.0, facts.high_watermark.0, facts.epoch))
            .collect();
        assert_eq!(facts, [(0, 8, None), (5, 9, Some(Epoch(4)))]);
    }

    #[test]
    fn a_setting_that_is_missing_or_no_number_fails_the_question() {
        for name in configs().keys() {
            let mut missing = configs();
            missing.remove(name);
            assert_eq!(described(missing), Err(Code::FAIL), "{name}");
        }
        let mut negative = configs();
        negative.insert("delete.retention.ms".to_owned(), "-1".to_owned());
        assert_eq!(described(negative), Err(Code::FAIL));
    }

    #[test]
    fn one_partitions_error_fails_the_question() {
        let not_leader = Code(6);
        let mut findings = Findings::default();
        let ends = vec![listed(0, Ok(9), Some(4)), listed(1, Err(not_leader), None)];
        let added = findings.add(OffsetSpec::HighWatermark, Answer::Offsets(Ok(ends)));
        assert_eq!(added, Err(not_leader));
    }

    proptest! {
        #[test]
        fn whatever_a_broker_says_of_a_topic_is_its_policy_or_an_error(
            name: prop::sample::Index, value in "-?[0-9]{0,21}|[a-z, ]{0,20}|.*",
        ) {
            let mut configs = configs();
            let name = name.get::<String>(&configs.keys().cloned().collect::<Vec<_>>()).clone();
            configs.insert(name, value.clone());
            let described = described(configs.clone());
            if let Ok(LogEvent::Facts(facts)) = described {
                let is = |name: &str, number: u64| configs[name].parse() == Ok(number);
                prop_assert!(is("delete.retention.ms", facts.policy.delete_retention_ms));
                prop_assert!(is("min.compaction.lag.ms", facts.policy.min_compaction_lag_ms));
                prop_assert!(is(MESSAGE_BYTES_MAX, facts.policy.message_bytes_max));
            }
        }
    }
}
