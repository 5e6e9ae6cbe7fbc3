//! O4: a copy that is pinned at a position is exact, exactly there, and holds the fold of the log there; where the log
//! lost nothing, down to the sums that copies are compared by.

use std::collections::BTreeMap;

use outrigger_core::digest::Buckets;
use outrigger_core::node::{Command, Effect, Event, Reply};
use outrigger_core::offset::{Offset, RequestId};
use outrigger_core::store::View;
use outrigger_core::token::Token;

use super::{Oracle, OracleId, Wrong, content};
use crate::reference::{Asked, Kind, Rows, rows_of};
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

    fn handled(&mut self, node: usize, event: &Event, _world: &World) -> Result<(), Wrong> {
        if let Event::Command(id, Command::Pin { at, .. }) = event {
            self.asked.insert((node, *id), at.clone());
        }
        Ok(())
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        let Effect::Reply(id, reply) = effect else { return Ok(()) };
        match self.asked.remove(&(node, *id)) {
            Some(at) if *reply == Reply::Pinned => pinned(node, *id, &at, world),
            Some(_) | None => Ok(()),
        }
    }

    fn forget(&mut self, node: usize) {
        self.asked.retain(|(of, _), _| *of != node);
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
    let found = content::differences(log, &lineages, &rows, Asked::All, false);
    content::wrong(node, found, &ALL)?;
    let should = world.reference.rows_at(&wanted);
    if world.losses.is_empty() && sums(&rows) != sums(&should) {
        Err(Wrong::of(node, format!("pinned at {are:?}: the sums are not the log's")))
    } else {
        Ok(())
    }
}

fn sums(rows: &Rows) -> Buckets {
    let mut sums = Buckets::default();
    for (key, (revision, value)) in rows {
        sums.add(key, *revision, value);
    }
    sums
}
