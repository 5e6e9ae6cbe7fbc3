//! O1: a copy is given up for a lost history only when the log lost something.
//!
//! Left out is what KIP-320 cannot tell: a copy that ends in a hole which compaction left at the border of two
//! leader epochs looks as if its own epoch had ended before it; and what a copy without an epoch cannot tell:
//! whether a leader that ends before it is deposed (sim/README.md, "What bounds it").

use std::collections::BTreeMap;

use outrigger_core::lineage::Lineage;
use outrigger_core::node::{Effect, Notice};
use outrigger_core::offset::{Epoch, Generation, Offset, Partition};
use outrigger_core::phase::{Cause, Phase};
use outrigger_core::store::StoreCall;

use super::{Moment, Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Needless {
    /// Of nodes, by the last copy that each set aside.
    excuses: BTreeMap<usize, Excuse>,
}

/// Ascending by what they excuse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Excuse {
    NoEpoch,
    EndedInAHole,
}

impl Oracle for Needless {
    fn id(&self) -> OracleId {
        OracleId::O1
    }

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        let Moment::Effect { node, effect } = moment else {
            return Ok(());
        };
        match effect {
            Effect::Store(StoreCall::Quarantine { generation, .. }) => {
                self.excuses.remove(node);
                let excuse = excuse(*node, *generation, world);
                self.excuses.extend(excuse.map(|excuse| (*node, excuse)));
                Ok(())
            }
            Effect::Notice(Notice::Phase(Phase::Restoring(cause))) => {
                let for_a_loss = matches!(cause, Cause::Truncated | Cause::Diverged);
                let needless = world.losses.is_empty() && world.disk_is_its_own(*node);
                let excused = match self.excuses.get(node) {
                    Some(Excuse::EndedInAHole) => true,
                    Some(Excuse::NoEpoch) => *cause == Cause::Truncated,
                    None => false,
                };
                match for_a_loss && needless && !excused {
                    true => Err(Wrong::of(
                        *node,
                        format!("gives its copy up ({}), but the log lost nothing", cause.name()),
                    )),
                    false => Ok(()),
                }
            }
            Effect::Log(_)
            | Effect::Store(_)
            | Effect::Peer(_)
            | Effect::Reply(..)
            | Effect::Notice(_) => Ok(()),
        }
    }
}

fn excuse(node: usize, generation: Generation, world: &World) -> Option<Excuse> {
    let stored = world.disk(node).generation(generation)?;
    let pairs = (0..).map(Partition).zip(stored.durable);
    let excuses = pairs.filter_map(|(partition, copy)| {
        let Lineage { position, epochs, .. } = copy.lineage();
        match epochs.latest() {
            Some(last) => {
                ended_in_a_hole(partition, *position, last, world).then_some(Excuse::EndedInAHole)
            }
            None => (*position > Offset::ZERO).then_some(Excuse::NoEpoch),
        }
    });
    excuses.max()
}

/// A later epoch begins below the copy's end, and nothing of it is left there.
fn ended_in_a_hole(partition: Partition, end: Offset, last: Epoch, world: &World) -> bool {
    let epochs = world.log.state(partition).epochs;
    let mut later = epochs.iter().filter(|(epoch, start)| *epoch > last && *start < end);
    later.any(|(_, start)| {
        !world.log.batches(partition).any(|batch| (*start..end).contains(&batch.base))
    })
}
