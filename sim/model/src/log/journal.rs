//! What a journal keeps of the log and puts back, and what oracles and traces look at.

use std::sync::Arc;

use outrigger_core::offset::{Epoch, Offset, Partition};

use super::broker::BrokerId;
use super::replica::Replica;
use super::segments::RecordBatch;
use super::{Content, LogModel};

/// All of a partition but its batches: what a journal needs to bring it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    pub log_start: Offset,
    pub log_end: Offset,
    pub cleaned_to: Offset,
    /// Leader epochs with their start offsets, ascending.
    pub epochs: Vec<(Epoch, Offset)>,
}

/// One replica, seen from above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaState {
    pub broker: BrokerId,
    pub up: bool,
    pub leads: bool,
    pub in_sync: bool,
    /// The epoch of its last batch or term.
    pub epoch: Option<Epoch>,
    pub log_start: Offset,
    pub last_stable: Offset,
    pub high_watermark: Offset,
    pub log_end: Offset,
    pub cleaned_to: Offset,
    /// It was behind for longer than tombstones and markers are kept, and missed some: should it lead, a
    /// deleted key may come back, or a transaction never end (docs/faults.md, K14).
    pub missed: bool,
}

/// The authoritative log is the leader's or, while nobody leads, the last leader's.
impl LogModel {
    pub fn batches(&self, partition: Partition) -> impl Iterator<Item = &RecordBatch> {
        self.log(partition).segments.batches()
    }

    /// The offsets of the records that compaction has left.
    pub fn offsets(&self, partition: Partition) -> impl Iterator<Item = Offset> {
        self.batches(partition).flat_map(|batch| {
            let entries: &[_] = match &batch.content {
                Content::Records(entries) => entries,
                Content::Marker(_) => &[],
            };
            entries.iter().map(|entry| entry.offset)
        })
    }

    pub fn last_stable(&self, partition: Partition) -> Offset {
        self.log(partition).last_stable()
    }

    pub fn high_watermark(&self, partition: Partition) -> Offset {
        self.log(partition).high_watermark
    }

    pub fn state(&self, partition: Partition) -> PartitionState {
        let Replica { log_start, log_end, cleaned_to, epochs, .. } = self.log(partition);
        PartitionState {
            log_start: *log_start,
            log_end: *log_end,
            cleaned_to: *cleaned_to,
            epochs: epochs.starts().to_vec(),
        }
    }

    pub fn replicas(&self, partition: Partition) -> Vec<ReplicaState> {
        let log = &self.cluster.topic.partitions[partition.index()];
        let state = |(broker, replica): (&BrokerId, &Replica)| ReplicaState {
            broker: *broker,
            up: self.cluster.brokers.up(*broker),
            leads: log.leader == Some(*broker),
            in_sync: log.in_sync.contains(broker),
            epoch: replica.epochs.latest(),
            log_start: replica.log_start,
            last_stable: replica.last_stable(),
            high_watermark: replica.high_watermark,
            log_end: replica.log_end,
            cleaned_to: replica.cleaned_to,
            missed: replica.missed,
        };
        log.replicas.iter().map(state).collect()
    }

    /// Puts a batch back as it was: the log ends after it.
    pub fn put(&mut self, partition: Partition, batch: RecordBatch) {
        self.cluster.topic.log(partition).log_mut().enter(Arc::new(batch));
    }

    /// Ends the restoring of a partition: `put` its batches first.
    pub fn restore(&mut self, partition: Partition, state: &PartitionState) {
        self.cluster.topic.log(partition).log_mut().restore(state);
        self.changed();
    }

    fn log(&self, partition: Partition) -> &Replica {
        self.cluster.topic.partitions[partition.index()].log()
    }
}

impl RecordBatch {
    /// Ends a transaction instead of holding records.
    pub fn is_marker(&self) -> bool {
        matches!(self.content, Content::Marker(_))
    }
}
