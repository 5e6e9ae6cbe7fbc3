//! Creates a store's topic, when asked to, with settings under which no state is lost. It blocks, and is done before
//! anything is started.

use std::ffi::CString;

use outrigger_core::topic::TopicPolicy;

use super::config::{KafkaConfig, KafkaStartError, is_topic_name};
use super::questions::Questions;
use super::raw::{Code, NewTopic};
use super::replication::{self, REPLICATION_MAX, too_few_brokers};
use super::trouble::Right;

/// What a store chooses; the rest follows from what the protocol needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    pub partitions: u32,
    /// None: as many replicas as the cluster is meant to give, three at most.
    pub replication: Option<u32>,
}

impl Default for TopicSettings {
    /// There is one partition: revisions are then a total order.
    fn default() -> TopicSettings {
        TopicSettings { partitions: 1, replication: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    New {
        replication: u32,
    },
    /// The topic is left as it is; it is judged when the store opens.
    Existed,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateTopicError {
    #[error(transparent)]
    Config(#[from] KafkaStartError),
    #[error("{}", self.why())]
    Unreachable { bootstrap: String, name: String, code: i32 },
    #[error(
        "topic {topic:?} was not created: {}: start the others; where there are to be no more, set the store's \
         `replication`, or create the topic yourself",
        self.why()
    )]
    TooFewBrokers { topic: String, wanted: u32, up: usize },
    #[error("topic {topic:?} was not created: {}", self.why())]
    Refused { topic: String, name: String, code: i32, detail: String },
}

impl CreateTopicError {
    /// Why it was not created, without the topic's name and what to do.
    pub fn why(&self) -> String {
        match self {
            CreateTopicError::Config(error) => error.to_string(),
            CreateTopicError::Unreachable { bootstrap, name, code } => {
                format!("Kafka at {bootstrap} does not answer: {name} ({code})")
            }
            CreateTopicError::TooFewBrokers { wanted, up, .. } => {
                let brokers = match up {
                    1 => "1 broker is".to_owned(),
                    up => format!("{up} brokers are"),
                };
                format!("it is to have {wanted} replicas, for good, and {brokers} up")
            }
            CreateTopicError::Refused { name, code, detail, .. } => {
                format!("{name} ({code}): {detail}")
            }
        }
    }
}

const HOUR_MS: u64 = 3_600_000;
const MAX_COMPACTION_LAG_MS: u64 = 24 * HOUR_MS;
const SEGMENT_BYTES: u64 = 128 << 20;

/// Creates `topic` unless it exists.
pub fn create_topic(
    config: &KafkaConfig,
    topic: &str,
    settings: TopicSettings,
) -> Result<Created, CreateTopicError> {
    if !is_topic_name(topic) {
        return Err(KafkaStartError::Topic(topic.to_owned()).into());
    }
    let questions = Questions::new(config)?;
    let brokers = questions.cluster().map(|cluster| cluster.brokers).map_err(|code| {
        let bootstrap = config.bootstrap.clone();
        CreateTopicError::Unreachable { bootstrap, name: code.name(), code: code.0 }
    })?;
    // Kafka places replicas on every broker that it knows, up or not: the most is asked for first.
    let mut wanted = settings.replication.unwrap_or(REPLICATION_MAX);
    let create = |wanted| questions.create(&new_topic(topic, settings.partitions, wanted));
    let mut created = create(wanted);
    if settings.replication.is_none() && too_few_brokers(&created) {
        let meant = replication::meant(&questions, &brokers);
        wanted = meant.unwrap_or(REPLICATION_MAX);
        if wanted < REPLICATION_MAX {
            created = create(wanted);
        }
    }
    let topic = topic.to_owned();
    match created {
        Ok(()) => Ok(Created::New { replication: wanted }),
        Err((Code::TOPIC_ALREADY_EXISTS, _)) => Ok(Created::Existed),
        Err((Code::INVALID_REPLICATION_FACTOR, _)) => {
            Err(CreateTopicError::TooFewBrokers { topic, wanted, up: brokers.len() })
        }
        Err((code, detail)) => {
            let name = Right::Create.error(code).name;
            Err(CreateTopicError::Refused { topic, name, code: code.0, detail })
        }
    }
}

fn new_topic(name: &str, partitions: u32, replication: u32) -> NewTopic {
    let policy = TopicPolicy::safe(replication);
    let configs = [
        ("cleanup.policy", policy.cleanup),
        ("min.insync.replicas", policy.min_insync_replicas.to_string()),
        ("unclean.leader.election.enable", policy.unclean_election.to_string()),
        ("delete.retention.ms", policy.delete_retention_ms.to_string()),
        ("min.compaction.lag.ms", policy.min_compaction_lag_ms.to_string()),
        ("max.compaction.lag.ms", MAX_COMPACTION_LAG_MS.to_string()),
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("segment.bytes", SEGMENT_BYTES.to_string()),
    ];
    let c_string = |text: &str| CString::new(text).expect("no zero byte inside");
    NewTopic {
        name: c_string(name),
        partitions,
        replication,
        configs: configs.iter().map(|(name, value)| (c_string(name), c_string(value))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(topic: &NewTopic, name: &str) -> String {
        let found = topic.configs.iter().find(|(is, _)| is.to_str() == Ok(name)).unwrap();
        found.1.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_topic_is_as_durable_as_its_replicas_allow() {
        for (replication, min_insync) in [(1, "1"), (2, "2"), (3, "2"), (5, "2")] {
            let topic = new_topic("t", 1, replication);
            assert_eq!(topic.replication, replication);
            assert_eq!(setting(&topic, "min.insync.replicas"), min_insync);
        }
        assert_eq!(setting(&new_topic("t", 1, 1), "cleanup.policy"), "compact");
        assert_eq!(setting(&new_topic("t", 1, 1), "delete.retention.ms"), "604800000");
    }

    #[test]
    fn a_topic_name_that_kafka_would_refuse_is_refused_before_anything_is_asked() {
        let config =
            KafkaConfig { bootstrap: "127.0.0.1:9".to_owned(), properties: Default::default() };
        let error = create_topic(&config, "a/b", TopicSettings::default()).unwrap_err();
        assert!(matches!(error, CreateTopicError::Config(KafkaStartError::Topic(_))), "{error}");
    }
}
