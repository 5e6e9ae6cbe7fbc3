//! Positions that a leader refused without a proof that the log lost them.
//!
//! Who reads and who asks learn of leaders by themselves, so a refusal may come from a leader that was deposed. What
//! the log's own ends say decides; until something can be read, the wait has a name.

use std::collections::BTreeMap;

use crate::log::{LogCall, Loss};
use crate::offset::{Offset, Partition};
use crate::stall::StallKind;

use super::super::shared::Shared;
use super::{Fetch, Reader, Reading};

/// How many refusals came in a row, by partition.
#[derive(Debug, Default)]
pub(in crate::node) struct Refused(BTreeMap<Partition, u32>);

impl Refused {
    pub(in crate::node) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// What is read next was refused by nobody.
    pub(in crate::node) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Shared {
    pub(super) fn note_refused(&mut self, partition: Partition, position: Offset, loss: Loss) {
        let refused = self.positions_refused.0.entry(partition).or_default();
        *refused = refused.saturating_add(1);
        let why = match loss {
            Loss::UnknownEpoch => "has not heard of its leader epoch",
            // The log's ends may explain the first.
            Loss::OutOfRange if *refused == 1 => return,
            Loss::OutOfRange | Loss::Diverged => "does not have it, although the log's ends say so",
        };
        let detail = format!(
            "partition {partition}: who leads for the reader refuses position {position}, and {why}"
        );
        self.begin_stall(StallKind::StaleLeader, detail);
    }

    /// Something was read of the partition: its position is accepted.
    pub(super) fn forget_refused(&mut self, partition: Partition) {
        if self.positions_refused.0.remove(&partition).is_some() {
            self.end_stale_leader();
        }
    }
}

impl Reading {
    /// A leader that has not heard of the copy's epoch is asked no more; who leads for the reader may be another by then.
    pub(super) fn assign_later(
        &mut self,
        shared: &mut Shared,
        partition: Partition,
        position: Offset,
    ) {
        let before = shared.positions_refused.0.get(&partition).copied().unwrap_or(0);
        shared.note_refused(partition, position, Loss::UnknownEpoch);
        let until = shared.now.mono + shared.limits.retry_after(before);
        self.reader(partition).fetch = Fetch::Refused { until };
    }

    /// Where each partition is to be read from.
    pub(in crate::node) fn assign_all(&mut self, shared: &mut Shared) {
        self.assign(shared, |_| true);
    }

    fn assign(&mut self, shared: &mut Shared, which: impl Fn(&Reader) -> bool) {
        for reader in self.readers.iter_mut().filter(|reader| which(reader)) {
            let (partition, at, epoch) = reader.assign();
            shared.assign(partition);
            shared.log(LogCall::Assign { partition, at, epoch });
        }
    }

    pub(super) fn assign_one(&mut self, shared: &mut Shared, partition: Partition) {
        self.assign(shared, |reader| reader.partition == partition);
    }

    pub(super) fn assign_again(&mut self, shared: &mut Shared) {
        let now = shared.now.mono;
        self.assign(shared, |reader| reader.fetch.assign_at().is_some_and(|until| until <= now));
    }
}
