//! O1: a copy that the log refused as one of another history is not deleted: it may be all that is left of
//! what the log lost.

use std::collections::{BTreeMap, BTreeSet};

use outrigger_core::log::{LogCall, LogEvent, Loss};
use outrigger_core::node::{Effect, Event};
use outrigger_core::offset::{Generation, Partition};
use outrigger_core::store::StoreCall;

use super::{Moment, Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Kept {
    nodes: BTreeMap<usize, Seen>,
}

#[derive(Default)]
struct Seen {
    /// Read from where they were assigned, and nothing since.
    untouched: BTreeMap<Partition, Generation>,
    refused: BTreeSet<Generation>,
}

impl Oracle for Kept {
    fn id(&self) -> OracleId {
        OracleId::O1
    }

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        match moment {
            Moment::Effect { node, effect } => self.effect(*node, effect, world),
            Moment::Handled {
                node,
                event: Event::Log(LogEvent::Lost { partition, loss: Loss::Diverged }),
            } => {
                let seen = self.nodes.entry(*node).or_default();
                seen.refused.extend(seen.untouched.remove(partition));
                Ok(())
            }
            Moment::Started { node } | Moment::Crashed { node } | Moment::DiskChanged { node } => {
                self.nodes.remove(node);
                Ok(())
            }
            Moment::Handled { .. }
            | Moment::Ready { .. }
            | Moment::Read { .. }
            | Moment::Audit { .. }
            | Moment::LogChanged => Ok(()),
        }
    }
}

impl Kept {
    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        let seen = self.nodes.entry(node).or_default();
        match effect {
            Effect::Log(LogCall::Assign { partition, .. }) => {
                let live = world.node(node).status().live;
                seen.untouched.extend(live.map(|generation| (*partition, generation)));
                Ok(())
            }
            Effect::Store(StoreCall::Apply { batch, .. }) => {
                seen.untouched.remove(&batch.partition);
                Ok(())
            }
            Effect::Store(StoreCall::Remove { generation })
                if seen.refused.contains(generation) && world.disk_is_its_own(node) =>
            {
                let what = format!("deletes {generation}, which the log called another history");
                Err(Wrong::of(node, what))
            }
            Effect::Log(_) | Effect::Store(_) | Effect::Reply(..) | Effect::Notice(_) => Ok(()),
        }
    }
}
