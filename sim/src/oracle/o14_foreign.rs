//! O14: data of something else is refused and left as it is.
//!
//! Another store's, cluster's or topic's directory is never changed and never served as this store's copy.

use std::collections::BTreeMap;

use outrigger_core::node::Effect;
use outrigger_core::offset::{Generation, Offset};
use outrigger_core::store::StoreCall;

use super::{Moment, Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Foreign {
    /// What was on the disk of somebody else when it was mounted.
    found: BTreeMap<usize, Vec<(Generation, Vec<Offset>)>>,
}

impl Oracle for Foreign {
    fn id(&self) -> OracleId {
        OracleId::O14
    }

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        match moment {
            Moment::DiskChanged { node } => {
                self.found.remove(node);
                if somebody_elses(*node, world) {
                    self.found.insert(*node, contents(*node, world));
                }
                Ok(())
            }
            Moment::Effect { node, effect: Effect::Store(call) } => self.call(*node, call),
            Moment::Crashed { node } => self.untouched(*node, world),
            Moment::Ready { node } => match self.found.contains_key(node) {
                true => Err(Wrong::of(*node, "READY on somebody else's disk".to_owned())),
                false => Ok(()),
            },
            Moment::Audit { node } => {
                let topic = world.disk(*node).identity().map(|identity| identity.topic);
                match topic.is_none_or(|topic| topic == world.log.topic()) {
                    true => Ok(()),
                    false => Err(Wrong::of(*node, "serves a copy of another topic".to_owned())),
                }
            }
            Moment::Effect { .. }
            | Moment::Handled { .. }
            | Moment::Started { .. }
            | Moment::Read { .. }
            | Moment::LogChanged => Ok(()),
        }
    }
}

impl Foreign {
    fn call(&self, node: usize, call: &StoreCall) -> Result<(), Wrong> {
        match call {
            StoreCall::Open { .. } | StoreCall::Close { .. } => Ok(()),
            StoreCall::Create { .. }
            | StoreCall::Apply { .. }
            | StoreCall::Confirm { .. }
            | StoreCall::Flush { .. }
            | StoreCall::Activate { .. }
            | StoreCall::Quarantine { .. }
            | StoreCall::Remove { .. } => match self.found.contains_key(&node) {
                true => Err(Wrong::of(node, format!("writes to somebody else's disk: {call:?}"))),
                false => Ok(()),
            },
        }
    }

    fn untouched(&self, node: usize, world: &World) -> Result<(), Wrong> {
        match self.found.get(&node) {
            Some(found) if *found != contents(node, world) => {
                Err(Wrong::of(node, "somebody else's disk was changed".to_owned()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn somebody_elses(node: usize, world: &World) -> bool {
    world.disk(node).identity().is_some_and(|identity| identity.store != "store")
}

fn contents(node: usize, world: &World) -> Vec<(Generation, Vec<Offset>)> {
    let positions = world.disk(node).generations().map(|stored| {
        let partitions = stored.durable.iter();
        (stored.generation, partitions.map(|contents| contents.lineage().position).collect())
    });
    positions.collect()
}
