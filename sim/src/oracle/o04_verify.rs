//! O4: a copy that is pinned at a position is exact, exactly there, and holds the fold of the log there; where the log
//! lost nothing, down to the sums that copies are compared by.

use std::collections::BTreeMap;

use outrigger_core::digest::Buckets;
use outrigger_core::node::{Command, Effect, Event, Reply};
use outrigger_core::offset::{Offset, RequestId};
use outrigger_core::store::View;
use outrigger_core::token::Token;

use super::{Moment, Oracle, OracleId, Wrong, content};
use crate::reference::{Kind, Rows, rows_of};
use crate::world::World;

const ALL: [Kind; 5] =
    [Kind::Aborted, Kind::Resurrected, Kind::Stranger, Kind::Wrong, Kind::Missing];

#[derive(Default)]
pub(super) struct Verified {
    asked: BTreeMap<(usize, RequestId), Token>,
}

impl Oracle for Verified {
    fn id(&self) -> OracleId {
        OracleId::O4
    }

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        match moment {
            Moment::Handled { node, event: Event::Command(id, Command::Pin { at, .. }) } => {
                self.asked.insert((*node, *id), at.clone());
                Ok(())
            }
            Moment::Effect { node, effect: Effect::Reply(id, reply) } => {
                match (self.asked.remove(&(*node, *id)), reply) {
                    (Some(at), Reply::Pinned) => pinned(*node, *id, &at, world),
                    (Some(_) | None, _) => Ok(()),
                }
            }
            Moment::Started { node } | Moment::Crashed { node } => {
                self.asked.retain(|(of, _), _| of != node);
                Ok(())
            }
            Moment::Handled { .. }
            | Moment::Effect { .. }
            | Moment::Ready { .. }
            | Moment::Read { .. }
            | Moment::Audit { .. }
            | Moment::DiskChanged { .. }
            | Moment::LogChanged => Ok(()),
        }
    }
}

fn pinned(node: usize, id: RequestId, at: &Token, world: &World) -> Result<(), Wrong> {
    let Some(view) = world.disk(node).pinned(id) else {
        return Err(Wrong::of(node, "pinned, but nothing is kept".to_owned()));
    };
    let (Ok(lineages), Ok(rows)) = (view.lineages(), rows_of(&view)) else {
        // Damaged rows cannot be compared; whoever reads them is told.
        return Ok(());
    };
    let wanted: Vec<Offset> = at.positions.iter().map(|(position, _)| *position).collect();
    let are: Vec<Offset> = lineages.iter().map(|lineage| lineage.position).collect();
    if are != wanted {
        return Err(Wrong::of(
            node,
            format!("asked to be pinned at {wanted:?}, pinned at {are:?}"),
        ));
    }
    if !lineages.iter().all(|lineage| lineage.exact()) {
        return Err(Wrong::of(node, format!("pinned at {are:?}, where its copy is not exact")));
    }
    if !world.disk_is_its_own(node) {
        // The topic was recreated and the node cannot know yet.
        return Ok(());
    }
    let log = content::Log { reference: &world.reference, world: Some(world) };
    let found = content::differences(log, &lineages, &rows, None, false);
    content::wrong(node, found, &ALL)?;
    let should = world.reference.rows_at(&wanted);
    match world.losses.is_empty() && sums(&rows) != sums(&should) {
        true => Err(Wrong::of(node, format!("pinned at {are:?}: the sums are not the log's"))),
        false => Ok(()),
    }
}

fn sums(rows: &Rows) -> Buckets {
    let mut sums = Buckets::default();
    rows.iter().for_each(|(key, (revision, value))| sums.add(key, *revision, value));
    sums
}
