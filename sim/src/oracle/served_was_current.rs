//! O6: an answer comes from a generation that CURRENT named: never from one that is still being filled.

use super::{Oracle, OracleId, Read, Wrong};
use crate::world::World;

pub(super) struct Served;

impl Oracle for Served {
    fn id(&self) -> OracleId {
        OracleId::O6
    }

    fn read(&mut self, node: usize, read: &Read<'_>, world: &World) -> Result<(), Wrong> {
        let mut stored = world.disk(node).generations();
        let current = stored.find(|stored| stored.current).map(|stored| stored.generation);
        let names = match current {
            // The node has not heard yet that a newer one was put into use.
            Some(current) if read.generation <= current => return Ok(()),
            Some(current) => current.to_string(),
            None => "none".to_owned(),
        };
        let what = format!("answers from {}, CURRENT names {names}", read.generation);
        Err(Wrong::of(node, what))
    }
}
