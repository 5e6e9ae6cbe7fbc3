//! O9: nothing of an aborted or undecided transaction is visible anywhere.

use super::{Moment, Oracle, OracleId, Wrong, content};
use crate::reference::Kind;
use crate::world::World;

pub(super) struct Aborted;

impl Oracle for Aborted {
    fn id(&self) -> OracleId {
        OracleId::O9
    }

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        content::judge(moment, world, &[Kind::Aborted])
    }
}
