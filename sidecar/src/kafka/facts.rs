//! Puts what admin answers say together into what the log seam promises. Pure.

use std::collections::BTreeMap;

use outrigger_core::log::{LogCallKind, LogEvent, PartitionEnd};
use outrigger_core::offset::{Epoch, Offset, Partition};
use outrigger_core::topic::{LogFacts, PartitionFacts, TopicFacts, TopicId, TopicPolicy};

use super::admin::Answer;
use super::raw::{Code, ListedOffset, OffsetSpec, TopicDescription};
use super::trouble::kafka_error;

/// The parts of an answer that have come so far.
#[derive(Default)]
pub(super) struct Findings {
    topic: Option<TopicDescription>,
    cluster: Option<String>,
    configs: Option<BTreeMap<String, String>>,
    log_starts: Option<Ends>,
    high_watermarks: Option<Ends>,
}

const MESSAGE_BYTES_MAX: &str = "max.message.bytes";

type End = (Offset, Option<Epoch>);
/// Offsets and epochs of all partitions, as each leader told them.
type Ends = BTreeMap<Partition, Result<End, Code>>;

impl Findings {
    pub(super) fn add(&mut self, spec: OffsetSpec, answer: Answer) -> Result<(), Code> {
        match (answer, spec) {
            (Answer::Topic(topic), _) => self.topic = Some(topic?),
            (Answer::Configs(configs), _) => self.configs = Some(configs?),
            (Answer::Offsets(offsets), OffsetSpec::LogStart) => {
                self.log_starts = Some(by_partition(offsets?));
            }
            (Answer::Offsets(offsets), OffsetSpec::HighWatermark) => {
                self.high_watermarks = Some(by_partition(offsets?));
            }
        }
        Ok(())
    }

    /// Takes the id of the cluster that described the topic.
    pub(super) fn add_cluster(&mut self, id: Option<String>) {
        self.cluster = id;
    }

    /// The topic's limit in bytes. None: nothing was said of it.
    pub(super) fn message_bytes_max(&self) -> Option<u64> {
        number(self.configs.as_ref()?.get(MESSAGE_BYTES_MAX)?).ok()
    }

    /// How many partitions there are; zero until the topic was described.
    pub(super) fn partitions(&self) -> u32 {
        let partitions = self.topic.as_ref().map_or(0, |topic| topic.replicas.len());
        u32::try_from(partitions).expect("Kafka counts partitions in 31 bits")
    }

    /// The answer, or an error when a part is missing or says what cannot be. `left_out`: partitions whose leaders were
    /// not asked.
    pub(super) fn into_event(
        self,
        kind: LogCallKind,
        left_out: &BTreeMap<Partition, Code>,
    ) -> Result<LogEvent, Code> {
        match kind {
            LogCallKind::Describe => self.into_facts(left_out),
            LogCallKind::Ends => {
                let ends = complete(self.high_watermarks.ok_or(Code::FAIL)?, left_out)?;
                let end = |(high_watermark, epoch)| PartitionEnd { high_watermark, epoch };
                let told = |end_told: Result<End, Code>| {
                    end_told.map(end).map_err(|code| kafka_error(code, false))
                };
                Ok(LogEvent::Ends(ends.into_values().map(told).collect()))
            }
            LogCallKind::TopicId => {
                let topic = self.topic.ok_or(Code::FAIL)?;
                Ok(LogEvent::TopicId(TopicId(topic.id)))
            }
        }
    }

    fn into_facts(self, left_out: &BTreeMap<Partition, Code>) -> Result<LogEvent, Code> {
        let topic = self.topic.ok_or(Code::FAIL)?;
        let cluster = self.cluster.ok_or(Code::FAIL)?;
        let policy = policy(&self.configs.ok_or(Code::FAIL)?, &topic)?;
        let starts = complete(self.log_starts.ok_or(Code::FAIL)?, left_out)?;
        let ends = complete(self.high_watermarks.ok_or(Code::FAIL)?, left_out)?;
        let count = topic.replicas.len();
        if starts.len() != count || ends.len() != count {
            return Err(Code::FAIL);
        }
        let topic = TopicId(topic.id);
        let partitions: Result<Vec<PartitionFacts>, (Partition, Code)> = starts
            .into_iter()
            .zip(ends.into_values())
            .map(|((partition, start), end)| {
                let ((log_start, _), (high_watermark, epoch)) =
                    start.and_then(|start| Ok((start, end?))).map_err(|code| (partition, code))?;
                Ok(PartitionFacts { log_start, high_watermark, epoch })
            })
            .collect();
        Ok(match partitions {
            Ok(partitions) => LogEvent::Facts(LogFacts { cluster, topic, policy, partitions }),
            Err((partition, code)) => {
                let partitions = u32::try_from(count).expect("Kafka counts partitions in 31 bits");
                let topic = TopicFacts { cluster, topic, policy, partitions };
                LogEvent::Leaderless { topic, partition, error: kafka_error(code, false) }
            }
        })
    }
}

