//! What the authoritative log did, in order, as far as it was told: the log of whoever leads.
//!
//! A leader change is told as what the new leader's log lacks, then what it has instead.

use std::sync::Arc;

use outrigger_core::offset::{Offset, Partition};
use outrigger_core::topic::TopicId;

use super::LogModel;
use super::broker::{BrokerId, Brokers};
use super::epochs::EpochCache;
use super::partition::PartitionLog;
use super::segments::RecordBatch;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogChange {
    Appended {
        partition: Partition,
        batch: Arc<RecordBatch>,
    },
    /// Everything at and above `from` is gone. What is there instead is told as appended.
    Truncated(Truncation),
    /// Another topic, empty, with the same name.
    Recreated {
        topic: TopicId,
        partitions: u32,
    },
    StartMoved {
        partition: Partition,
        to: Offset,
    },
    /// Some replica's cleaner removed records: what the log says is the same.
    Cleaned(Partition),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    pub partition: Partition,
    pub from: Offset,
    pub until: Offset,
    /// Something below a high watermark is gone: readers may have seen it. Only an unclean election, a
    /// power loss, or `LogModel::truncate` does that.
    pub committed: bool,
    /// Something is gone of which a node was told that it is appended.
    pub acknowledged: bool,
}

/// One partition's log as it was told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    leader: BrokerId,
    epochs: EpochCache,
    start: Offset,
    end: Offset,
}

impl Told {
    pub(super) fn new(leader: BrokerId) -> Told {
        let epochs = EpochCache::starting(outrigger_core::offset::Epoch(0), Offset::ZERO);
        Told { leader, epochs, start: Offset::ZERO, end: Offset::ZERO }
    }

    pub(super) fn end(&self) -> Offset {
        self.end
    }

    /// What the log as told has and the leader's log has not.
    pub(super) fn truncation(&self, log: &PartitionLog) -> Option<Truncation> {
        let replica = log.log();
        let same_term = self.leader == log.last_leader
            && self.epochs.latest() == replica.epochs.latest()
            && self.end <= replica.log_end;
        if same_term {
            return None;
        }
        let from = self.epochs.common_end(self.end, &replica.epochs, replica.log_end);
        (from < self.end).then_some(Truncation {
            partition: log.partition,
            from,
            until: self.end,
            committed: from < log.exposed,
            acknowledged: from < log.acknowledged,
        })
    }
}

impl PartitionLog {
    /// Whether there is something to tell. There is not while the leader is dead or cut off: what that will have cost
    /// is not known then.
    pub(super) fn has_news(&self, brokers: &Brokers) -> bool {
        let replica = self.log();
        self.reachable_leader(brokers).is_some()
            && (self.told.end != replica.log_end
                || self.told.start != replica.log_start
                || self.told.leader != self.last_leader
                || self.told.epochs.latest() != replica.epochs.latest())
    }

    /// Tells what changed since the last time.
    pub(super) fn tell(&mut self, mut tell: impl FnMut(LogChange)) {
        if let Some(truncation) = self.told.truncation(self) {
            (self.told.end, self.told.start) =
                (truncation.from, self.told.start.min(truncation.from));
            self.exposed = self.exposed.min(truncation.from);
            self.acknowledged = self.acknowledged.min(truncation.from);
            tell(LogChange::Truncated(truncation));
        }
        let partition = self.partition;
        let replica = &self.replicas[&self.last_leader];
        if self.told.epochs.latest() != replica.epochs.latest() {
            self.told.epochs = replica.epochs.clone();
        }
        for batch in replica.segments.batches_from(self.told.end) {
            tell(LogChange::Appended { partition, batch: Arc::clone(batch) });
        }
        if self.told.start != replica.log_start {
            tell(LogChange::StartMoved { partition, to: replica.log_start });
        }
        (self.told.start, self.told.end) = (replica.log_start, replica.log_end);
        self.told.leader = self.last_leader;
    }
}

/// What journals and oracles use.
impl LogModel {
    /// From now on `take_history` tells what the log did.
    pub fn keep_history(&mut self) {
        self.cluster.history.get_or_insert_default();
    }

    pub fn take_history(&mut self) -> Vec<LogChange> {
        self.cluster.history.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
