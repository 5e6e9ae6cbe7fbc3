//! O25: at every point the state that a watch was sent, with the changes folded over it, is what the log says there.

use std::collections::BTreeMap;

use outrigger_core::lineage::Lineage;
use outrigger_core::offset::{Offset, Revision};
use outrigger_core::watch::message::{Changes, Message};
use outrigger_core::watch::point::Point;

use super::watched::{Saw, Watched, point_of};
use super::{Oracle, OracleId, Wrong, content};
use crate::plan::KEPT_MAX;
use crate::reference::{Asked, Kind, Rows};
use crate::world::World;

const ALL: [Kind; 5] =
    [Kind::Aborted, Kind::Resurrected, Kind::Stranger, Kind::Wrong, Kind::Missing];

#[derive(Default)]
pub(super) struct Complete {
    watches: BTreeMap<usize, Folded>,
}

/// What a caller makes of what it is sent.
#[derive(Default)]
struct Folded {
    rows: Rows,
    /// None: it watches from some point on, and has no state before that.
    known: bool,
    /// What it has kept with each point.
    kept: Vec<(Point, Rows)>,
}

impl Oracle for Complete {
    fn id(&self) -> OracleId {
        OracleId::O25
    }

    fn watched(&mut self, node: usize, watched: &Watched<'_>, world: &World) -> Result<(), Wrong> {
        let folded = self.watches.entry(watched.number).or_default();
        match watched.saw {
            Saw::Asked { point, .. } => folded.ask(*point),
            Saw::Rows(rows) => {
                let rows = rows.iter().map(|(key, row)| (key.clone(), row.clone()));
                folded.rows.extend(rows);
            }
            Saw::Message(message) => {
                folded.take(watched, message, world);
                if let Some(point) = point_of(message) {
                    folded.keep(point);
                    return folded.judge(node, watched, point, world);
                }
            }
            Saw::Ended(_) | Saw::Idle => {}
        }
        Ok(())
    }
}

impl Folded {
    fn ask(&mut self, point: Option<&Point>) {
        let Some(point) = point else {
            *self = Folded::default();
            return;
        };
        let used = self.kept.iter().rposition(|(kept, _)| kept == point);
        let used = used.expect("who watches goes on from a point that was kept");
        self.kept.truncate(used + 1);
        self.rows = self.kept[used].1.clone();
    }

    fn take(&mut self, watched: &Watched<'_>, message: &Message, world: &World) {
        match message {
            Message::Started { point: None } | Message::Again { .. } => {
                *self = Folded { known: true, ..Folded::default() };
            }
            // Whoever watches from now on has the state of now from elsewhere.
            Message::Started { point: Some(point) } if self.kept.is_empty() => {
                self.known = world.losses.is_empty();
                let rows = world.reference.rows_at(&positions(point)).into_iter();
                self.rows = rows.filter(|(key, _)| watched.selects(key)).collect();
            }
            Message::Changes(changes) => self.fold(changes),
            Message::Started { .. } | Message::StateEnd { .. } | Message::Progress { .. } => {}
        }
    }

    fn fold(&mut self, changes: &Changes) {
        let partition = changes.batch.partition;
        for record in changes.records() {
            let revision = Revision { partition, offset: record.offset };
            match record.value {
                Some(value) => {
                    self.rows.insert(record.key.to_vec(), (revision, value.to_vec()));
                }
                None => {
                    self.rows.remove(record.key);
                }
            }
        }
    }

    fn keep(&mut self, point: &Point) {
        // A point that comes twice is kept once.
        self.kept.pop_if(|(kept, _)| kept == point);
        self.kept.push((point.clone(), self.rows.clone()));
        if self.kept.len() > KEPT_MAX {
            self.kept.remove(0);
        }
    }

    fn judge(
        &self,
        node: usize,
        watched: &Watched<'_>,
        point: &Point,
        world: &World,
    ) -> Result<(), Wrong> {
        let current = point.token.topic == world.log.topic() && world.disk_is_its_own(node);
        if !self.known || !current {
            // Where the topic was recreated, a node cannot know yet.
            return Ok(());
        }
        let at = |position| Lineage { position, ..Lineage::empty(0, 0) };
        let lineages: Vec<Lineage> = positions(point).into_iter().map(at).collect();
        let log = content::Log { reference: &world.reference, world: Some(world) };
        let asked = Asked::Selected(&watched.watch.keys);
        let found = content::differences(log, &lineages, &self.rows, asked, false);
        content::wrong(node, found, &ALL).map_err(|wrong| {
            let at: Vec<u64> = positions(point).into_iter().map(|Offset(at)| at).collect();
            let what = format!("watch {} at {at:?}: {}", watched.number, wrong.what);
            Wrong { what, ..wrong }
        })
    }
}

fn positions(point: &Point) -> Vec<Offset> {
    point.token.positions.iter().map(|(at, _)| *at).collect()
}
