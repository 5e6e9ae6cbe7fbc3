//! What the tests of watches have in common: a log that is applied batch by batch, and a watch that folds what it is sent.

mod behind;
mod cursor;
mod folds;
mod judge;
mod reader;
mod ring;
mod selection;
mod watcher;

use std::sync::Arc;
use std::time::Duration;

use super::point::Point;
use super::ring::{Applied, Origin, Ring, RingNews};
use super::sight::Sight;
use crate::batch::{Batch, BatchBuilder};
use crate::fixtures::{DAY_MS, G1, TOPIC, token_at};
use crate::gate::Gate;
use crate::limits::Limits;
use crate::lineage::Lineage;
use crate::offset::{Epoch, Offset, Partition};
use crate::phase::Phase;
use crate::time::Now;

const CONFIRMED_MS: u64 = 1_000_000;

/// Offset, epoch, key, value.
type Written = (u64, u32, &'static [u8], Option<&'static [u8]>);

/// A READY node's copy of a topic, as far as whoever watches sees it.
struct Copy {
    ring: Ring,
    gate: Arc<Gate>,
    lineages: Vec<Lineage>,
    now: Now,
}

impl Copy {
    fn of_partitions(count: usize) -> Copy {
        let lineages = vec![Lineage::empty(CONFIRMED_MS, DAY_MS); count];
        let now = Now { mono: Duration::from_secs(10), wall_ms: CONFIRMED_MS };
        let ring = Ring::new(1 << 20);
        let mut copy = Copy { ring, gate: Arc::new(Gate::closed()), lineages, now };
        copy.begin();
        copy
    }

    fn empty() -> Copy {
        Copy::of_partitions(1)
    }

    /// Reads the log on from where its lineages are.
    fn begin(&mut self) {
        let from = self.lineages.iter().map(Origin::of).collect();
        self.ring.take(RingNews::Begun { topic: TOPIC, from });
        self.show();
    }

    /// Opens the copy anew where its disk has it.
    fn reopen(&mut self, lineages: Vec<Lineage>) {
        self.lineages = lineages;
        self.begin();
    }

    /// Publishes what is applied.
    fn show(&mut self) {
        let epochs = self.lineages.iter().map(|lineage| lineage.epochs.clone());
        self.gate = Arc::new(Gate {
            phase: Phase::Ready,
            generation: Some(G1),
            fed: true,
            topic: Some(TOPIC),
            positions: self.lineages.iter().map(|lineage| lineage.position).collect(),
            epochs: epochs.collect(),
            exact: true,
            confirmed_at_ms: CONFIRMED_MS,
            delete_retention_ms_min: DAY_MS,
            ..Gate::closed()
        });
    }

    fn apply(&mut self, batch: Batch) {
        self.apply_with(batch, true);
    }

    /// Where the cleaner has not been yet, gaps are markers.
    fn apply_with(&mut self, batch: Batch, gap_counts: bool) {
        let lineage = &mut self.lineages[batch.partition.index()];
        *lineage = lineage.after(&batch, gap_counts);
        let applied = Applied::of(Arc::new(batch), lineage, true);
        self.ring.take(RingNews::Applied(applied));
        self.show();
    }

    /// Applies records of partition 0; offsets between them are missing, and the cleaner had not passed the end.
    fn write(&mut self, written: &[Written]) {
        let from = self.lineages[0].position;
        let last = written.last().map_or(from, |(offset, ..)| Offset(offset + 1));
        self.apply(batch(Partition(0), from, written).finish(last));
    }

    fn sight<'a>(&'a self, limits: &'a Limits) -> Sight<'a> {
        Sight { ring: &self.ring, gate: &self.gate, limits, now: self.now }
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.now.wall_ms += u64::try_from(time.as_millis()).unwrap();
    }
}

fn batch(partition: Partition, from: Offset, written: &[Written]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(partition, partition.0 + 1, from);
    for (offset, epoch, key, value) in written {
        builder.push(Offset(*offset), Some(Epoch(*epoch)), Some(key), *value);
    }
    builder
}

fn point(positions: &[(u64, Option<u32>)]) -> Point {
    Point { token: token_at(positions), confirmed_at_ms: CONFIRMED_MS }
}
