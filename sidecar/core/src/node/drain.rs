//! The orderly end: nothing new, what is under way ends, everything applied is flushed.

use std::time::Duration;

use crate::offset::RequestId;
use crate::phase::Phase;

use super::{Node, Reply, Stage};
use crate::gate::Rejection;

#[derive(Debug)]
pub(super) struct Drain {
    /// Everybody who asked for it.
    ids: Vec<RequestId>,
    /// Monotonic: whatever is not done by then is left to the next start, which is as safe.
    pub(super) until: Duration,
}

impl Node {
    pub(super) fn begin_drain(&mut self, id: RequestId) {
        if let Stage::Stopped = self.stage {
            return self.reply(id, Reply::Drained);
        }
        if let Some(drain) = &mut self.drain {
            return drain.ids.push(id);
        }
        self.drain = Some(Drain { ids: vec![id], until: self.now.mono + self.limits.drain_max });
        self.publish();
        let settled = self.awaits.reject_all(&Rejection::Draining);
        self.settle(settled);
        self.reject_pins(&Rejection::Draining);
    }

    pub(super) fn drain_is_due(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.until <= self.now.mono)
    }

    /// Closes once nothing is under way, or when time is up.
    pub(super) fn advance_drain(&mut self) {
        let Some(until) = self.drain.as_ref().map(|drain| drain.until) else { return };
        if let Stage::Closing
        | Stage::Stopped
        | Stage::Opening { .. }
        | Stage::Recording { .. }
        | Stage::Preparing { .. } = self.stage
        {
            // Each of these is about to be answered by the store; a generation is closed when it is known.
            return;
        }
        if let Stage::Asking(asking) = &self.stage
            && asking.waits_for_disk()
        {
            return;
        }
        if until > self.now.mono && self.calls_off_fetch() {
            return;
        }
        if let Stage::Fetching(fetching) = &self.stage
            && !fetching.asks_log()
        {
            return;
        }
        let flushed = match &self.stage {
            Stage::Reading(reading) => reading.all_durable(),
            Stage::Asking(_)
            | Stage::Opening { .. }
            | Stage::Recording { .. }
            | Stage::Preparing { .. }
            | Stage::Fetching(_)
            | Stage::Waiting { .. }
            | Stage::Suspended { .. }
            | Stage::Closing
            | Stage::Stopped => true,
        };
        if (flushed && self.writes.is_empty()) || until <= self.now.mono {
            self.reopen();
        }
    }

    /// Every generation is closed, perhaps for another reason: then writes may still be under way.
    pub(super) fn closed_in_drain(&mut self) {
        let until = self.drain.as_ref().expect("a drain runs").until;
        match self.writes.is_empty() || until <= self.now.mono {
            true => self.drained(),
            false => self.stage = Stage::Suspended { until, served: None },
        }
    }

    fn drained(&mut self) {
        let drain = self.drain.take().expect("closing ends a drain");
        self.stage = Stage::Stopped;
        self.become_phase(Phase::Stopped);
        drain.ids.into_iter().for_each(|id| self.reply(id, Reply::Drained));
    }
}
