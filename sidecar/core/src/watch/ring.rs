//! The batches that a store's copy applied last, as they went to the store: shared, never copied, and bounded in bytes.
//!
//! It is about the log, not about a generation. A new reading of the log continues the batches of the one before if it
//! begins where the ring can show the same history. So a rebuild cuts no watch; a copy that was condemned does, because
//! other records of the log take the place of the old ones.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::lineage::Lineage;
use crate::offset::{Epoch, Offset};
use crate::topic::TopicId;

mod lane;
mod retention;

pub(super) use lane::{Below, Lane};
use retention::Retentions;

/// What a batch costs beside its bytes.
const PER_BATCH: usize = 256;

/// What a node tells of what it reads and applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RingNews {
    /// A copy is read on, or anew, from these places, by partition. Everything that follows is about it.
    Begun { topic: TopicId, from: Vec<Origin> },
    /// The store has applied it: whoever reads now sees it.
    Applied(Applied),
    /// What the topic's delete.retention.ms is, as heard at this monotonic time.
    Retention { delete_retention_ms: u64, at: Duration },
}

/// Where a copy is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    position: Offset,
    /// The leader epoch of the newest record below.
    epoch: Option<Epoch>,
    /// The newest epoch that was heard of.
    latest: Option<Epoch>,
    exact_from: Offset,
}

impl Origin {
    pub(crate) fn of(lineage: &Lineage) -> Origin {
        Origin {
            position: lineage.position,
            epoch: lineage.epochs.latest(),
            latest: lineage.epochs.latest(),
            exact_from: lineage.exact_from,
        }
    }

    pub fn position(&self) -> Offset {
        self.position
    }
}

/// A batch with what is known of the copy after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub(super) batch: Arc<Batch>,
    /// The leader epoch of the newest record below its end.
    pub(super) epoch: Option<Epoch>,
    latest: Option<Epoch>,
    pub(super) exact_from: Offset,
    /// None: nothing that was read so far is known to have been all.
    pub(super) confirmed_at_ms: Option<u64>,
}

impl Applied {
    /// `after`: the copy that has it. `confirmed`: whether that copy's confirmation says more than when a rebuild began.
    pub(crate) fn of(batch: Arc<Batch>, after: &Lineage, confirmed: bool) -> Applied {
        Applied {
            batch,
            epoch: after.epochs.latest(),
            latest: after.epochs.latest(),
            exact_from: after.exact_from,
            confirmed_at_ms: confirmed.then_some(after.confirmed_at_ms),
        }
    }

    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    #[cfg(test)]
    pub(crate) fn confirmed_at_ms(&self) -> Option<u64> {
        self.confirmed_at_ms
    }

    pub(super) fn end(&self) -> Offset {
        self.batch.range.end
    }

    fn bytes(&self) -> usize {
        self.batch.unflushed_bytes() + PER_BATCH
    }
}

#[derive(Debug)]
pub struct Ring {
    topic: Option<TopicId>,
    /// How many readings of the log there were.
    readings: u64,
    lanes: Vec<Lane>,
    retentions: Retentions,
    /// Batches taken so far.
    taken: u64,
    bytes: usize,
    bytes_max: usize,
}

impl Ring {
    pub fn new(bytes_max: usize) -> Ring {
        Ring {
            topic: None,
            readings: 0,
            lanes: Vec::new(),
            retentions: Retentions::default(),
            taken: 0,
            bytes: 0,
            bytes_max,
        }
    }

    /// What it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn take(&mut self, news: RingNews) {
        match news {
            RingNews::Begun { topic, from } => self.begin(topic, from),
            RingNews::Applied(applied) => {
                self.bytes += applied.bytes();
                self.taken += 1;
                let lane = &mut self.lanes[applied.batch.partition.index()];
                lane.push(self.taken, applied);
                self.shed();
            }
            RingNews::Retention { delete_retention_ms, at } => {
                self.retentions.hear(delete_retention_ms, at);
            }
        }
    }

    fn begin(&mut self, topic: TopicId, from: Vec<Origin>) {
        self.readings += 1;
        if self.topic != Some(topic) || self.lanes.len() != from.len() {
            self.topic = Some(topic);
            self.lanes = from.into_iter().map(Lane::new).collect();
        } else {
            for (lane, from) in self.lanes.iter_mut().zip(from) {
                lane.begin(from);
            }
        }
        self.bytes = self.lanes.iter().map(Lane::bytes).sum();
    }

    fn shed(&mut self) {
        while self.bytes > self.bytes_max {
            let lanes = self.lanes.iter_mut().filter(|lane| lane.oldest().is_some());
            let Some(lane) = lanes.min_by_key(|lane| lane.oldest()) else { return };
            self.bytes -= lane.shed();
        }
    }

    /// Whether the batch was shed by now, and comes from the log to whoever is sent it.
    pub fn is_behind(&self, batch: &Batch) -> bool {
        let lane = self.lanes.get(batch.partition.index());
        lane.is_some_and(|lane| batch.range.start < lane.from())
    }

    /// The smallest delete.retention.ms that may have been in force since this monotonic time, as far as was heard; the
    /// largest number where nothing was.
    pub(super) fn retention_ms_since(&self, since: Duration) -> u64 {
        self.retentions.since(since)
    }

    pub(super) fn topic(&self) -> Option<TopicId> {
        self.topic
    }

    pub(super) fn readings(&self) -> u64 {
        self.readings
    }

    pub(super) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }
}
