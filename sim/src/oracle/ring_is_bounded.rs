//! O15: what a node keeps for whoever watches it is bounded, also where somebody takes nothing.

use outrigger_core::node::Event;

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

pub(super) struct Rings;

impl Oracle for Rings {
    fn id(&self) -> OracleId {
        OracleId::O15
    }

    fn handled(&mut self, node: usize, _event: &Event, world: &World) -> Result<(), Wrong> {
        let (is, max) = (world.ring(node).bytes(), world.limits().ring_bytes_max);
        if is > max {
            Err(Wrong::of(node, format!("{is} bytes are kept for watches, at most {max}")))
        } else {
            Ok(())
        }
    }
}
