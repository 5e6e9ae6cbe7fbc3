//! Where a watch goes on, on whatever node.

use crate::token::Token;

/// Everything below the token was delivered, and is the state there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Each epoch is that of the newest record below its position: who has this record has everything before it.
    pub token: Token,
    /// Wall clock, ms: all that the log had then is below the token. A tombstone after it lives longer than this by the
    /// topic's retention.
    pub confirmed_at_ms: u64,
}

/// Why changes after a point cannot be proven complete, so that the state has to be sent anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    #[error("the point is of another topic")]
    Topic,
    #[error("the log has another history than the point, or cannot show that it has the same")]
    History,
    #[error("tombstones that come after the point may be gone from the log")]
    Horizon,
    #[error("the copy whose rows were sent was closed")]
    Snapshot,
    #[error("the cursor {0}")]
    Cursor(NoPoint),
}

/// Why a cursor has no point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPoint {
    #[error("is not known: nobody has committed it, or Kafka has forgotten it")]
    Unknown,
    #[error(
        "was not committed by a node, or by one of another version: its metadata is none of ours"
    )]
    Foreign,
    #[error(
        "is known in some partitions only: Kafka has forgotten the others, or the topic has got more"
    )]
    Partial,
}
