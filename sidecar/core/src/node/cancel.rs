//! An operator stops a restore, and lets it go on.
//!
//! A cancelled node goes the way of every unexpected news: it closes without flushing, opens and decides again; only
//! that the decision is not acted on. So what is flushed stays, what the plan would serve is served, and what would be
//! refused anyway is refused for its own reason, and no peer is asked. Not kept over a restart.

use crate::gate::Rejection;
use crate::offset::RequestId;
use crate::phase::{Phase, Refusal};

use super::{Node, Reply, Stage};

impl Node {
    pub(super) fn cancel(&mut self, id: RequestId) {
        let reply = match &self.phase {
            Phase::Stopped => Reply::Rejected(Rejection::Draining),
            _ if self.drain.is_some() => Reply::Rejected(Rejection::Draining),
            _ if self.cancelled => Reply::Done,
            Phase::Refused(_) if self.fetches() => {
                self.stop_restore();
                Reply::Done
            }
            Phase::Ready | Phase::Refused(_) => {
                Reply::Rejected(Rejection::NoRestore(self.phase.clone()))
            }
            Phase::Opening | Phase::Restoring(_) | Phase::CatchingUp => {
                self.stop_restore();
                Reply::Done
            }
        };
        self.reply(id, reply);
    }

    fn stop_restore(&mut self) {
        self.cancelled = true;
        self.become_phase(Phase::Refused(Refusal::Cancelled));
        match &self.stage {
            Stage::Reading(_) => self.reopen(),
            // What of it came stays.
            Stage::Fetching(_) => {
                self.calls_off_fetch();
            }
            // For another leader's answer: whether the copy may be served shows with it.
            Stage::Waiting { .. } => self.describe.hurry(),
            // What was asked for is answered first; a pause after an error ends by itself.
            Stage::Asking(_)
            | Stage::Opening { .. }
            | Stage::Recording { .. }
            | Stage::Preparing { .. }
            | Stage::Suspended { .. }
            | Stage::Closing
            | Stage::Stopped => {}
        }
    }

    /// Named after the command: `continue` is a word of the language.
    pub(super) fn continue_restore(&mut self, id: RequestId) {
        if self.drain.is_some() || self.phase == Phase::Stopped {
            return self.reply(id, Reply::Rejected(Rejection::Draining));
        }
        if !std::mem::take(&mut self.cancelled) {
            return self.reply(id, Reply::Rejected(Rejection::NotCancelled(self.phase.clone())));
        }
        if self.phase == Phase::Refused(Refusal::Cancelled) {
            self.become_phase(Phase::Opening);
        }
        if let Stage::Waiting { .. } = self.stage {
            self.describe.hurry();
        }
        self.reply(id, Reply::Done);
    }
}
