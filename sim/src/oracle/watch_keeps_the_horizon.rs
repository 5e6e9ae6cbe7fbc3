//! O26: a point that is older than tombstones live is answered with the state, never with changes alone.

use std::collections::BTreeMap;

use outrigger_core::watch::message::Message;
use outrigger_core::watch::point::Point;

use super::watched::{Saw, Watched};
use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Horizon {
    /// With the time that tombstones live behind it.
    asked: BTreeMap<usize, (Point, u64)>,
}

impl Oracle for Horizon {
    fn id(&self) -> OracleId {
        OracleId::O26
    }

    fn watched(&mut self, node: usize, watched: &Watched<'_>, world: &World) -> Result<(), Wrong> {
        match watched.saw {
            Saw::Asked { point, lives_ms } => {
                self.asked.remove(&watched.number);
                let asked = point.map(|point| (watched.number, (point.clone(), *lives_ms)));
                self.asked.extend(asked);
                Ok(())
            }
            Saw::Message(message) => match self.asked.remove(&watched.number) {
                Some(asked) => answered(node, watched.number, &asked, message, world),
                None => Ok(()),
            },
            Saw::Rows(_) | Saw::Ended(_) | Saw::Idle => Ok(()),
        }
    }
}

fn answered(
    node: usize,
    watch: usize,
    (point, lives_ms): &(Point, u64),
    message: &Message,
    world: &World,
) -> Result<(), Wrong> {
    let age_ms = world.now_of(node).wall_ms.saturating_sub(point.confirmed_at_ms);
    let Message::Started { point: Some(_) } = message else { return Ok(()) };
    if age_ms < *lives_ms {
        return Ok(());
    }
    let what = format!("watch {watch} goes on from {age_ms} ms ago, tombstones live {lives_ms} ms");
    Err(Wrong::of(node, what))
}
