//! The seam to the copy on disk. Production: `RocksStore`; model: `StoreModel`. One conformance suite.
//!
//! Calls of one store are carried out in order, each answered by exactly one event, in order.
//! `Apply` and `Confirm` are atomic; only `Flush` makes them durable. After a crash a generation holds
//! what some prefix of its `Apply`s and `Confirm`s made, per partition, at least the last flushed one.

use std::sync::Arc;

use crate::batch::Batch;
use crate::lineage::Lineage;
use crate::offset::{Generation, Offset, Partition, RequestId, Revision};
use crate::topic::Identity;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreCall {
    /// Compares IDENTITY with `expected` before anything else; opens the generations only when they agree. What was open
    /// is closed first.
    /// Leftovers of an interrupted `Remove`, `Quarantine` or `Create` are finished; what was fetched stays where it
    /// is. Answer: `Found`.
    Open { expected: Identity },
    /// The generation that CURRENT names is opened for reads alone, whatever topic it is of, if its IDENTITY is of this
    /// store. Nothing on disk is changed, and writes to it fail until the next `Open`. Answer: `Looked`.
    Look { store: String },
    /// Makes a new, empty generation with these lineages, durable. Writes IDENTITY when there is none. What was fetched
    /// and not adopted is removed. Answer: `Done`.
    Create { generation: Generation, identity: Identity, lineages: Vec<Lineage> },
    /// What a peer gave for this generation becomes it, durable and not open: an unfinished rebuild, whatever it
    /// holds. Fails unless it was fetched, under this identity; writes IDENTITY when there is none. Anything else
    /// that was fetched is removed. Answer: `Done`.
    Adopt { generation: Generation, identity: Identity, delete_retention_ms_min: u64 },
    /// Writes the batch's records, in order, and `lineage`, as one atomic unit. Snapshots of the generation that
    /// CURRENT names see it from now on; those of any other, once it is flushed. Answer: `Applied`.
    Apply { generation: Generation, batch: Arc<Batch>, lineage: Lineage },
    /// Writes a lineage alone, as an `Apply` without records does. Answer: `Done`.
    Confirm { generation: Generation, partition: Partition, lineage: Lineage },
    /// Everything before this call is on disk when it is answered. Answer: `Done`.
    Flush { generation: Generation },
    /// `CURRENT` names this generation, durably and atomically. Fails unless everything applied to it is
    /// flushed. Answer: `Done`.
    Activate { generation: Generation },
    /// Moves a generation aside, kept until an operator drops it; its number is not used again. Answer: `Done`.
    Quarantine { generation: Generation, why: Why },
    /// Deletes a generation; one that is not there is no error. Answer: `Done`.
    Remove { generation: Generation },
    /// Closes an open generation WITHOUT flushing: what was not flushed is forgotten. A snapshot
    /// that a read holds is kept, pins of it end. Answer: `Done`.
    Close { generation: Generation },
    /// Keeps a snapshot of one partition of the generation in use, as it is between the calls before and after
    /// this one, under `pin`: with those of the other partitions one view. Ends with `Unpin` or with the
    /// generation's `Close`, `Quarantine` or `Remove`. Answer: `Pinned`.
    Pin { generation: Generation, partition: Partition, pin: RequestId },
    /// Keeps nothing under `pin` any more; nothing kept is no error. Answer: `Done`.
    Unpin { generation: Generation, pin: RequestId },
}

/// Why a generation is set aside. Kept with it, for whoever drops it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It has records that the log lost, or of another history: what that comes to is [`crate::lost`]'s matter.
    #[error("{0}")]
    Lost(String),
    /// It cannot be read, or not be trusted.
    #[error("{0}")]
    Damaged(String),
    /// A crash came before it was removed. Only stores say so, never a node.
    #[error("superseded by a newer generation")]
    Superseded,
}

