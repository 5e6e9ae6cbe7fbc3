//! Positions that a leader refused without a proof that the log lost them.
//!
//! Who reads and who asks learn of leaders by themselves, so a refusal may come from a leader that was deposed. What
//! the log's own ends say decides; until something can be read, the wait has a name.

use std::collections::BTreeMap;

use crate::log::{LogCall, Loss};
use crate::offset::{Offset, Partition};
use crate::stall::StallKind;

use super::reader::{Fetch, Reader};
use super::{Effect, Node, Stage};

/// By partition, how many in a row.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Partition, u32>);

impl Refusals {
    pub(super) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// What is read next was refused by nobody.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Node {
    pub(super) fn note_refusal(&mut self, partition: Partition, position: Offset, loss: Loss) {
        let refusals = self.refusals.0.entry(partition).or_default();
        *refusals = refusals.saturating_add(1);
        let why = match loss {
            Loss::UnknownEpoch => "has not heard of its leader epoch",
            // The first time, the log's ends may explain it.
            Loss::OutOfRange if *refusals == 1 => return,
            Loss::OutOfRange | Loss::Diverged => "does not have it, although the log's ends say so",
        };
        let detail = format!(
            "partition {partition}: who leads for the reader refuses position {position}, and {why}"
        );
        self.begin_stall(StallKind::StaleLeader, detail);
    }

    /// A leader that has not heard of the copy's epoch is asked no more; who leads for the reader may be another by then.
    pub(super) fn assign_later(&mut self, partition: Partition, position: Offset) {
        let before = self.refusals.0.get(&partition).copied().unwrap_or(0);
        self.note_refusal(partition, position, Loss::UnknownEpoch);
        let until = self.now.mono + self.limits.retry_after(before);
        if let Some(reading) = self.reading() {
            reading.reader(partition).fetch = Fetch::Refused { until };
        }
    }

    /// Where each partition is to be read from, of those that `which` picks.
    pub(super) fn assign(&mut self, which: impl Fn(&Reader) -> bool) {
        let Stage::Reading(reading) = &mut self.stage else {
            return;
        };
        for reader in reading.readers.iter_mut().filter(|reader| which(reader)) {
            let (partition, at, epoch) = reader.assign();
            *self.assigning.entry(partition).or_default() += 1;
            self.effects.push_back(Effect::Log(LogCall::Assign { partition, at, epoch }));
        }
    }

    pub(super) fn assign_one(&mut self, partition: Partition) {
        self.assign(|reader| reader.partition == partition);
    }

    pub(super) fn assign_again(&mut self) {
        let now = self.now.mono;
        self.assign(|reader| reader.fetch.assign_at().is_some_and(|until| until <= now));
    }

    /// Something was read of the partition: its position is accepted.
    pub(super) fn forget_refusal(&mut self, partition: Partition) {
        if self.refusals.0.remove(&partition).is_some() {
            self.end_stale_leader();
        }
    }

    /// The leaders that answer are those that count; unless the reader reaches others.
    pub(super) fn end_stale_leader(&mut self) {
        if !self.refusals.any() {
            self.end_stalls(|kind| kind == StallKind::StaleLeader);
        }
    }
}
