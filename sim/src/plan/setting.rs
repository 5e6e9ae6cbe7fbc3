//! The world of a plan: who takes part, how Kafka is set up, the nodes' limits, how slow everything is.

use std::time::Duration;

use outrigger_core::limits::Limits;
use outrigger_core::topic::{TopicId, TopicPolicy};
use outrigger_model::log::{BrokerConfig, CleanerPace, LogConfig, SegmentLimits};
use serde::{Deserialize, Serialize};

use crate::world::PeerPace;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    pub nodes: usize,
    pub partitions: u32,
    pub kafka: Kafka,
    pub policy: Policy,
    pub limits: NodeLimits,
    pub latencies: Latencies,
    /// Nodes give each other their copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// Offsets in the log below which nobody is asked.
    pub offsets_min: u64,
    pub retry_ms: u64,
    /// A transfer's time is drawn evenly from 0.
    pub takes_up_to_ms: u64,
    /// One of which nothing comes ends after this.
    pub gives_up_ms: u64,
    /// Reads that a node's own copy does not admit yet are forwarded to its peers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forward_reads: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    pub brokers: u32,
    /// A follower's fetch round; 0: replication is immediate.
    pub pace_ms: u64,
    /// `replica.lag.time.max.ms`.
    pub lag_max_ms: u64,
    /// `broker.session.timeout.ms`; 0: the controller notices at once.
    pub session_ms: u64,
    /// `transaction.timeout.ms`; 0: hung transactions hang for ever.
    pub transaction_timeout_ms: u64,
    /// Records after which a segment rolls.
    pub segment_offsets: usize,
    pub segment_ms: u64,
    /// 0: cleaned by faults only.
    pub cleaner_ms: u64,
    pub dirty_percent: usize,
    pub delivery_timeout_ms: u64,
    pub ask_timeout_ms: u64,
    pub end_with_records: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub cleanup: String,
    pub delete_retention_ms: u64,
    pub min_compaction_lag_ms: u64,
    pub log_append_time: bool,
    pub min_insync_replicas: u32,
    pub replication: u32,
    pub unclean_election: bool,
}

/// Those of core's limits that a plan varies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeLimits {
    pub fetch_bytes: u32,
    pub applying_batches: usize,
    pub flush_bytes: usize,
    pub flush_ms: u64,
    pub ends_ms: u64,
    pub describe_ms: u64,
    pub retry_min_ms: u64,
    pub retry_max_ms: u64,
    pub stall_ms: u64,
    pub confirm_ms: u64,
    pub awaits: usize,
}

/// Most microseconds that each takes; what it takes is drawn evenly from 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latencies {
    pub log_call_us: u64,
    pub log_answer_us: u64,
    pub disk_us: u64,
}

impl Setting {
    pub(super) fn check(&self) -> Result<(), String> {
        let range = |name: &str, is: u64, from: u64, to: u64| {
            if (from..=to).contains(&is) {
                Ok(())
            } else {
                Err(format!("{name} is {is}, it must be within {from} to {to}"))
            }
        };
        let wide = |n: usize| u64::try_from(n).expect("usize fits 64 bits");
        range("nodes", wide(self.nodes), 1, 7)?;
        range("partitions", u64::from(self.partitions), 1, 16)?;
        range("kafka.brokers", u64::from(self.kafka.brokers), 1, 7)?;
        range(
            "policy.replication",
            u64::from(self.policy.replication),
            1,
            u64::from(self.kafka.brokers),
        )?;
        range("limits.fetch_bytes", u64::from(self.limits.fetch_bytes), 1, 1 << 30)?;
        range("limits.applying_batches", wide(self.limits.applying_batches), 1, 64)?;
        range("limits.ends_ms", self.limits.ends_ms, 1, 3_600_000)?;
        range("limits.retry_min_ms", self.limits.retry_min_ms, 1, self.limits.retry_max_ms)?;
        range("kafka.ask_timeout_ms", self.kafka.ask_timeout_ms, 1, 3_600_000)?;
        range("kafka.delivery_timeout_ms", self.kafka.delivery_timeout_ms, 1, 3_600_000)
    }

