//! What follows from the state: the phase, the gate that readers see, the reads that may go on.

use std::sync::Arc;
use std::time::Duration;

use crate::gate::{Gate, Rejection, Until};
use crate::lineage::EpochChain;
use crate::offset::RequestId;
use crate::phase::{Operation, Phase};
use crate::stall::StallKind;

use super::awaits::Settled;
use super::reading::{Served, Usage};
use super::{Node, Notice, Reply, Stage};

impl Node {
    /// The phase of a reading node.
    pub(super) fn assess(&mut self) {
        let Stage::Reading(reading) = &mut self.stage else {
            return;
        };
        reading.note_targets();
        let next = match (reading.reached, reading.exact() && reading.usage == Usage::Active) {
            (false, _) => Phase::Restoring(reading.cause),
            (true, false) => Phase::CatchingUp,
            (true, true) => Phase::Ready,
        };
        reading.note_exactness(self.now.mono);
        let begins = next == Phase::Ready && self.phase != Phase::Ready;
        self.become_phase(next);
        if begins {
            self.failures = 0;
            self.throttle.forget_debt();
            self.peers.forget_asking();
            self.evidence = super::Evidence::default();
            // One that was held back for a restore's rate: nothing else may wake the node for it.
            self.give_credits();
        }
    }

    /// The generation that reads see, with the age of its confirmation.
    pub(super) fn served(&self) -> Option<Served> {
        match &self.stage {
            Stage::Preparing { reading, .. } | Stage::Reading(reading) => reading.served(),
            Stage::Fetching(fetching) => fetching.served,
            Stage::Recording { served, .. }
            | Stage::Waiting { served, .. }
            | Stage::Suspended { served, .. } => *served,
            Stage::Asking(asking) => asking.served(),
            Stage::Opening { .. } | Stage::Closing | Stage::Stopped => None,
        }
    }

    pub(super) fn publish(&mut self) {
        let served = self.served();
        let (live, exact, positions) = match &self.stage {
            Stage::Reading(reading) => {
                (reading.usage == Usage::Active, reading.exact(), reading.applied())
            }
            Stage::Asking(_)
            | Stage::Opening { .. }
            | Stage::Recording { .. }
            | Stage::Preparing { .. }
            | Stage::Fetching(_)
            | Stage::Waiting { .. }
            | Stage::Suspended { .. }
            | Stage::Closing
            | Stage::Stopped => (false, false, self.gate.positions.clone()),
        };
        let unheard = match &self.stage {
            Stage::Asking(asking) => asking.topic(),
            Stage::Opening { .. }
            | Stage::Recording { .. }
            | Stage::Preparing { .. }
            | Stage::Reading(_)
            | Stage::Fetching(_)
            | Stage::Waiting { .. }
            | Stage::Suspended { .. }
            | Stage::Closing
            | Stage::Stopped => None,
        };
        let phase = if self.drain.is_some() { Phase::Stopped } else { self.phase.clone() };
        let gate = Gate {
            phase,
            generation: served.map(|served| served.generation),
            live,
            topic: unheard.or_else(|| self.facts.as_ref().map(|facts| facts.topic)),
            positions,
            epochs: self.published_epochs(),
            exact,
            confirmed_at_ms: served.map_or(0, |served| served.confirmed_at_ms),
            awaits_free: self.awaits.len() < self.limits.awaits_max,
            delete_retention_ms_min: self.retention_seen(),
        };
        if gate != self.gate {
            self.gate = gate;
            self.gate_changed = true;
        }
    }

    fn retention_seen(&self) -> u64 {
        let Stage::Reading(reading) = &self.stage else {
            return self.gate.delete_retention_ms_min;
        };
        let seen = reading.readers.iter().map(|reader| reader.fetched().delete_retention_ms_min);
        seen.min().unwrap_or(u64::MAX)
    }

    /// The applied epochs; the published list is kept as long as it says the same.
    fn published_epochs(&self) -> Arc<[EpochChain]> {
        let Stage::Reading(reading) = &self.stage else {
            return self.gate.epochs.clone();
        };
        let applied = || reading.readers.iter().map(|reader| &reader.applied().epochs);
        match applied().eq(self.gate.epochs.iter()) {
            true => self.gate.epochs.clone(),
            false => applied().cloned().collect(),
        }
    }

    pub(super) fn wait_for(&mut self, id: RequestId, until: Until, deadline: Duration) {
        if let Err(rejection) = self.gate.admit_operation(Operation::Read) {
            return self.reply(id, Reply::Rejected(rejection));
        }
        if !self.gate.awaits_free {
            return self.reply(id, Reply::Rejected(Rejection::Overloaded));
        }
        if let Until::Latest(_) = until {
            self.ends.hurry();
        }
        self.awaits.add(id, until, self.now.mono + deadline, self.ends.asked());
    }

    pub(super) fn settle_awaits(&mut self) {
        let settled = match &self.phase {
            Phase::Refused(refusal) => self.awaits.reject_all(&Rejection::Refused(refusal.clone())),
            Phase::Stopped => self.awaits.reject_all(&Rejection::Draining),
            Phase::Opening | Phase::Restoring(_) | Phase::CatchingUp | Phase::Ready => {
                self.awaits.on_gate(&self.gate)
            }
        };
        self.settle(settled);
        let stall = self.stalls.first().map(|stall| stall.kind);
        let late = self.awaits.expire(self.now, stall, &self.leaderless());
        self.settle(late);
    }

    pub(super) fn settle(&mut self, settled: Settled) {
        for (id, result) in settled {
            let reply = match result {
                Ok(end) => Reply::Reached { end },
                Err(rejection) => Reply::Rejected(rejection),
            };
            self.reply(id, reply);
        }
    }

    pub(super) fn begin_stall(&mut self, kind: StallKind, detail: String) {
        if self.stalls.begin(kind, detail.clone(), self.now.mono) {
            self.notice(Notice::StallBegan { kind, detail });
        }
    }

    pub(super) fn end_stalls(&mut self, over: impl Fn(StallKind) -> bool) {
        for kind in self.stalls.end(over) {
            self.notice(Notice::StallEnded { kind });
        }
    }
}
