//! Positions that a leader refused without a proof that the log lost them.
//!
//! Who reads and who asks learn of leaders by themselves, so a refusal may come from a leader that was deposed. What
//! the log's own ends say decides; until something can be read, the wait has a name.

use std::collections::BTreeMap;

use crate::log::Loss;
use crate::offset::{Offset, Partition};
use crate::stall::StallKind;

use super::Shared;

/// How many refusals came one after another, by partition.
#[derive(Debug, Default)]
pub(in crate::node) struct Refused(BTreeMap<Partition, u32>);

impl Refused {
    pub(in crate::node) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// How often the position of this partition was refused since something was read of it.
    pub(in crate::node) fn times(&self, partition: Partition) -> u32 {
        self.0.get(&partition).copied().unwrap_or(0)
    }

    /// What is read next was refused by nobody.
    pub(in crate::node) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Shared {
    pub(in crate::node) fn note_refused(
        &mut self,
        partition: Partition,
        position: Offset,
        loss: Loss,
    ) {
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
    pub(in crate::node) fn forget_refused(&mut self, partition: Partition) {
        if self.positions_refused.0.remove(&partition).is_some() {
            self.end_stale_leader();
        }
    }
}
