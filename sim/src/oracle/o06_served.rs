//! O6: an answer comes from a generation that CURRENT named: never from one that is still being filled.

use super::{Moment, Oracle, OracleId, Wrong};
use crate::world::World;

pub(super) struct Served;

impl Oracle for Served {
    fn id(&self) -> OracleId {
        OracleId::O6
    }

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        let Moment::Read { node, read } = moment else {
            return Ok(());
        };
        let mut stored = world.disk(*node).generations();
        let current = stored.find(|stored| stored.current).map(|stored| stored.generation);
        match current {
            // The node has not heard yet that a newer one was put into use.
            Some(current) if read.generation <= current => Ok(()),
            Some(current) => {
                let what = format!("answers from {}, CURRENT names {current}", read.generation);
                Err(Wrong::of(*node, what))
            }
            None => {
                let what = format!("answers from {}, CURRENT names none", read.generation);
                Err(Wrong::of(*node, what))
            }
        }
    }
}