    pub fn limits(&self) -> Limits {
        let limits = self.limits.limits();
        match &self.peers {
            Some(Peers { offsets_min, retry_ms, .. }) => Limits {
                peer_offsets_min: *offsets_min,
                peer_retry: Duration::from_millis(*retry_ms),
                ..limits
            },
            None => limits,
        }
    }

    pub(super) fn policy_trust_ms(&self) -> u64 {
        self.limits.policy_trust_ms()
    }

    /// The time after which everybody who is awake has asked for the topic's configuration.
    pub(crate) fn heard_ms(&self) -> u64 {
        2 * self.limits.describe_ms + 2_000
    }

    /// The time after which a question to the log is answered.
    pub(crate) fn answer_ms(&self) -> u64 {
        2 * (self.latencies.log_call_us + self.latencies.log_answer_us) / 1_000 + 200
    }

    /// When the cleaner may go by tombstones that are `deleted` then, and when it finds them expired.
    pub(super) fn tombstones_gone(&self, deleted: u64, live_ms: u64) -> (u64, u64) {
        let cleaned = deleted + 50 + 4 * self.kafka.pace_ms + self.policy.min_compaction_lag_ms;
        (cleaned, cleaned + live_ms + 5)
    }

    pub fn log(&self) -> LogConfig {
        let Kafka { cleaner_ms, dirty_percent, transaction_timeout_ms, .. } = self.kafka;
        LogConfig {
            cluster: "cluster".to_owned(),
            topic: TopicId([1; 16]),
            partitions: self.partitions,
            policy: self.policy.policy(),
            segments: SegmentLimits {
                offsets_max: self.kafka.segment_offsets,
                age_ms: self.kafka.segment_ms,
            },
            cleaner: (cleaner_ms > 0).then(|| CleanerPace {
                every: Duration::from_millis(cleaner_ms),
                dirty_percent_min: dirty_percent,
            }),
            delivery_timeout: Duration::from_millis(self.kafka.delivery_timeout_ms),
            ask_timeout: Duration::from_millis(self.kafka.ask_timeout_ms),
            end_with_records: self.kafka.end_with_records,
            brokers: BrokerConfig {
                count: self.kafka.brokers,
                pace: Duration::from_millis(self.kafka.pace_ms),
                lag_max: Duration::from_millis(self.kafka.lag_max_ms),
                session_timeout: Duration::from_millis(self.kafka.session_ms),
            },
            transaction_timeout: (transaction_timeout_ms > 0)
                .then(|| Duration::from_millis(transaction_timeout_ms)),
        }
    }
}

impl Peers {
    pub fn pace(&self) -> PeerPace {
        PeerPace {
            takes: Duration::from_millis(self.takes_up_to_ms),
            gives_up: Duration::from_millis(self.gives_up_ms),
        }
    }
}

impl Policy {
    pub fn policy(&self) -> TopicPolicy {
        TopicPolicy {
            cleanup: self.cleanup.clone(),
            delete_retention_ms: self.delete_retention_ms,
            min_compaction_lag_ms: self.min_compaction_lag_ms,
            log_append_time: self.log_append_time,
            min_insync_replicas: self.min_insync_replicas,
            replication: self.replication,
            unclean_election: self.unclean_election,
            ..TopicPolicy::safe(self.replication)
        }
    }
}

impl NodeLimits {
    fn policy_trust_ms(&self) -> u64 {
        3 * self.ends_ms.min(1_000)
    }

    pub fn limits(&self) -> Limits {
        Limits {
            fetch_bytes_max: self.fetch_bytes,
            applying_batches_max: self.applying_batches,
            flush_bytes_max: self.flush_bytes,
            flush_interval: Duration::from_millis(self.flush_ms),
            ends_interval: Duration::from_millis(self.ends_ms),
            gap_wait_max: Duration::from_millis(self.ends_ms.min(1_000)),
            describe_interval: Duration::from_millis(self.describe_ms),
            policy_trust: Duration::from_millis(self.policy_trust_ms()),
            retry_min: Duration::from_millis(self.retry_min_ms),
            retry_max: Duration::from_millis(self.retry_max_ms),
            stall_after: Duration::from_millis(self.stall_ms),
            confirm_interval_max: Duration::from_millis(self.confirm_ms),
            awaits_max: self.awaits,
            ..Limits::PRODUCTION
        }
    }
}
