//! What a store's topic is and how it is configured: the facts that `decide` judges.

use std::fmt;

use crate::offset::{Epoch, Offset};

/// Kafka's id of a topic (KIP-516): a recreated topic has the same name and another id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

impl std::str::FromStr for TopicId {
    type Err = TopicIdError;

    fn from_str(text: &str) -> Result<TopicId, TopicIdError> {
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(TopicIdError);
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).expect("hex digits are ASCII");
            *byte = u8::from_str_radix(pair, 16).expect("two hex digits are a byte");
        }
        Ok(TopicId(id))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a topic id is 32 hexadecimal digits")]
pub struct TopicIdError;

/// What a copy belongs to. Written once to `IDENTITY`, judged before any database is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub store: String,
    pub cluster: String,
    pub topic: TopicId,
    pub partitions: u32,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { store, cluster, topic, partitions } = self;
        let plural = if *partitions == 1 { "" } else { "s" };
        write!(f, "store {store:?}, cluster {cluster:?}, topic id {topic}, ")?;
        write!(f, "{partitions} partition{plural}")
    }
}

/// The topic's settings that the protocol depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPolicy {
    /// `cleanup.policy` as the broker spells it; only exactly `compact` keeps every key.
    pub cleanup: String,
    pub delete_retention_ms: u64,
    pub min_compaction_lag_ms: u64,
    /// `message.timestamp.type` is `LogAppendTime`: the broker's clock, not a writer's.
    pub log_append_time: bool,
    pub min_insync_replicas: u32,
    pub replication: u32,
    pub unclean_election: bool,
    /// Largest record batch in bytes, `max.message.bytes`.
    pub message_bytes_max: u64,
}

impl TopicPolicy {
    /// The policy that a topic of `replication` replicas is made with; it loses nothing by it. A node may be away for a
    /// week and still come back without a rebuild, and nothing younger than a minute is compacted, so that gaps at the
    /// tail are markers only. The largest batch is Kafka's default.
    pub fn safe(replication: u32) -> TopicPolicy {
        const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
        TopicPolicy {
            cleanup: "compact".to_owned(),
            delete_retention_ms: 7 * DAY_MS,
            min_compaction_lag_ms: 60_000,
            log_append_time: true,
            min_insync_replicas: replication.min(2),
            replication,
            unclean_election: false,
            message_bytes_max: 1_048_588,
        }
    }
}

/// One partition's ends as its leader answered them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionFacts {
    pub log_start: Offset,
    pub high_watermark: Offset,
    /// Epoch of the leader that answered, if it told one.
    pub epoch: Option<Epoch>,
}

impl PartitionFacts {
    pub(crate) const UNKNOWN: PartitionFacts =
        PartitionFacts { log_start: Offset::ZERO, high_watermark: Offset::ZERO, epoch: None };
}

/// What a topic is, without what only its leaders know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    pub cluster: String,
    pub topic: TopicId,
    pub policy: TopicPolicy,
    pub partitions: u32,
}

/// The answer to `LogCall::Describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFacts {
    pub cluster: String,
    pub topic: TopicId,
    pub policy: TopicPolicy,
    /// One for each partition, in order.
    pub partitions: Vec<PartitionFacts>,
}

impl LogFacts {
    /// How many offsets lie between log start and end, in all partitions; compaction may have left fewer records.
    pub fn offsets(&self) -> u64 {
        self.partitions.iter().map(|facts| facts.high_watermark.since(facts.log_start)).sum()
    }

    /// The identity that a copy of this topic must have.
    pub fn identity(&self, store: &str) -> Identity {
        Identity {
            store: store.to_owned(),
            cluster: self.cluster.clone(),
            topic: self.topic,
            partitions: u32::try_from(self.partitions.len())
                .expect("Kafka counts partitions in 31 bits"),
        }
    }
}
