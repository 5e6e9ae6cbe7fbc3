//! What a caller did and what it was told.
//!
//! Times are any clock that never goes back, the same for all callers of one history. Equal times count
//! as concurrent: a finer clock (a step counter, say) lets the oracles see more.

use std::collections::BTreeMap;

/// Per partition an exclusive position: a token as a history needs it.
pub type Positions = Vec<u64>;

/// A copy's rows by key.
pub type Rows = BTreeMap<Vec<u8>, Row>;

/// A row as a copy serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub offset: u64,
    pub value: Vec<u8>,
}

/// One call by one caller.
///
/// A session is one caller's view: its `AT_LEAST` reads demand the merge of everything that its writes
/// and its reads above `STALE` were told. Whoever does otherwise needs a session of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub session: u32,
    pub node: u32,
    pub call: Call,
    pub invoked: u64,
    /// None: the caller heard nothing, and never will.
    pub completed: Option<u64>,
    pub told: Told,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// No other put of the history writes this value to this key.
    Put {
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Delete {
        key: Vec<u8>,
    },
    Get {
        key: Vec<u8>,
        level: Level,
    },
    /// The scan is of `start..end` (`end` none: no bound). One that was stopped early ends where it was stopped.
    Scan {
        start: Vec<u8>,
        end: Option<Vec<u8>>,
        level: Level,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Level {
    Stale,
    Local,
    AtLeast(Positions),
    Latest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A write that is in the log there.
    Appended { partition: u32, offset: u64 },
    /// A write may have happened, or may still happen. A read has no answer.
    Unknown,
    /// It was refused, and changed nothing.
    DidNotHappen,
    /// A write inside of a transaction that was aborted or never ended.
    Aborted,
    /// What a get found, and the positions of the snapshot that it read.
    Row { row: Option<Row>, positions: Positions },
    /// What a scan found, likewise.
    Rows { rows: Rows, positions: Positions },
}

impl Call {
    /// The key and new value of a write.
    pub(super) fn write(&self) -> Option<(&[u8], Option<&[u8]>)> {
        match self {
            Call::Put { key, value } => Some((key, Some(value))),
            Call::Delete { key } => Some((key, None)),
            Call::Get { .. } | Call::Scan { .. } => None,
        }
    }

    pub(super) fn level(&self) -> Option<&Level> {
        match self {
            Call::Put { .. } | Call::Delete { .. } => None,
            Call::Get { level, .. } | Call::Scan { level, .. } => Some(level),
        }
    }
}

impl Operation {
    /// When it was over, or the end of time.
    pub(super) fn over(&self) -> u64 {
        self.completed.unwrap_or(u64::MAX)
    }

    /// The positions that a read was answered with.
    pub(super) fn positions(&self) -> Option<&[u64]> {
        match &self.told {
            Told::Row { positions, .. } | Told::Rows { positions, .. } => Some(positions),
            Told::Appended { .. } | Told::Unknown | Told::DidNotHappen | Told::Aborted => None,
        }
    }
}
