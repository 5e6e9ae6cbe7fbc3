//! Other tools at the same topic: what they write past every node, and their transactions.

use std::time::Duration;

use bytes::Bytes;
use outrigger_core::offset::Partition;
use outrigger_core::partitioner::partition_of;
use outrigger_model::log::{Foreign, ProducerId, Verdict};

use super::clients::{key, value};
use super::{Due, Run};
use crate::plan::{Act, ForeignKey, Operation};

impl Run<'_> {
    pub(super) fn foreign(&mut self, operation: &Operation, records: &[ForeignKey]) {
        let partitions = self.plan.setting.partitions;
        let mut texts = Vec::new();
        for (place, record) in records.iter().enumerate() {
            let value = Some(value(operation.id, place));
            let of = |number: &u32| partition_of(&key(*number), partitions);
            let (partition, record) = match record {
                ForeignKey::Put(number) => (of(number), Foreign { key: Some(key(*number)), value }),
                ForeignKey::Empty(number) => {
                    (of(number), Foreign { key: Some(key(*number)), value: Some(Bytes::new()) })
                }
                ForeignKey::Delete(number) => {
                    (of(number), Foreign { key: Some(key(*number)), value: None })
                }
                ForeignKey::Misplaced(number) => {
                    let next = Partition((of(number).0 + 1) % partitions);
                    (next, Foreign { key: Some(key(*number)), value })
                }
                ForeignKey::Keyless => {
                    (Partition(operation.id % partitions), Foreign { key: None, value })
                }
            };
            texts.push(format!("p{partition} {record:?}"));
            self.world.log.append(self.world.now, partition, &[record]);
        }
        self.note_operation(operation, || format!("another tool appends {}", texts.join(", ")));
        self.world.settle();
    }

    pub(super) fn transaction(
        &mut self,
        index: usize,
        operation: &Operation,
        keys: &[u32],
        lasts_ms: u64,
    ) {
        let producer = producer(operation);
        for (place, number) in keys.iter().enumerate() {
            let key = key(*number);
            let partition = partition_of(&key, self.plan.setting.partitions);
            let record = Foreign { key: Some(key), value: Some(value(operation.id, place)) };
            self.world.log.append_in_transaction(self.world.now, partition, producer, &[record]);
        }
        self.note_operation(operation, || format!("a transaction of {keys:?} begins"));
        self.later(Duration::from_millis(lasts_ms), Due::EndTransaction(index));
        self.world.settle();
    }

    /// Ends the transaction with `verdict`, or else as planned.
    pub(super) fn end_transaction(&mut self, index: usize, verdict: Option<Verdict>) {
        let operation = &self.plan.operations[index];
        let Act::Transaction { commit, .. } = operation.act else {
            return;
        };
        let planned = if commit { Verdict::Commit } else { Verdict::Abort };
        let verdict = verdict.unwrap_or(planned);
        self.note_operation(operation, || format!("its transaction ends: {verdict:?}"));
        self.world.log.end_transaction(self.world.now, producer(operation), verdict);
        self.world.settle();
    }
}

fn producer(operation: &Operation) -> ProducerId {
    ProducerId(u64::from(operation.id))
}
