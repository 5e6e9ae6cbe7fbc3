//! O1: a copy is given up for a lost history only when the log lost something.

use outrigger_core::node::{Effect, Notice};
use outrigger_core::phase::{Cause, Phase};

use super::{Moment, Oracle, OracleId, Wrong};
use crate::world::World;

pub(super) struct Needless;

impl Oracle for Needless {
    fn id(&self) -> OracleId {
        OracleId::O1
    }

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        let Moment::Effect { node, effect: Effect::Notice(Notice::Phase(Phase::Restoring(cause))) } =
            moment
        else {
            return Ok(());
        };
        let for_a_loss = matches!(cause, Cause::Truncated | Cause::Diverged);
        if for_a_loss && world.losses.is_empty() && world.disk_is_its_own(*node) {
            let what = format!("gives its copy up ({}), but the log lost nothing", cause.name());
            return Err(Wrong::of(*node, what));
        }
        Ok(())
    }
}
