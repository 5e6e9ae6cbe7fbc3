//! An operator stops a restore, and lets it go on.
//!
//! A cancelled node closes without flushing, opens and decides again, as after any unexpected news, but does not act on
//! the decision. What is flushed stays; what the plan would serve is served; what would be refused anyway is refused for
//! its own reason; no peer is asked. A restart forgets the cancellation.

use crate::gate::Rejection;
use crate::offset::RequestId;
use crate::phase::{Phase, Refusal};

use super::stage::Stage;
use super::{Node, Reply};

impl Node {
    pub(super) fn cancel(&mut self, id: RequestId) {
        let phase = &self.shared.phase;
        let rejection = match (phase, &self.stage) {
            (Phase::Stopped, _) => Some(Rejection::Draining),
            _ if self.shared.drain.is_some() => Some(Rejection::Draining),
            _ if self.shared.cancelled => None,
            (Phase::Refused(_), Stage::Fetching(_)) => None,
            (Phase::Ready | Phase::Refused(_), _) => Some(Rejection::NoRestore(phase.clone())),
            (Phase::Opening | Phase::Restoring(_) | Phase::CatchingUp, _) => None,
        };
        if let Some(rejection) = rejection {
            return self.shared.reply(id, Reply::Rejected(rejection));
        }
        if !std::mem::replace(&mut self.shared.cancelled, true) {
            self.follow_phase();
            let next = self.stage.on_cancel(&mut self.shared);
            self.transition(next);
        }
        self.shared.reply(id, Reply::Done);
    }

    /// Named after the command: `continue` is a word of the language.
    pub(super) fn continue_restore(&mut self, id: RequestId) {
        let reply = if self.shared.drain.is_some() || self.shared.phase == Phase::Stopped {
            Reply::Rejected(Rejection::Draining)
        } else if !std::mem::take(&mut self.shared.cancelled) {
            Reply::Rejected(Rejection::NotCancelled(self.shared.phase.clone()))
        } else {
            self.shared.refusal.take_if(|refusal| *refusal == Refusal::Cancelled);
            self.follow_phase();
            if let Stage::Waiting(_) = self.stage {
                self.shared.describe.hurry();
            }
            Reply::Done
        };
        self.shared.reply(id, reply);
    }
}
