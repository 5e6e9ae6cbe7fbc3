//! What callers ask for: of nodes, and of Kafka without asking a node.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Names the operation for good: it writes `v<id>`, and its draws are keyed by it.
    pub id: u32,
    pub at_ms: u64,
    pub client: u32,
    #[serde(flatten)]
    pub act: Act,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    Put {
        node: usize,
        key: u32,
    },
    Delete {
        node: usize,
        key: u32,
    },
    /// One call with a put or (true) delete per entry.
    Batch {
        node: usize,
        changes: Vec<(u32, bool)>,
    },
    Get {
        node: usize,
        key: u32,
        level: Level,
        wait_ms: u64,
        /// The oldest confirmation of the copy to accept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_staleness_ms: Option<u64>,
    },
    Scan {
        node: usize,
        level: Level,
        wait_ms: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_staleness_ms: Option<u64>,
    },
    /// Another tool writes to the topic.
    Foreign {
        records: Vec<ForeignKey>,
    },
    /// Another tool's transaction: it ends `lasts_ms` later, or when everything is healed.
    Transaction {
        keys: Vec<u32>,
        commit: bool,
        lasts_ms: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignKey {
    Put(u32),
    /// A value of no bytes, which is no delete.
    Empty(u32),
    Delete(u32),
    /// The record is in a partition that is not the key's.
    Misplaced(u32),
    Keyless,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Stale,
    Local,
    /// The copy is at or after what the caller's session has seen.
    AtLeast,
    Latest,
}

impl Act {
    pub fn get(node: usize, key: u32, level: Level, wait_ms: u64) -> Act {
        Act::Get { node, key, level, wait_ms, max_staleness_ms: None }
    }

    pub fn node(&self) -> Option<usize> {
        match self {
            Act::Put { node, .. }
            | Act::Delete { node, .. }
            | Act::Batch { node, .. }
            | Act::Get { node, .. }
            | Act::Scan { node, .. } => Some(*node),
            Act::Foreign { .. } | Act::Transaction { .. } => None,
        }
    }
}
