//! O27: whoever watches a READY node has a point within the time that it asked for, whatever others do.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_core::phase::Phase;
use outrigger_core::watch::message::Message;

use super::watched::{Saw, Watched, point_of};
use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Live {
    /// When each watch asked, or was last given a point.
    told: BTreeMap<usize, Duration>,
}

impl Oracle for Live {
    fn id(&self) -> OracleId {
        OracleId::O27
    }

    fn watched(&mut self, node: usize, watched: &Watched<'_>, world: &World) -> Result<(), Wrong> {
        let now = world.elapsed();
        let told = self.told.entry(watched.number).or_insert(now);
        match watched.saw {
            Saw::Asked { .. } => *told = now,
            Saw::Message(message) => {
                let state = matches!(message, Message::Started { .. } | Message::Again { .. });
                if state || point_of(message).is_some() {
                    *told = now;
                }
            }
            Saw::Rows(_) | Saw::Ended(_) => {}
            Saw::Idle => {
                let gate = world.node(node).gate();
                let ready = gate.phase == Phase::Ready && gate.fed;
                let silent = now.saturating_sub(*told);
                if ready && silent >= Duration::from_millis(watched.watch.progress_ms) {
                    let what = format!("watch {} has no point for {silent:?}", watched.number);
                    return Err(Wrong::of(node, what));
                }
            }
        }
        Ok(())
    }
}
