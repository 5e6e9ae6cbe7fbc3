//! What an operator sees of a node.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::offset::{Epoch, Generation, Offset};
use crate::peer::Transfer;
use crate::phase::{Cause, Phase};
use crate::topic::{Identity, TopicPolicy};

use super::fetching::Fetching;
use super::reading::Reading;
use super::{Node, Stage, Stall};

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
    pub live: Option<Generation>,
    pub exact: bool,
    pub confirmed_at_ms: u64,
    /// Indexed by partition.
    pub partitions: Vec<PartitionStatus>,
    /// Of the restore that runs or ran last.
    pub progress: Option<Progress>,
    /// Bytes per second that a restore may read; none: as fast as it can.
    pub restore_rate: Option<NonZeroU64>,
    /// How long batches may still be applied unless the end is confirmed before: the tombstone horizon.
    pub horizon_in: Option<Duration>,
    pub writes_in_flight: usize,
    pub awaits: usize,
    /// Pins, under way ones included.
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
    /// Monotonic.
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
        let reading = match &self.stage {
            Stage::Preparing { reading, .. } | Stage::Reading(reading) => Some(reading.as_ref()),
            Stage::Asking(_)
            | Stage::Opening { .. }
            | Stage::Recording { .. }
            | Stage::Fetching(_)
            | Stage::Waiting { .. }
            | Stage::Suspended { .. }
            | Stage::Closing
            | Stage::Stopped => None,
        };
        Status {
            store: self.store.clone(),
            phase: self.phase.clone(),
            stalls: self.stalls.all().cloned().collect(),
            identity: self.facts.as_ref().map(|facts| facts.identity(&self.store)),
            policy: self.facts.as_ref().map(|facts| facts.policy.clone()),
            served: self.gate.generation,
            live: reading.map(|reading| reading.generation),
            exact: self.gate.exact,
            confirmed_at_ms: self.gate.confirmed_at_ms,
            partitions: reading.map(|reading| self.partition_status(reading)).unwrap_or_default(),
            progress: match &self.stage {
                Stage::Fetching(fetching) => Some(fetched(fetching)),
                Stage::Asking(_)
                | Stage::Opening { .. }
                | Stage::Recording { .. }
                | Stage::Preparing { .. }
                | Stage::Reading(_)
                | Stage::Waiting { .. }
                | Stage::Suspended { .. }
                | Stage::Closing
                | Stage::Stopped => reading.map(progress),
            },
            restore_rate: self.throttle.rate(),
            horizon_in: reading.and_then(|reading| self.horizon_in(reading)),
            writes_in_flight: self.writes.len(),
            awaits: self.awaits.len(),
            pins: self.pins.len(),
            ignored: self.ignored,
            misplaced: self.misplaced,
            mono: self.now.mono,
        }
    }

    fn horizon_in(&self, reading: &Reading) -> Option<Duration> {
        reading.readers.iter().map(|reader| reader.horizon_in(self.now, &self.limits)).min()
    }

    fn partition_status(&self, reading: &Reading) -> Vec<PartitionStatus> {
        let facts = self.facts.as_ref().expect("reading follows the log's facts");
        let partitions = reading.readers.iter().zip(&facts.partitions);
        partitions
            .map(|(reader, facts)| PartitionStatus {
                applied: reader.applied().position,
                durable: reader.durable(),
                target: reader.target,
                log_start: facts.log_start,
                high_watermark: reader
                    .end_known()
                    .max(facts.high_watermark)
                    .max(reader.applied().position),
                exact_from: reader.applied().exact_from,
                epoch: reader.applied().epochs.latest(),
            })
            .collect()
    }
}

fn progress(reading: &Reading) -> Progress {
    Progress {
        cause: reading.cause,
        started: reading.started.mono,
        records: reading.records,
        bytes: reading.bytes,
        source: Source::Log,
    }
}

fn fetched(fetching: &Fetching) -> Progress {
    Progress {
        cause: fetching.cause,
        started: fetching.started,
        records: 0,
        bytes: 0,
        source: Source::Peer(fetching.transfer.clone()),
    }
}
