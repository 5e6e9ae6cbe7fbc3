//! O1: a copy is given up for a lost history only when the log lost something.
//!
//! Left out is what KIP-320 cannot tell: a copy that ends in a hole which compaction left at the border of two
//! leader epochs looks as if its own epoch had ended before it (sim/README.md, "What bounds it").

use std::collections::BTreeSet;

use outrigger_core::node::{Effect, Notice};
use outrigger_core::offset::{Generation, Partition};
use outrigger_core::phase::{Cause, Phase};
use outrigger_core::store::StoreCall;

use super::{Moment, Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Needless {
    /// Nodes whose last copy that was set aside ended in a hole.
    excused: BTreeSet<usize>,
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
                self.excused.remove(node);
                self.excused.extend(ended_in_a_hole(*node, *generation, world).then_some(*node));
                Ok(())
            }
            Effect::Notice(Notice::Phase(Phase::Restoring(cause))) => {
                let for_a_loss = matches!(cause, Cause::Truncated | Cause::Diverged);
                let needless = world.losses.is_empty() && world.disk_is_its_own(*node);
                match for_a_loss && needless && !self.excused.contains(node) {
                    true => Err(Wrong::of(
                        *node,
                        format!("gives its copy up ({}), but the log lost nothing", cause.name()),
                    )),
                    false => Ok(()),
                }
            }
            Effect::Log(_) | Effect::Store(_) | Effect::Reply(..) | Effect::Notice(_) => Ok(()),
        }
    }
}

/// A later epoch begins below the copy's end, and nothing of it is left there.
fn ended_in_a_hole(node: usize, generation: Generation, world: &World) -> bool {
    let Some(stored) = world.disk(node).generation(generation) else {
        return false;
    };
    (0..).map(Partition).zip(stored.durable).any(|(partition, copy)| {
        let (end, last) = (copy.lineage().position, copy.lineage().epochs.latest());
        let epochs = world.log.state(partition).epochs;
        let mut later = epochs.iter().filter(|(epoch, start)| Some(*epoch) > last && *start < end);
        later.any(|(_, start)| {
            !world.log.batches(partition).any(|batch| (*start..end).contains(&batch.base))
        })
    })
}
