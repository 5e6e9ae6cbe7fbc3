//! The seam to the log. Production: `KafkaLog`; model: `LogModel`. One conformance suite for both.
//!
//! A `Describe` that was answered comes before any other call: it tells how many partitions there are. Calls of one
//! store are carried out in order per partition. Every call is answered by exactly one final event, with two
//! exceptions: an `Assign` voids the partition's outstanding `Fetch`, and a `Withdraw` only hastens the answer of its
//! `Append`. Nothing that belongs to an older assignment follows its `Assigned`. At most one `Describe`, one `Ends`,
//! one `TopicId`, and per partition one `Fetch` are outstanding. Admin calls fail after a bounded time.

use std::sync::Arc;

use bytes::Bytes;

use crate::batch::Batch;
use crate::offset::{Epoch, Offset, Partition, RequestId, Revision};
use crate::topic::{LogFacts, TopicFacts, TopicId};

/// One put or delete, with the partition of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub partition: Partition,
    pub key: Bytes,
    /// None deletes the key: a tombstone.
    pub value: Option<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogCall {
    /// Everything `decide` needs, asked of the leaders now. Answer: `Facts`, or `Leaderless`.
    Describe,
    /// Reads `partition` from `at` on. `epoch`, the leader epoch below `at`, makes the log refuse a
    /// position of another history (KIP-320). Answer: `Assigned`; a refused position surfaces as `Lost`.
    Assign { partition: Partition, at: Offset, epoch: Option<Epoch> },
    /// Credit for one batch of about `bytes_max` bytes, at least one record. Answer: `Fetched` when
    /// there is something to tell (records, or the end met), however long that takes; or `Lost`.
    Fetch { partition: Partition, bytes_max: u32 },
    /// The high watermarks, asked of the leaders after this call. Answer: `Ends`.
    Ends,
    /// The topic's id, asked after this call. Answer: `TopicId`.
    TopicId,
    /// Appends in order per partition, durable on all in-sync replicas when acknowledged.
    /// Answer: `Appended` with one result per write, in the same order.
    Append { id: RequestId, writes: Arc<[Write]> },
    /// Nobody waits for this append any more: what has not left this client is given up, and answered as not persisted
    /// at once. What may be in a log goes on. Only the append itself is answered, and it may have been already.
    Withdraw { id: RequestId },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEvent {
    Facts(LogFacts),
    /// Answers `Describe` where the topic is known, and a partition's leader does not answer.
    Leaderless {
        topic: TopicFacts,
        partition: Partition,
        error: KafkaError,
    },
    Assigned {
        partition: Partition,
    },
    Fetched(Batch),
    /// The log does not have the reader's position any more. The assignment is void.
    Lost {
        partition: Partition,
        loss: Loss,
    },
    /// Indexed by partition. One leader that does not answer holds up no other's answer; at least one answered.
    Ends(Vec<EndAnswer>),
    TopicId(TopicId),
    /// It answers no call: it is told before a `TopicId` whose question found another number of partitions than the
    /// last `Describe`.
    PartitionCount(u32),
    Appended {
        id: RequestId,
        results: Vec<Result<Revision, KafkaError>>,
    },
    /// The call of this kind got no answer; it changed nothing and may be repeated.
    Failed {
        call: LogCallKind,
        error: KafkaError,
    },
    /// It answers no call: it is what the client reports while it keeps trying. It names a stall.
    Trouble(KafkaError),
}

/// One partition's end, or why its leader did not tell it.
pub type EndAnswer = Result<PartitionEnd, KafkaError>;

/// The calls that `Failed` can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogCallKind {
    Describe,
    Ends,
    TopicId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The offset is outside of what the answering leader has.
    OutOfRange,
    /// The leader's history ends the reader's epoch below the reader's position (KIP-320).
    Diverged,
    /// The leader has heard of no term as late as the reader's epoch. A leader knows its own, so it was deposed
    /// before that epoch began: no proof of another history. Each client of the log learns of leaders by itself.
    UnknownEpoch,
}

/// A partition's end as its leader answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionEnd {
    pub high_watermark: Offset,
    pub epoch: Option<Epoch>,
}

/// An error of the log as librdkafka tells it: core classifies it, so that the simulator tests the classification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} ({code})")]
pub struct KafkaError {
    /// `rd_kafka_resp_err_t`: negative is librdkafka's own, positive is the broker's.
    pub code: i32,
    /// Its name for people, such as `NOT_LEADER_OR_FOLLOWER`.
    pub name: String,
    /// Message status NOT_PERSISTED: sticky over librdkafka's hidden retries, so the record is in no log.
    pub not_persisted: bool,
}

impl KafkaError {
    /// `_DESTROY`: the client ended before the log answered.
    pub fn client_gone() -> KafkaError {
        KafkaError { code: -197, name: "_DESTROY".to_owned(), not_persisted: false }
    }

    /// `_ALL_BROKERS_DOWN`: the client knows of no broker that can be reached.
    pub fn is_all_brokers_down(&self) -> bool {
        self.code == -187
    }

    /// `_QUEUE_FULL`: librdkafka's queue has no room; the record never entered it.
    pub fn is_queue_full(&self) -> bool {
        self.code == -184
    }

    /// `MSG_SIZE_TOO_LARGE` or `RECORD_LIST_TOO_LARGE`.
    pub fn is_record_too_large(&self) -> bool {
        self.code == 10 || self.code == 18
    }
}
