//! An open generation: what the process sees, and which of it the disk has not got yet.

use std::sync::Arc;

use outrigger_core::batch::Batch;
use outrigger_core::lineage::Lineage;
use outrigger_core::offset::Partition;
use outrigger_core::store::{StoreError, StoreErrorKind};

use super::contents::{Contents, Step};
use super::disk::Stored;
use super::fault::Reach;

#[derive(Clone, Debug)]
pub(super) struct OpenGeneration {
    pub(super) live: Vec<Contents>,
    /// Per partition, in order, what is not flushed.
    unflushed: Vec<Vec<Step>>,
    /// Whatever was not flushed when a call failed is suspect, however well the next call would go.
    pub(super) failed: Option<StoreError>,
}

impl OpenGeneration {
    pub(super) fn new(live: Vec<Contents>) -> OpenGeneration {
        let unflushed = live.iter().map(|_| Vec::new()).collect();
        OpenGeneration { live, unflushed, failed: None }
    }

    /// Makes whatever is written fail, until the generation is opened anew.
    pub(super) fn only_read(&mut self) {
        let detail = "open to be read alone".to_owned();
        self.failed = Some(StoreError { kind: StoreErrorKind::Io, detail });
    }

    pub(super) fn lineages(&self) -> Vec<Lineage> {
        self.live.iter().map(|contents| contents.lineage().clone()).collect()
    }

    pub(super) fn unflushed(&self, partition: Partition) -> usize {
        self.unflushed[partition.index()].len()
    }

    pub(super) fn has_unflushed_rows(&self) -> bool {
        self.unflushed.iter().flatten().any(|step| step.batch.is_some())
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

    /// Makes partition after partition durable. A generation that is not in use takes each by one sorted run, and from
    /// then on has what that run made of it.
    pub(super) fn flush(
        &mut self,
        stored: &mut Stored,
        in_use: bool,
        mut reach: Reach,
    ) -> Result<(), StoreError> {
        let partitions = stored.partitions.iter_mut().zip(&mut self.unflushed).zip(&mut self.live);
        for ((durable, steps), live) in partitions {
            reach.step()?;
            durable.assert_behind(live, steps.len());
            if in_use {
                for step in steps.drain(..) {
                    durable.take(&step);
                }
                durable.assert_behind(live, 0);
            } else {
                durable.take_run(&std::mem::take(steps));
                *live = durable.clone();
            }
        }
        reach.end()
    }

    /// The end of the process: of each partition's unflushed steps the first `keep` reach the disk.
    pub(super) fn keep_some(
        self,
        stored: &mut Stored,
        mut keep: impl FnMut(Partition, usize) -> usize,
    ) {
        let durable = stored.partitions.iter_mut().zip((0_u32..).map(Partition));
        for (((durable, partition), steps), live) in durable.zip(self.unflushed).zip(&self.live) {
            let kept = keep(partition, steps.len()).min(steps.len());
            for step in steps[..kept].iter() {
                durable.take(step);
            }
            durable.assert_behind(live, steps.len() - kept);
        }
    }
}
