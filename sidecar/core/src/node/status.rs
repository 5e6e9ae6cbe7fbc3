//! What an operator sees of a node.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::horizon::Horizon;
use crate::offset::{Epoch, Generation, Offset};
use crate::peer::Transfer;
use crate::phase::{Cause, Phase};
use crate::topic::{Identity, TopicPolicy};

use super::{Node, Stall};

#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub store: String,
    pub phase: Phase,
    pub stalls: Vec<Stall>,
    pub identity: Option<Identity>,
    pub policy: Option<TopicPolicy>,
    /// The generation that reads see.
    pub served: Option<Generation>,
    /// The generation that the log is applied to.
    pub fed: Option<Generation>,
    pub exact: bool,
    pub confirmed_at_ms: u64,
    /// One for each partition, in order.
    pub partitions: Vec<PartitionStatus>,
    /// Of the restore that runs or ran last.
    pub progress: Option<Progress>,
    /// Bytes per second that a restore may read; none: as fast as it can.
    pub restore_rate: Option<NonZeroU64>,
    /// Of the copy that the log is applied to; while there is none, of the one that reads see.
    pub horizon: Option<Horizon>,
    pub writes_in_flight: usize,
    pub awaits: usize,
    /// Pins, those under way included.
    pub pins: usize,
    /// Records ignored since the start: misplaced or without a key.
    pub ignored: u64,
    /// Of them, those in another partition than their key's.
    pub misplaced: u64,
    /// The process's monotonic clock when this was taken.
    pub mono: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    pub applied: Offset,
    pub durable: Offset,
    pub target: Offset,
    pub log_start: Offset,
    /// The newest that an answer told, and never below what was read.
    pub high_watermark: Offset,
    pub exact_from: Offset,
    pub epoch: Option<Epoch>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub cause: Cause,
    /// When it began, on the monotonic clock.
    pub started: Duration,
    pub records: u64,
    /// Of keys and values.
    pub bytes: u64,
    pub source: Source,
}

/// Where a restore takes the state from at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Log,
    /// Offsets and records count nothing meanwhile. None until one gives something.
    Peer(Option<Transfer>),
}

impl Node {
    pub fn status(&self) -> Status {
        let Node { shared, stage } = self;
        let reading = stage.reading();
        Status {
            store: shared.store.clone(),
            phase: shared.phase.clone(),
            stalls: shared.stalls.all().cloned().collect(),
            identity: shared.facts.as_ref().map(|facts| facts.identity(&shared.store)),
            policy: shared.facts.as_ref().map(|facts| facts.policy.clone()),
            served: shared.gate.generation,
            fed: reading.map(|reading| reading.generation),
            exact: shared.gate.exact,
            confirmed_at_ms: shared.gate.confirmed_at_ms,
            partitions: reading
                .map(|reading| reading.statuses(shared.known_facts()))
                .unwrap_or_default(),
            progress: stage.progress(),
            restore_rate: shared.throttle.rate(),
            horizon: match reading {
                Some(reading) => reading.horizon(shared),
                None => stage.served().map(|served| served.horizon(shared)),
            },
            writes_in_flight: shared.writes.len(),
            awaits: shared.awaits.len(),
            pins: reading.map_or(0, |reading| reading.pins.len()),
            ignored: shared.ignored,
            misplaced: shared.misplaced,
            mono: shared.now.mono,
        }
    }
}
