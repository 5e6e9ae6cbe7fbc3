//! The state that a log says: the fold of every committed record ever appended, compacted or not.

use std::collections::{BTreeMap, BTreeSet};

use outrigger_core::offset::{Offset, Partition, Revision};
use outrigger_core::partitioner::partition_of;
use outrigger_core::store::{Scan, StoreError, View};
use outrigger_model::log::{Content, LogModel, ProducerId, RecordBatch, Verdict};

/// Rows with the revision that wrote them.
pub type Rows = BTreeMap<Vec<u8>, (Revision, Vec<u8>)>;

/// Remembers what the log model forgets by cleaning.
#[derive(Debug, Default)]
pub struct Reference {
    batches: BTreeMap<Partition, BTreeMap<Offset, RecordBatch>>,
    partitions: u32,
}

impl Reference {
    pub fn new(partitions: u32) -> Reference {
        Reference { batches: BTreeMap::new(), partitions }
    }

    /// Takes over what was appended since the last time.
    pub fn learn(&mut self, log: &mut LogModel) {
        for (partition, batch) in log.take_appended() {
            let batches = self.batches.entry(partition).or_default();
            // The log was truncated and written again from here.
            batches.split_off(&batch.base);
            batches.insert(batch.base, batch);
        }
    }

    /// The log lost everything at and above `end`.
    pub fn truncate(&mut self, partition: Partition, end: Offset) {
        self.batches.entry(partition).or_default().split_off(&end);
    }

    /// What an exact copy holds at these positions (exclusive, indexed by partition).
    pub fn rows_at(&self, positions: &[Offset]) -> Rows {
        let mut rows = Rows::new();
        for (partition, position) in Partition::all(self.partitions).zip(positions) {
            self.fold(partition, *position, &mut rows);
        }
        rows
    }

    fn fold(&self, partition: Partition, position: Offset, rows: &mut Rows) {
        let Some(batches) = self.batches.get(&partition) else {
            return;
        };
        let aborted = aborted(batches.values());
        for batch in batches.values().filter(|batch| !aborted.contains(&batch.base)) {
            let Content::Records(entries) = &batch.content else {
                continue;
            };
            for entry in entries.iter().filter(|entry| entry.offset < position) {
                let Some(key) = &entry.key else { continue };
                if partition_of(key, self.partitions) != partition {
                    continue;
                }
                let revision = Revision { partition, offset: entry.offset };
                match &entry.value {
                    Some(value) => rows.insert(key.to_vec(), (revision, value.to_vec())),
                    None => rows.remove(&key[..]),
                };
            }
        }
    }
}

/// Bases of the batches of aborted or undecided transactions.
fn aborted<'a>(batches: impl Iterator<Item = &'a RecordBatch>) -> BTreeSet<Offset> {
    let mut open: BTreeMap<ProducerId, Vec<Offset>> = BTreeMap::new();
    let mut aborted = BTreeSet::new();
    for batch in batches {
        let Some(producer) = batch.producer else {
            continue;
        };
        match &batch.content {
            Content::Records(_) => open.entry(producer).or_default().push(batch.base),
            Content::Marker(Verdict::Commit) => drop(open.remove(&producer)),
            Content::Marker(Verdict::Abort) => {
                aborted.extend(open.remove(&producer).unwrap_or_default())
            }
        }
    }
    aborted.extend(open.into_values().flatten());
    aborted
}

/// Everything that a snapshot holds.
pub fn rows_of(view: &dyn View) -> Result<Rows, StoreError> {
    let mut rows = Rows::new();
    view.scan(b"", None, false, &mut |key, revision, value| {
        rows.insert(key.to_vec(), (revision, value.to_vec()));
        Scan::Continue
    })?;
    Ok(rows)
}
