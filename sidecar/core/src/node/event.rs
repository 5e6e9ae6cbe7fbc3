//! What goes into a node and what comes out.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;

use crate::gate::{Rejection, Until};
use crate::limits::Limits;
use crate::log::{KafkaError, LogCall, LogEvent};
use crate::offset::{Generation, Offset, Partition, RequestId, Revision};
use crate::peer::{PeerCall, PeerEvent};
use crate::phase::Phase;
use crate::stall::StallKind;
use crate::store::{StoreCall, StoreEvent, Why};
use crate::token::Token;
use crate::topic::{TopicId, TopicPolicy};
use crate::watch::ring::RingNews;

#[derive(Clone, Debug)]
pub enum Event {
    Log(LogEvent),
    Store(StoreEvent),
    Peer(PeerEvent),
    /// Answered by exactly one `Effect::Reply` with its id, unless `Gone` comes first.
    Command(RequestId, Command),
    /// Nobody waits for this command, or wants its pin, any more. A write goes on regardless.
    Gone(RequestId),
    /// The caller of this write will not wait much longer: what has not been sent by now shall never be. The write
    /// is answered as ever.
    Withdraw(RequestId),
    /// A read met damage in a generation.
    Damaged {
        generation: Generation,
        detail: String,
    },
    /// Bytes of keys and values per second that a restore may read from now on; none: as fast as it can. What
    /// a READY node reads is never held back.
    RestoreRate(Option<NonZeroU64>),
    /// `next_timer` has come.
    Timer,
}

#[derive(Clone, Debug)]
pub enum Command {
    /// Reply: `Written`, one outcome per change in the same order, or `Rejected`.
    Write(Vec<Change>),
    /// Reply: `Reached` once a read may go on, or `Rejected`; `deadline` from now.
    Await { until: Until, deadline: Duration },
    /// Keeps the copy exactly as it is at `at`, under the command's id, until `Gone`, the end of the lease or
    /// of the generation. Reply: `Pinned`, or `Rejected` by `deadline` from now at the latest.
    Pin { at: Token, deadline: Duration },
    /// Stops a restore, and keeps what is on disk. Reply: `Done`, or `Rejected` when none runs or is about to.
    Cancel,
    /// Lets a cancelled restore go on. Reply: `Done`, or `Rejected` when none was cancelled.
    Continue,
    /// Takes nothing new, waits for what is under way, flushes and closes. Reply: `Drained`.
    Drain,
}

/// One put (with value) or delete (without) as a caller asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Log(LogCall),
    Store(StoreCall),
    Peer(PeerCall),
    /// What whoever watches is to know. A driver that nobody can watch through drops it.
    Ring(RingNews),
    Reply(RequestId, Reply),
    Notice(Notice),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Written {
        topic: TopicId,
        partitions: u32,
        outcomes: Vec<Outcome>,
    },
    /// `end`: the leaders' answer that `Until::Latest` waited for, by partition; zero where it waited for none.
    Reached {
        end: Option<Vec<Offset>>,
    },
    Pinned,
    Rejected(Rejection),
    Drained,
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In the log, on all in-sync replicas.
    Appended(Revision),
    /// In no log, now and ever.
    DidNotHappen(KafkaError),
    /// May be in the log, or may still get there.
    Unknown(KafkaError),
}

/// What logs and metrics are told; nothing depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    Phase(Phase),
    StallBegan {
        kind: StallKind,
        detail: String,
    },
    StallEnded {
        kind: StallKind,
    },
    /// Records that another tool wrote to a wrong partition or without a key: ignored everywhere alike.
    Ignored {
        partition: Partition,
        misplaced: u32,
        keyless: u32,
    },
    /// Somebody deleted records: this copy goes on, but nothing can be rebuilt from this log any more.
    LogIncomplete {
        partition: Partition,
        log_start: Offset,
    },
    Quarantined {
        generation: Generation,
        why: Why,
    },
    /// The log no longer has this copy's unflushed position; it is read again from what is on disk.
    PositionLost {
        partition: Partition,
        position: Offset,
    },
    Policy(PolicyWarning),
    /// No peer gave a copy: the log is read instead, where it can give the whole state.
    PeerFailed {
        detail: String,
    },
}

/// Settings that are legal but lose data or time in a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyWarning {
    #[error(
        "the topic has {0} replica(s): with fewer than 3 a lost broker can lose acknowledged writes"
    )]
    Replication(u32),
    #[error("min.insync.replicas is {0}: an acknowledged write may be on one broker only")]
    MinInsync(u32),
    #[error("unclean.leader.election.enable is on: acknowledged writes can be lost")]
    UncleanElection,
    #[error("max.message.bytes is {0}: the largest values that this sidecar accepts do not fit")]
    MessageBytes(u64),
    #[error(
        "message.timestamp.type is not LogAppendTime: other writers' transactions hold up reads, and end READY where they \
         overlap without a pause"
    )]
    CreateTime,
}

impl PolicyWarning {
    pub fn of(policy: &TopicPolicy, limits: &Limits) -> Vec<PolicyWarning> {
        let largest =
            u64::try_from(limits.key_bytes_max + limits.value_bytes_max).unwrap_or(u64::MAX);
        [
            (policy.replication < 3).then_some(PolicyWarning::Replication(policy.replication)),
            (policy.min_insync_replicas < 2)
                .then_some(PolicyWarning::MinInsync(policy.min_insync_replicas)),
            policy.unclean_election.then_some(PolicyWarning::UncleanElection),
            (policy.message_bytes_max < largest)
                .then_some(PolicyWarning::MessageBytes(policy.message_bytes_max)),
            (!policy.log_append_time).then_some(PolicyWarning::CreateTime),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