impl StoreCall {
    pub fn kind(&self) -> StoreCallKind {
        match self {
            StoreCall::Open { .. } => StoreCallKind::Open,
            StoreCall::Look { .. } => StoreCallKind::Look,
            StoreCall::Create { .. } => StoreCallKind::Create,
            StoreCall::Adopt { .. } => StoreCallKind::Adopt,
            StoreCall::Apply { .. } => StoreCallKind::Apply,
            StoreCall::Confirm { .. } => StoreCallKind::Confirm,
            StoreCall::Flush { .. } => StoreCallKind::Flush,
            StoreCall::Activate { .. } => StoreCallKind::Activate,
            StoreCall::Quarantine { .. } => StoreCallKind::Quarantine,
            StoreCall::Remove { .. } => StoreCallKind::Remove,
            StoreCall::Close { .. } => StoreCallKind::Close,
            StoreCall::Pin { .. } => StoreCallKind::Pin,
            StoreCall::Unpin { .. } => StoreCallKind::Unpin,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreEvent {
    Found(Found),
    /// None: there is nothing of this store, or nobody can tell.
    Looked(Option<Looked>),
    Applied {
        generation: Generation,
        partition: Partition,
        position: Offset,
    },
    Pinned {
        pin: RequestId,
        partition: Partition,
    },
    Done {
        call: StoreCallKind,
        generation: Generation,
    },
    /// The call had no effect that a later `Open` would show, or all of it (a flush may be in part).
    Failed {
        call: StoreCallKind,
        error: StoreError,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreCallKind {
    Open,
    Look,
    Create,
    Adopt,
    Apply,
    Confirm,
    Flush,
    Activate,
    Quarantine,
    Remove,
    Close,
    Pin,
    Unpin,
}

impl StoreEvent {
    /// The kind of call that it answers.
    pub fn answers(&self) -> StoreCallKind {
        match self {
            StoreEvent::Found(_) => StoreCallKind::Open,
            StoreEvent::Looked(_) => StoreCallKind::Look,
            StoreEvent::Applied { .. } => StoreCallKind::Apply,
            StoreEvent::Pinned { .. } => StoreCallKind::Pin,
            StoreEvent::Done { call, .. } | StoreEvent::Failed { call, .. } => *call,
        }
    }
}

impl StoreCallKind {
    /// What the call does, for people.
    pub fn what(self) -> &'static str {
        match self {
            StoreCallKind::Open => "opening the copy",
            StoreCallKind::Look => "opening the copy to be read meanwhile",
            StoreCallKind::Create => "creating a generation",
            StoreCallKind::Adopt => "taking over what a peer gave",
            StoreCallKind::Apply => "writing a batch",
            StoreCallKind::Confirm => "writing a confirmation",
            StoreCallKind::Flush => "a flush",
            StoreCallKind::Activate => "putting a generation into use",
            StoreCallKind::Quarantine => "setting a generation aside",
            StoreCallKind::Remove => "removing a generation",
            StoreCallKind::Close => "closing a generation",
            StoreCallKind::Pin => "pinning a partition",
            StoreCallKind::Unpin => "ending a pin",
        }
    }
}

/// What `Open` found on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no IDENTITY and no generation.
    Nothing,
    /// IDENTITY belongs to something else, or cannot be read: nothing was opened. `is` is what it says.
    Foreign {
        is: String,
    },
    Copy(FoundCopy),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCopy {
    /// The generation that CURRENT names.
    pub current: Option<FoundGeneration>,
    /// A newer generation whose rebuild did not end.
    pub building: Option<FoundGeneration>,
    /// A number above that of every generation on disk, quarantined ones included.
    pub next: Generation,
}

/// What is served until the log tells whether it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    pub identity: Identity,
    pub found: FoundGeneration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundGeneration {
    pub generation: Generation,
    pub state: GenerationState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GenerationState {
    /// It is open, and has one lineage per partition.
    Intact(Vec<Lineage>),
    /// It was written by another version and is never migrated; it is not open.
    UnknownFormat(String),
    /// It cannot be opened or lacks its lineage; it is not open.
    Corrupt(String),
}

impl Found {
    /// What CURRENT names; an unfinished rebuild is always a newer one.
    pub(crate) fn in_use(&self) -> Option<&FoundGeneration> {
        match self {
            Found::Copy(copy) => copy.current.as_ref(),
            Found::Nothing | Found::Foreign { .. } => None,
        }
    }
}

impl FoundCopy {
    /// Forgets a generation that was set aside or removed since.
    pub(crate) fn forget(&mut self, gone: Generation) {
        for found in [&mut self.current, &mut self.building] {
            found.take_if(|found| found.generation == gone);
        }
    }
}

impl FoundGeneration {
    /// The oldest confirmation of its partitions, wall clock, ms; 0: none, or it cannot be read.
    pub fn confirmed_at_ms(&self) -> u64 {
        let lineages = self.lineages().into_iter().flatten();
        lineages.map(|lineage| lineage.confirmed_at_ms).min().unwrap_or(0)
    }

    /// The smallest retention of tombstones that it has seen; the largest number where nobody knows.
    pub fn delete_retention_ms_min(&self) -> u64 {
        let lineages = self.lineages().into_iter().flatten();
        lineages.map(|lineage| lineage.delete_retention_ms_min).min().unwrap_or(u64::MAX)
    }

    /// The lineages, indexed by partition; none where they cannot be read.
    pub fn lineages(&self) -> Option<&[Lineage]> {
        match &self.state {
            GenerationState::Intact(lineages) => Some(lineages),
            GenerationState::UnknownFormat(_) | GenerationState::Corrupt(_) => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct StoreError {
    pub kind: StoreErrorKind,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreErrorKind {
    #[error("no space left for the copy")]
    Full,
    #[error("the disk failed")]
    Io,
    #[error("the copy is corrupt")]
    Corrupt,
    /// Whoever read it before it was closed does not end, so that it cannot be opened again. Nothing else is wrong.
    #[error("the copy is still read")]
    Held,
}

/// One snapshot of one generation, for handlers, never for the Node: token and rows are of the same moment.
pub trait View {
    /// The snapshot's lineages, indexed by partition.
    fn lineages(&self) -> Result<Vec<Lineage>, StoreError>;

    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError>;

    /// Hands the rows of `start..end` (`end` none: no bound) to `row`, in key order, backwards when `reverse`, until it
    /// says stop. It may end with an error when the generation is closed.
    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        row: Visit<'_>,
    ) -> Result<(), StoreError>;
}

/// Takes a row's key, revision and value.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], Revision, &[u8]) -> Scan;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    Continue,
    Stop,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub revision: Revision,
    pub value: Vec<u8>,
}
