//! What a watch goes by at a moment.

use std::sync::Arc;

use super::ring::Ring;
use crate::gate::{Gate, Rejection};
use crate::limits::Limits;
use crate::offset::{Epoch, Partition};
use crate::phase::{Operation, Phase};
use crate::time::Now;

#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    pub ring: &'a Ring,
    /// As it was loaded while the ring was locked.
    pub gate: &'a Arc<Gate>,
    pub limits: &'a Limits,
    pub now: Now,
}

impl Sight<'_> {
    /// Whether points can be judged by it: not before ring and gate show the same copy. It fails while the copy does not
    /// admit reads.
    pub fn is_whole(&self) -> Result<bool, Rejection> {
        self.gate.admit_operation(Operation::Read)?;
        Ok(self.is_ready())
    }

    /// Whether the copy has seen something of a leader epoch.
    pub(super) fn has_epoch(&self, partition: Partition, epoch: Epoch) -> bool {
        self.gate.epochs.get(partition.index()).is_some_and(|chain| chain.has(epoch))
    }

    /// The copy admits reads, and the ring has all that its gate shows. The gate may be a moment ahead; and one that
    /// shows more than the ring has may be of what was read before.
    pub(super) fn is_ready(&self) -> bool {
        let Sight { ring, gate, .. } = self;
        let mut shown = gate.positions.iter().zip(ring.lanes());
        gate.phase == Phase::Ready
            && gate.fed
            && gate.topic == ring.topic()
            && gate.positions.len() == ring.lanes().len()
            && shown.all(|(position, lane)| *position <= lane.end())
    }
}
