//! Names for what a node waits for: no wait without one.

use crate::log::KafkaError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StallKind {
    LogUnreachable,
    LeaderUnavailable,
    Authorisation,
    TopicGone,
    /// The leader that answers was deposed: its epoch is below one already seen, or it refuses what the log has.
    StaleLeader,
    /// Somebody's transaction is open at the offset that the detail names, and hides what follows.
    OpenTransaction,
    /// A batch fails its checksum or cannot be decompressed; it is asked for again, never skipped.
    PoisonBatch,
    StoreFull,
    StoreFailed,
    /// A call to the disk is not answered.
    StoreSlow,
    /// Everything is read, but more gaps come before the last one is known to hide nothing.
    Inexact,
    /// Nothing arrives and nobody says why.
    NoProgress,
    /// A copy is to come from a peer, and nothing of it comes.
    PeerSilent,
}

impl StallKind {
    pub const ALL: [StallKind; 13] = [
        StallKind::LogUnreachable,
        StallKind::LeaderUnavailable,
        StallKind::Authorisation,
        StallKind::TopicGone,
        StallKind::StaleLeader,
        StallKind::OpenTransaction,
        StallKind::PoisonBatch,
        StallKind::StoreFull,
        StallKind::StoreFailed,
        StallKind::StoreSlow,
        StallKind::Inexact,
        StallKind::NoProgress,
        StallKind::PeerSilent,
    ];

    /// The name that metrics and Status show; it never changes.
    pub fn name(self) -> &'static str {
        match self {
            StallKind::LogUnreachable => "log_unreachable",
            StallKind::LeaderUnavailable => "leader_unavailable",
            StallKind::Authorisation => "authorisation",
            StallKind::TopicGone => "topic_gone",
            StallKind::StaleLeader => "stale_leader",
            StallKind::OpenTransaction => "open_transaction",
            StallKind::PoisonBatch => "poison_batch",
            StallKind::StoreFull => "store_full",
            StallKind::StoreFailed => "store_failed",
            StallKind::StoreSlow => "store_slow",
            StallKind::Inexact => "inexact",
            StallKind::NoProgress => "no_progress",
            StallKind::PeerSilent => "peer_silent",
        }
    }

    pub fn what_to_do(self) -> &'static str {
        match self {
            StallKind::LogUnreachable => {
                "check that the brokers run and that `bootstrap` names them"
            }
            StallKind::LeaderUnavailable => {
                "the partition has no leader: check the brokers and the in-sync replicas"
            }
            StallKind::Authorisation => {
                "check the credentials and the ACLs of this principal on the topic: it needs Read, Describe and \
                 DescribeConfigs, and Write for writes"
            }
            StallKind::TopicGone => {
                "where no node has a copy of this topic yet, create it or start with `--create`. Where one has, do not: \
                 check that `bootstrap` names the cluster that it was in. If it was deleted, write the state of the best \
                 copy into a new topic (`outrigger reseed`)"
            }
            StallKind::StaleLeader => {
                "a deposed leader still answers: check the network between the brokers. Where Kafka was restored \
                 from a backup, its leader epochs began again: stop all nodes, write the state of the best copy into \
                 a new topic (`outrigger reseed`), or run `outrigger reset` to take what the backup has"
            }
            StallKind::OpenTransaction => {
                "a foreign transaction is open: end its producer or wait for its timeout"
            }
            StallKind::PoisonBatch => {
                "a batch in the log is damaged: check the partition's replicas. Or it is one of zstd that unfolds to \
                 more than 100 MB, which is the most that can be read: let its writer use a smaller `batch.size` or \
                 another compression and write those keys again, so that compaction removes the batch"
            }
            StallKind::StoreFull => "free disk space; the node goes on by itself",
            StallKind::StoreFailed => "check the disk; the node tries again by itself",
            StallKind::StoreSlow => {
                "the disk hangs or is overloaded: check it and what else uses it; the node goes on by itself \
                 when it answers"
            }
            StallKind::Inexact => {
                "transactions of other writers overlap without a pause: set `message.timestamp.type` of the \
                 topic to LogAppendTime and `min.compaction.lag.ms` to 60000, and the gaps that they leave are \
                 not taken for compaction"
            }
            StallKind::NoProgress => "check the brokers' logs and this node's network",
            StallKind::PeerSilent => {
                "check that the configured peers run and can be reached; the node reads the log by itself \
                 when none answers"
            }
        }
    }

    /// The stall that an error of the log means for whoever waits for it.
    pub fn of(error: &KafkaError) -> StallKind {
        match error.code {
            // UNKNOWN_TOPIC_OR_PART, UNKNOWN_TOPIC_ID, _NOENT, _UNKNOWN_TOPIC, _UNKNOWN_PARTITION
            3 | 100 | -156 | -188 | -190 => StallKind::TopicGone,
            // TOPIC_, GROUP_, CLUSTER_AUTHORIZATION_FAILED, SASL_AUTHENTICATION_FAILED, _AUTHENTICATION, _SSL
            29 | 30 | 31 | 58 | -169 | -181 => StallKind::Authorisation,
            // LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, FENCED_ and UNKNOWN_LEADER_EPOCH, OFFSET_NOT_AVAILABLE
            5 | 6 | 74 | 75 | 78 => StallKind::LeaderUnavailable,
            // CORRUPT_MESSAGE, _BAD_MSG, _BAD_COMPRESSION
            2 | -199 | -198 => StallKind::PoisonBatch,
            _ => StallKind::LogUnreachable,
        }
    }

    /// Whether an answer from the log ends this stall.
    pub fn ends_with_an_answer(self) -> bool {
        match self {
            StallKind::LogUnreachable
            | StallKind::LeaderUnavailable
            | StallKind::Authorisation
            | StallKind::TopicGone => true,
            StallKind::StaleLeader
            | StallKind::OpenTransaction
            | StallKind::PoisonBatch
            | StallKind::StoreFull
            | StallKind::StoreFailed
            | StallKind::StoreSlow
            | StallKind::Inexact
            | StallKind::NoProgress
            | StallKind::PeerSilent => false,
        }
    }
}
