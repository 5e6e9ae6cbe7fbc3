//! O13: a deleted key does not come back.

use super::{Moment, Oracle, OracleId, Wrong, content};
use crate::reference::Kind;
use crate::world::World;

pub(super) struct Resurrection;

impl Oracle for Resurrection {
    fn id(&self) -> OracleId {
        OracleId::O13
    }

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        content::judge(moment, world, &[Kind::Resurrected])
    }
}