fn by_partition(offsets: Vec<ListedOffset>) -> Ends {
    let end = |listed: ListedOffset| {
        (listed.partition, listed.offset.map(|offset| (offset, listed.epoch)))
    };
    offsets.into_iter().map(end).collect()
}

/// Adds what the leaders that were not asked said last. An error where no leader answered.
fn complete(mut ends: Ends, left_out: &BTreeMap<Partition, Code>) -> Result<Ends, Code> {
    let first = ends.values().find_map(|end| end.err()).unwrap_or(Code::FAIL);
    if !ends.values().any(Result::is_ok) {
        return Err(first);
    }
    ends.extend(left_out.iter().map(|(partition, code)| (*partition, Err(*code))));
    Ok(ends)
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
        findings.add(OffsetSpec::HighWatermark, Answer::Topic(Ok(topic)))?;
        findings.add_cluster(Some("cluster".to_owned()));
        findings.add(OffsetSpec::HighWatermark, Answer::Configs(Ok(configs)))?;
        let starts = vec![listed(1, Ok(5), None), listed(0, Ok(0), None)];
        findings.add(OffsetSpec::LogStart, Answer::Offsets(Ok(starts)))?;
        let ends = vec![listed(1, Ok(9), Some(4)), listed(0, Ok(8), None)];
        findings.add(OffsetSpec::HighWatermark, Answer::Offsets(Ok(ends)))?;
        findings.into_event(LogCallKind::Describe, &BTreeMap::new())
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

    fn ends(offsets: Vec<ListedOffset>, left_out: &[(u32, Code)]) -> Result<LogEvent, Code> {
        let left_out = left_out.iter().map(|(partition, code)| (Partition(*partition), *code));
        let mut findings = Findings::default();
        findings.add(OffsetSpec::HighWatermark, Answer::Offsets(Ok(offsets)))?;
        findings.into_event(LogCallKind::Ends, &left_out.collect())
    }

    #[test]
    fn a_leader_that_does_not_answer_costs_its_partitions_end_only() {
        let not_leader = Code(6);
        let told = |event| match event {
            Ok(LogEvent::Ends(ends)) => {
                ends.into_iter().map(|end| end.map(|end| end.high_watermark.0)).collect()
            }
            other => panic!("no ends: {other:?}"),
        };
        let error = || Err(kafka_error(not_leader, false));
        let one = vec![listed(0, Ok(9), Some(4)), listed(1, Err(not_leader), None)];
        let ended: Vec<_> = told(ends(one, &[]));
        assert_eq!(ended, [Ok(9), error()]);
        let ended: Vec<_> = told(ends(vec![listed(1, Ok(9), Some(4))], &[(0, not_leader)]));
        assert_eq!(ended, [error(), Ok(9)]);
        let none = vec![listed(0, Err(not_leader), None)];
        assert_eq!(ends(none, &[(1, not_leader)]), Err(not_leader));
    }

    #[test]
    fn a_topic_with_a_leader_that_does_not_answer_is_known_all_the_same() {
        let mut findings = Findings::default();
        let topic = TopicDescription { id: [7; 16], replicas: vec![vec![1], vec![2]] };
        findings.add_cluster(Some("cluster".to_owned()));
        for (spec, answer) in [
            (OffsetSpec::HighWatermark, Answer::Topic(Ok(topic))),
            (OffsetSpec::HighWatermark, Answer::Configs(Ok(configs()))),
            (OffsetSpec::LogStart, Answer::Offsets(Ok(vec![listed(0, Ok(0), None)]))),
            (OffsetSpec::HighWatermark, Answer::Offsets(Ok(vec![listed(0, Ok(9), None)]))),
        ] {
            findings.add(spec, answer).unwrap();
        }
        let left_out = BTreeMap::from([(Partition(1), Code::TIMED_OUT)]);
        let Ok(LogEvent::Leaderless { topic, partition, error }) =
            findings.into_event(LogCallKind::Describe, &left_out)
        else {
            panic!("the topic is known, and not its ends")
        };
        assert_eq!((topic.partitions, partition), (2, Partition(1)));
        assert_eq!(error, kafka_error(Code::TIMED_OUT, false));
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
