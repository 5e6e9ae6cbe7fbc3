//! O6: what CURRENT names is not deleted: its successor is complete and in use before it goes.

use outrigger_core::node::Effect;
use outrigger_core::store::StoreCall;

use super::{Moment, Oracle, OracleId, Wrong};
use crate::world::World;

pub(super) struct Dropped;

impl Oracle for Dropped {
    fn id(&self) -> OracleId {
        OracleId::O6
    }

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        let Moment::Effect { node, effect: Effect::Store(StoreCall::Remove { generation }) } =
            moment
        else {
            return Ok(());
        };
        match world.disk(*node).generation(*generation) {
            Some(stored) if stored.current => {
                Err(Wrong::of(*node, format!("deletes {generation}, which CURRENT names")))
            }
            Some(_) | None => Ok(()),
        }
    }
}
