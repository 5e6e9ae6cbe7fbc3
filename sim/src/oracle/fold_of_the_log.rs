//! O4, O9, O13: what a node serves equals the fold of every committed record below its positions.
//!
//! At every READY, at every answered read, at audits and at the end. The same difference is O9 where it is a record of an
//! aborted or undecided transaction, O13 where it is a deleted key that is back, and O4 otherwise.

use super::content::{self, Log};
use super::{Oracle, OracleId, Read, Wrong};
use crate::reference::{Asked, Kind};
use crate::world::World;

pub(super) struct Fold {
    id: OracleId,
    /// Differences that it speaks of.
    kinds: &'static [Kind],
}

impl Fold {
    pub(super) const ABORTED: Fold = Fold { id: OracleId::O9, kinds: &[Kind::Aborted] };

    pub(super) const RESURRECTED: Fold = Fold { id: OracleId::O13, kinds: &[Kind::Resurrected] };

    pub(super) const OTHERWISE: Fold =
        Fold { id: OracleId::O4, kinds: &[Kind::Stranger, Kind::Wrong, Kind::Missing] };
}

impl Oracle for Fold {
    fn id(&self) -> OracleId {
        self.id
    }

    fn ready(&mut self, node: usize, world: &World) -> Result<(), Wrong> {
        if !is_of_one_topic(node, world) {
            return Ok(());
        }
        content::served(world, node, false, self.kinds)
    }

    fn read(&mut self, node: usize, read: &Read<'_>, world: &World) -> Result<(), Wrong> {
        if !is_of_one_topic(node, world) {
            return Ok(());
        }
        let log = Log { reference: &world.reference, world: Some(world) };
        let asked = read.key.map_or(Asked::All, Asked::Key);
        let found = content::differences(log, read.lineages, read.rows, asked, false);
        content::wrong(node, found, self.kinds)
    }

    fn audit(&mut self, node: usize, world: &World) -> Result<(), Wrong> {
        content::served(world, node, true, self.kinds)
    }
}

/// Whether the disk is of the topic that is there now. If not, the topic was recreated and the node cannot know yet:
/// what it reads is mixed, and never flushed.
fn is_of_one_topic(node: usize, world: &World) -> bool {
    world.disk_is_its_own(node)
}
