//! One partition of one generation: its rows and the lineage that speaks of them, which move as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_core::batch::Batch;
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::Offset;

/// By key the record that wrote it: its offset and value.
pub type Rows = BTreeMap<Vec<u8>, (Offset, Vec<u8>)>;

#[derive(Clone, Debug)]
pub struct Contents {
    lineage: Lineage,
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
        let Some(batch) = &step.batch else { return };
        if batch.records().len() == 0 {
            return;
        }
        let rows = Arc::make_mut(&mut self.rows);
        for record in batch.records() {
            match record.value {
                Some(value) => rows.insert(record.key.to_vec(), (record.offset, value.to_vec())),
                None => rows.remove(record.key),
            };
        }
    }

    /// What is on disk is what the process saw, less what was not flushed: of rows and lineage alike.
    pub(super) fn assert_behind(&self, live: &Contents, unflushed: usize) {
        let behind = u64::try_from(unflushed).expect("lengths fit 64 bits");
        assert_eq!(self.taken + behind, live.taken, "a step was lost, or taken twice");
        if behind == 0 {
            assert_eq!(self.lineage, live.lineage, "flushed rows have their own lineage");
            assert_eq!(self.rows.len(), live.rows.len(), "a flushed lineage has its own rows");
        }
    }
}
