//! The orderly end: nothing new, what is under way ends, everything applied is flushed.

use crate::gate::Rejection;
use crate::offset::RequestId;

use super::shared::Drain;
use super::stage::{Ease, Leave, Next, Stage};
use super::{Node, Reply};

impl Node {
    pub(super) fn begin_drain(&mut self, id: RequestId) {
        if let Stage::Stopped(_) = self.stage {
            return self.shared.reply(id, Reply::Drained);
        }
        if let Some(drain) = &mut self.shared.drain {
            return drain.ids.push(id);
        }
        let until = self.shared.now.mono + self.shared.limits.drain_max;
        self.shared.drain = Some(Drain { ids: vec![id], until });
        self.publish();
        let settled = self.shared.awaits.reject_all(&Rejection::Draining);
        self.shared.settle(settled);
        if let Stage::Reading(reading) = &mut self.stage {
            reading.pins.reject_unanswered(&mut self.shared, &Rejection::Draining);
        }
    }

    /// Closes everything once nothing is under way, or when time is up.
    pub(super) fn advance_drain(&mut self) -> Next {
        if self.shared.drain.is_none() {
            return Next::Stay;
        }
        let due = self.shared.drain_is_due();
        let closes = match self.stage.ease(&mut self.shared) {
            Ease::Busy => false,
            Ease::Unflushed => due,
            Ease::Idle => due || self.shared.writes.is_empty(),
        };
        if closes { Next::Leave(Leave::Reopen) } else { Next::Stay }
    }
}
