//! Where a node is in its life, what it admits there, and why it may refuse to go on.

use std::fmt;

use crate::offset::{Offset, Partition};
use crate::topic::Identity;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Asking the log, opening the copy, deciding.
    Opening,
    /// Reading towards the end that the log had when the restore began.
    Restoring(Cause),
    /// That end is reached, but the copy is not exact yet, or its generation not yet in use.
    CatchingUp,
    Ready,
    /// A person has to do something; `Refusal` says what. The node asks again and again whether it was done.
    Refused(Refusal),
    /// The node has drained; nothing follows.
    Stopped,
}

/// Why a restore runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The copy continues where it ended.
    Resume,
    /// An earlier rebuild continues where it ended.
    Unfinished,
    /// There is nothing on disk.
    Empty,
    /// Tombstones that this copy has not seen may be gone from the log.
    PastHorizon,
    /// The log ends below the copy's position: it lost records.
    Truncated,
    /// The log has another history at the copy's position.
    Diverged,
    Corrupt,
    UnknownFormat,
}

impl Cause {
    pub fn name(self) -> &'static str {
        match self {
            Cause::Resume => "resume",
            Cause::Unfinished => "unfinished rebuild",
            Cause::Empty => "nothing on disk",
            Cause::PastHorizon => "past the tombstone horizon",
            Cause::Truncated => "the log lost records",
            Cause::Diverged => "the log has another history",
            Cause::Corrupt => "corrupt copy",
            Cause::UnknownFormat => "copy of an unknown format",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "the data directory belongs to something else: it says {found}, but the log is {expected}"
    )]
    Identity { found: String, expected: Identity },
    #[error("the topic's policy is unsafe: {0}")]
    Policy(PolicyFault),
    #[error(
        "the log is no longer complete: partition {partition} starts at {log_start}, {}",
        have(*.position)
    )]
    LogIncomplete { partition: Partition, log_start: Offset, position: Option<Offset> },
    #[error("the restore was cancelled by an operator")]
    Cancelled,
}

fn have(position: Option<Offset>) -> String {
    match position {
        Some(position) => format!("the copy ends at {position}"),
        None => "and there is no copy".to_owned(),
    }
}

impl Refusal {
    pub fn what_to_do(&self) -> &'static str {
        match self {
            Refusal::Identity { .. } => {
                "point the sidecar at the right cluster, topic and data directory; if the topic was \
                 recreated on purpose, stop the node and run `outrigger reset`: what only its copy holds \
                 is then lost"
            }
            Refusal::Policy(_) => {
                "correct the topic's configuration (see `kafka-configs --alter`); the node goes on by itself"
            }
            Refusal::LogIncomplete { .. } => {
                "somebody deleted records: nothing can be rebuilt from this log; configure a node that is still \
                 READY as a peer, or copy its data directory, or write the state into a new topic \
                 (`outrigger reseed`)"
            }
            Refusal::Cancelled => {
                "run `outrigger continue`, or start the process again: the restore goes on from what is on disk"
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    #[error("cleanup.policy is {0:?}, it must be exactly \"compact\", or keys disappear")]
    Cleanup(String),
    #[error("delete.retention.ms is {is_ms}, it must be above {above_ms}, or deletes are missed")]
    DeleteRetention { is_ms: u64, above_ms: u64 },
}

/// What may be asked of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Write,
    /// A read that is content with any old copy.
    StaleRead,
    /// Every other read.
    Read,
}

impl Phase {
    /// Whether this phase admits the operation; whether an old copy is there is the gate's matter.
    pub fn admits(&self, operation: Operation) -> bool {
        match (self, operation) {
            (Phase::Stopped, _) => false,
            (Phase::Opening, Operation::StaleRead) => true,
            (Phase::Opening, Operation::Write | Operation::Read) => false,
            (Phase::Restoring(_) | Phase::CatchingUp, Operation::Write | Operation::StaleRead) => {
                true
            }
            (Phase::Restoring(_) | Phase::CatchingUp, Operation::Read) => false,
            (Phase::Ready, _) => true,
            (Phase::Refused(_), Operation::StaleRead) => true,
            (Phase::Refused(_), Operation::Write | Operation::Read) => false,
        }
    }

    pub fn may_become(&self, next: &Phase) -> bool {
        match (self, next) {
            (Phase::Stopped, _) => false,
            (_, Phase::Stopped | Phase::Opening) => true,
            (Phase::Opening, Phase::Restoring(_) | Phase::Refused(_)) => true,
            (Phase::Restoring(_) | Phase::CatchingUp, Phase::Refused(Refusal::Cancelled)) => true,
            (Phase::Restoring(_), Phase::CatchingUp | Phase::Ready) => true,
            (Phase::CatchingUp, Phase::Ready) | (Phase::Ready, Phase::CatchingUp) => true,
            (Phase::Refused(_), Phase::Refused(_) | Phase::Restoring(_)) => true,
            (
                Phase::Opening
                | Phase::Restoring(_)
                | Phase::CatchingUp
                | Phase::Ready
                | Phase::Refused(_),
                Phase::Restoring(_) | Phase::CatchingUp | Phase::Ready | Phase::Refused(_),
            ) => false,
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Phase::Opening => "OPENING",
            Phase::Restoring(_) => "RESTORING",
            Phase::CatchingUp => "CATCHING_UP",
            Phase::Ready => "READY",
            Phase::Refused(_) => "REFUSED",
            Phase::Stopped => "STOPPED",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase::Restoring(cause) => write!(f, "RESTORING ({})", cause.name()),
            Phase::Refused(refusal) => write!(f, "REFUSED ({refusal})"),
            Phase::Opening | Phase::CatchingUp | Phase::Ready | Phase::Stopped => {
                f.write_str(self.name())
            }
        }
    }
}
