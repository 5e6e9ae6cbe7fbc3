//! One partition of one generation: its rows and the lineage that speaks of them, which move as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_core::batch::{Batch, Record};
use outrigger_core::lineage::Lineage;
use outrigger_core::load::newest_per_key;
use outrigger_core::offset::Offset;

/// The record that wrote each key: its offset and value.
pub type Rows = BTreeMap<Vec<u8>, (Offset, Vec<u8>)>;

#[derive(Clone, Debug)]
pub struct Contents {
    pub(super) lineage: Lineage,
    /// Copied on write while a view, an image, or the other side of the last flush shares them.
    rows: Arc<Rows>,
    /// Steps since the generation was made.
    taken: u64,
}

/// An `Apply`, or a `Confirm`, which has no batch.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) lineage: Lineage,
    pub(super) batch: Option<Arc<Batch>>,
}

impl Contents {
    pub(super) fn empty(lineage: Lineage) -> Contents {
        Contents { lineage, rows: Arc::default(), taken: 0 }
    }

    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    pub(super) fn take(&mut self, step: &Step) {
        self.taken += 1;
        self.lineage = step.lineage.clone();
        if let Some(batch) = &step.batch {
            self.write(batch.records());
        }
    }

    /// Takes the steps of a load as one sorted run.
    pub(super) fn take_run(&mut self, steps: &[Step]) {
        let Some(last) = steps.last() else { return };
        self.taken += u64::try_from(steps.len()).expect("lengths fit 64 bits");
        self.lineage = last.lineage.clone();
        let batches: Vec<Arc<Batch>> = steps.iter().filter_map(|step| step.batch.clone()).collect();
        self.write(newest_per_key(&batches));
    }

    /// Gives every row a value that nobody wrote.
    pub(super) fn replace_values(&mut self) {
        let rows = Arc::make_mut(&mut self.rows);
        for (_, value) in rows.values_mut() {
            *value = b"somebody else's".to_vec();
        }
    }

    fn write<'a>(&mut self, records: impl Iterator<Item = Record<'a>>) {
        let mut records = records.peekable();
        if records.peek().is_none() {
            return;
        }
        let rows = Arc::make_mut(&mut self.rows);
        for record in records {
            match record.value {
                Some(value) => rows.insert(record.key.to_vec(), (record.offset, value.to_vec())),
                None => rows.remove(record.key),
            };
        }
    }

    /// Asserts that the disk has what was flushed of what the process saw, rows and lineage alike.
    pub(super) fn assert_behind(&self, live: &Contents, unflushed: usize) {
        let behind = u64::try_from(unflushed).expect("lengths fit 64 bits");
        assert_eq!(self.taken + behind, live.taken, "a step was lost, or taken twice");
        if behind == 0 {
            assert_eq!(self.lineage, live.lineage, "flushed rows have their own lineage");
            assert_eq!(self.rows.len(), live.rows.len(), "a flushed lineage has its own rows");
        }
    }
}
