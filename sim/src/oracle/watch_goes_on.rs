//! O27: nobody who watches is told that the log has another history where it never had but one.

use std::collections::BTreeMap;

use outrigger_core::offset::{Offset, Partition};
use outrigger_core::watch::message::Message;
use outrigger_core::watch::point::{Lost, Point};
use outrigger_core::watch::watcher::End;

use super::watched::{Saw, Watched, point_of};
use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct GoesOn {
    /// What each watch was given last.
    points: BTreeMap<usize, Point>,
}

impl Oracle for GoesOn {
    fn id(&self) -> OracleId {
        OracleId::O27
    }

    fn watched(&mut self, node: usize, watched: &Watched<'_>, world: &World) -> Result<(), Wrong> {
        let lost = match watched.saw {
            Saw::Asked { point, .. } => {
                self.points.remove(&watched.number);
                self.points.extend(point.map(|point| (watched.number, point.clone())));
                false
            }
            Saw::Message(message) => {
                let point = point_of(message).cloned();
                self.points.extend(point.map(|point| (watched.number, point)));
                matches!(message, Message::Again { why: Lost::History })
            }
            Saw::Ended(end) => **end == End::Lost(Lost::History),
            Saw::Rows(_) | Saw::Idle => false,
        };
        let point = self.points.get(&watched.number).filter(|_| lost);
        if point.is_none_or(|point| may_be_lost(node, point, world)) {
            return Ok(());
        }
        let what = format!("watch {} is lost, and the log is as it was", watched.number);
        Err(Wrong::of(node, what))
    }
}

/// Whether the log lost something, began anew, or had other leaders; or nothing is left below that would tell of its epoch.
fn may_be_lost(node: usize, point: &Point, world: &World) -> bool {
    let same = point.token.topic == world.log.topic() && world.disk_is_its_own(node);
    let positions = Partition::all(world.reference.count()).zip(&point.token.positions);
    let mut moved = positions.map(|(partition, (at, epoch))| {
        let state = world.log.state(partition);
        let hidden = world.log.offsets(partition).all(|offset| offset >= *at);
        let unnamed = *at > Offset::ZERO && (epoch.is_none() || hidden);
        state.epochs.len() > 1 || state.log_start > *at || unnamed
    });
    !same || !world.losses.is_empty() || moved.any(|moved| moved)
}
