//! Creating a store's topic, when asked to: DESIGN section 4. Blocking, before anything is started.

use std::ffi::CString;
use std::time::{Duration, Instant};

use super::config::{KafkaConfig, KafkaStartError, is_topic_name};
use super::raw::{Client, Code, Event, NewTopic, Queue, Timeout};
use super::settings::{ADMIN_TIMEOUT, CREATE_TIMEOUT};

/// What a store chooses; the rest follows from what the protocol needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    pub partitions: u32,
}

impl Default for TopicSettings {
    /// One partition: revisions are then a total order.
    fn default() -> TopicSettings {
        TopicSettings { partitions: 1 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    New,
    /// Left as it is: what it is like is judged when the store opens.
    Existed,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateTopicError {
    #[error(transparent)]
    Config(#[from] KafkaStartError),
    #[error("Kafka at {bootstrap} does not answer: {name} ({code})")]
    Unreachable { bootstrap: String, name: String, code: i32 },
    #[error("topic {topic:?} was not created: {name} ({code}): {detail}")]
    Refused { topic: String, name: String, code: i32, detail: String },
}

const HOUR_MS: u64 = 3_600_000;
/// How long a node may be away and still come back without a rebuild.
const DELETE_RETENTION_MS: u64 = 7 * 24 * HOUR_MS;
/// Nothing younger is compacted: gaps at the tail are markers only.
const MIN_COMPACTION_LAG_MS: u64 = 60_000;
const MAX_COMPACTION_LAG_MS: u64 = 24 * HOUR_MS;
const SEGMENT_BYTES: u64 = 128 << 20;
const REPLICATION_MAX: u32 = 3;

/// Creates `topic` unless it exists.
pub fn create_topic(
    config: &KafkaConfig,
    topic: &str,
    settings: TopicSettings,
) -> Result<Created, CreateTopicError> {
    config.check()?;
    if !is_topic_name(topic) {
        return Err(KafkaStartError::Topic(topic.to_owned()).into());
    }
    let client = config.admin().map_err(KafkaStartError::from)?;
    let answers = client.new_queue();
    let brokers = brokers(&client, &answers).map_err(|code| CreateTopicError::Unreachable {
        bootstrap: config.bootstrap.clone(),
        name: code.name(),
        code: code.0,
    })?;
    match create(&client, &answers, &new_topic(topic, settings, brokers)) {
        Ok(()) => Ok(Created::New),
        Err((Code::TOPIC_ALREADY_EXISTS, _)) => Ok(Created::Existed),
        Err((code, detail)) => Err(CreateTopicError::Refused {
            topic: topic.to_owned(),
            name: code.name(),
            code: code.0,
            detail,
        }),
    }
}

fn new_topic(name: &str, settings: TopicSettings, brokers: usize) -> NewTopic {
    let replication = u32::try_from(brokers).unwrap_or(u32::MAX).clamp(1, REPLICATION_MAX);
    let min_insync = replication.min(2);
    let configs = [
        ("cleanup.policy", "compact".to_owned()),
        ("min.insync.replicas", min_insync.to_string()),
        ("unclean.leader.election.enable", "false".to_owned()),
        ("delete.retention.ms", DELETE_RETENTION_MS.to_string()),
        ("min.compaction.lag.ms", MIN_COMPACTION_LAG_MS.to_string()),
        ("max.compaction.lag.ms", MAX_COMPACTION_LAG_MS.to_string()),
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("segment.bytes", SEGMENT_BYTES.to_string()),
    ];
    let c_string = |text: &str| CString::new(text).expect("no zero byte inside");
    NewTopic {
        name: c_string(name),
        partitions: settings.partitions,
        replication,
        configs: configs.iter().map(|(name, value)| (c_string(name), c_string(value))).collect(),
    }
}

fn brokers(client: &Client, answers: &Queue) -> Result<usize, Code> {
    client.describe_cluster(0, Timeout(ADMIN_TIMEOUT), answers);
    let described = wait(answers, ADMIN_TIMEOUT, |event| {
        if let Event::Cluster { answer, .. } = event { Some(answer) } else { None }
    });
    described.unwrap_or(Err(Code::TIMED_OUT)).map(|cluster| cluster.brokers)
}

fn create(client: &Client, answers: &Queue, topic: &NewTopic) -> Result<(), (Code, String)> {
    let timeout = Timeout(CREATE_TIMEOUT);
    client.create_topic(topic, timeout, answers).map_err(|detail| (Code::FAIL, detail))?;
    let created = wait(answers, CREATE_TIMEOUT, |event| {
        if let Event::Created { answer } = event { Some(answer) } else { None }
    });
    created.unwrap_or_else(|| Err((Code::TIMED_OUT, "no answer".to_owned())))
}

/// The first event that `pick` knows; none when it does not come. librdkafka ends every request
/// itself, so the time here is only a second line.
fn wait<T>(
    answers: &Queue,
    timeout: Duration,
    mut pick: impl FnMut(Event<'_>) -> Option<T>,
) -> Option<T> {
    let until = Instant::now() + timeout + Duration::from_secs(1);
    let mut found = None;
    while found.is_none() && Instant::now() < until {
        answers.poll(Duration::from_millis(100), |event| found = pick(event));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(topic: &NewTopic, name: &str) -> String {
        let found = topic.configs.iter().find(|(is, _)| is.to_str() == Ok(name)).unwrap();
        found.1.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_topic_is_as_durable_as_its_cluster_allows() {
        let on = |brokers| new_topic("t", TopicSettings::default(), brokers);
        for (brokers, replication, min_insync) in
            [(1, 1, "1"), (2, 2, "2"), (3, 3, "2"), (9, 3, "2")]
        {
            let topic = on(brokers);
            assert_eq!(topic.replication, replication);
            assert_eq!(setting(&topic, "min.insync.replicas"), min_insync);
        }
        assert_eq!(setting(&on(1), "cleanup.policy"), "compact");
        assert_eq!(setting(&on(1), "delete.retention.ms"), "604800000");
    }

    #[test]
    fn a_topic_name_that_kafka_would_refuse_is_refused_before_anything_is_asked() {
        let config =
            KafkaConfig { bootstrap: "127.0.0.1:9".to_owned(), properties: Default::default() };
        let error = create_topic(&config, "a/b", TopicSettings::default()).unwrap_err();
        assert!(matches!(error, CreateTopicError::Config(KafkaStartError::Topic(_))), "{error}");
    }
}
