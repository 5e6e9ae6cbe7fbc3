//! An open generation: what the process sees, and which of it the disk has not got yet.

use std::sync::Arc;

use outrigger_core::batch::Batch;
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::Partition;
use outrigger_core::store::StoreError;

use super::disk::{Contents, Stored};
use super::view::ModelView;

#[derive(Debug)]
pub(super) struct OpenGeneration {
    live: Vec<Contents>,
    /// Per partition, in order, what is not flushed.
    unflushed: Vec<Vec<Step>>,
    pub(super) failed: Option<StoreError>,
}

/// An `Apply`, or a `Confirm`, which has no batch.
#[derive(Debug)]
struct Step {
    lineage: Lineage,
    batch: Option<Arc<Batch>>,
}

impl OpenGeneration {
    pub(super) fn new(live: Vec<Contents>) -> OpenGeneration {
        let unflushed = live.iter().map(|_| Vec::new()).collect();
        OpenGeneration { live, unflushed, failed: None }
    }

    pub(super) fn lineages(&self) -> Vec<Lineage> {
        self.live.iter().map(|contents| contents.lineage.clone()).collect()
    }

    pub(super) fn view(&self, rotten: bool) -> ModelView {
        ModelView::new(self.live.clone(), rotten)
    }

    pub(super) fn step(
        &mut self,
        partition: Partition,
        lineage: Lineage,
        batch: Option<Arc<Batch>>,
    ) {
        let step = Step { lineage, batch };
        self.live[partition.index()].take(&step);
        self.unflushed[partition.index()].push(step);
    }

    /// Makes the first `partitions` of the partitions durable.
    pub(super) fn flush(&mut self, stored: &mut Stored, partitions: usize) {
        for (contents, steps) in
            stored.partitions.iter_mut().zip(&mut self.unflushed).take(partitions)
        {
            steps.drain(..).for_each(|step| contents.take(&step));
        }
    }

    /// The end of the process: of each partition's unflushed steps the first `keep` reach the disk.
    pub(super) fn keep_some(
        self,
        stored: &mut Stored,
        mut keep: impl FnMut(Partition, usize) -> usize,
    ) {
        let partitions = (0_u32..).map(Partition);
        for ((partition, steps), contents) in
            partitions.zip(self.unflushed).zip(&mut stored.partitions)
        {
            let kept = keep(partition, steps.len());
            steps.iter().take(kept).for_each(|step| contents.take(step));
        }
    }
}

impl Contents {
    fn take(&mut self, step: &Step) {
        self.lineage = step.lineage.clone();
        let Some(batch) = &step.batch else { return };
        let rows = Arc::make_mut(&mut self.rows);
        for record in batch.records() {
            match record.value {
                Some(value) => rows.insert(record.key.to_vec(), (record.offset, value.to_vec())),
                None => rows.remove(record.key),
            };
        }
    }
}
