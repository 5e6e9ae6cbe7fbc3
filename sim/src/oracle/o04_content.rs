//! O4: what a node serves equals the fold of every committed record below its positions.
//!
//! At every READY, at every answered read, at audits and at the end. What only the newer names say better
//! (an aborted record, a deleted key) is left to O9 and O13.

use super::{Moment, Oracle, OracleId, Wrong, content};
use crate::reference::Kind;
use crate::world::World;

pub(super) struct Content;

impl Oracle for Content {
    fn id(&self) -> OracleId {
        OracleId::O4
    }

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        content::judge(moment, world, &[Kind::Stranger, Kind::Wrong, Kind::Missing])
    }
}
