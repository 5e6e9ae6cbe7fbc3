//! O26: a point that is older than tombstones live is answered with the state, never with changes alone.

use std::collections::BTreeMap;

use outrigger_core::watch::message::Message;
use outrigger_core::watch::point::Point;

use super::watched::{Saw, Watched};
use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Horizon {
    asked: BTreeMap<usize, Point>,
}

impl Oracle for Horizon {
    fn id(&self) -> OracleId {
        OracleId::O26
    }

    fn watched(&mut self, node: usize, watched: &Watched<'_>, world: &World) -> Result<(), Wrong> {
        match watched.saw {
            Saw::Asked(point) => {
                self.asked.remove(&watched.number);
                self.asked.extend(point.map(|point| (watched.number, point.clone())));
                Ok(())
            }
            Saw::Message(message) => match self.asked.remove(&watched.number) {
                Some(point) => answered(node, watched.number, &point, message, world),
                None => Ok(()),
            },
            Saw::Rows(_) | Saw::Ended(_) | Saw::Idle => Ok(()),
        }
    }
}

fn answered(
    node: usize,
    watch: usize,
    point: &Point,
    message: &Message,
    world: &World,
) -> Result<(), Wrong> {
    let age_ms = world.now_of(node).wall_ms.saturating_sub(point.confirmed_at_ms);
    let lives_ms = world.node(node).gate().delete_retention_ms_min;
    let Message::Started { point: Some(_) } = message else { return Ok(()) };
    if age_ms < lives_ms {
        return Ok(());
    }
    let what = format!("watch {watch} goes on from {age_ms} ms ago, tombstones live {lives_ms} ms");
    Err(Wrong::of(node, what))
}
