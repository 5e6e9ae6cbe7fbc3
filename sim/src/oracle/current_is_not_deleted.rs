//! O6: what CURRENT names is not deleted: its successor is complete and in use before it goes.

use outrigger_core::node::Effect;
use outrigger_core::store::StoreCall;

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

pub(super) struct Dropped;

impl Oracle for Dropped {
    fn id(&self) -> OracleId {
        OracleId::O6
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        let Effect::Store(StoreCall::Remove { generation }) = effect else { return Ok(()) };
        match world.disk(node).generation(*generation) {
            Some(stored) if stored.current => {
                Err(Wrong::of(node, format!("deletes {generation}, which CURRENT names")))
            }
            Some(_) | None => Ok(()),
        }
    }
}
