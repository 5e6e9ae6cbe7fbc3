//! Unexpected news never patches state in place: everything is closed without flushing, and opened again.

use crate::offset::Generation;
use crate::phase::Phase;
use crate::stall::StallKind;
use crate::store::{StoreCall, StoreCallKind, StoreError, StoreErrorKind};

use super::unheard::Asking;
use super::{Node, Stage};

impl Node {
    pub(super) fn on_store_failed(&mut self, call: StoreCallKind, error: &StoreError) {
        let kind = match error.kind {
            StoreErrorKind::Full => StallKind::StoreFull,
            StoreErrorKind::Io | StoreErrorKind::Corrupt => StallKind::StoreFailed,
        };
        if let StoreCallKind::Pin | StoreCallKind::Unpin = call {
            // Whatever is wrong with the disk, what is written to it tells.
            return self.end_pins();
        }
        if let Stage::Closing | Stage::Stopped | Stage::Suspended { .. } = self.stage {
            // Calls that were under way when the stage changed. Closing itself cannot be refused.
            return self.on_close_failed(call);
        }
        if let (Stage::Reading(_), StoreCallKind::Remove) = (&self.stage, call) {
            // What a rebuild replaced; the next opening removes it.
            return;
        }
        self.begin_stall(kind, error.to_string());
        let written = match &self.stage {
            Stage::Reading(reading) => Some(reading.generation),
            _ => self.recording(),
        };
        if let (StoreErrorKind::Corrupt, Some(generation)) = (error.kind, written) {
            self.evidence.corrupt.insert(generation, error.detail.clone());
        }
        self.suspend();
    }

    /// Pauses before everything is opened again; reads go on as they can.
    pub(super) fn suspend(&mut self) {
        let served = self.served();
        let until = self.now.mono + self.limits.retry_after(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.stage = Stage::Suspended { until, served };
    }

    fn on_close_failed(&mut self, call: StoreCallKind) {
        if let Stage::Closing = self.stage
            && call == StoreCallKind::Close
        {
            self.open.clear();
            self.closed();
        }
    }

    pub(super) fn on_damaged(&mut self, generation: Generation, detail: String) {
        if self.open.contains(&generation) && !self.evidence.corrupt.contains_key(&generation) {
            self.begin_stall(StallKind::StoreFailed, detail.clone());
            self.note_damage_beside_fetch(generation, &detail);
            self.evidence.corrupt.insert(generation, detail);
            if let Stage::Reading(_) | Stage::Waiting { .. } = self.stage {
                self.reopen();
            }
        }
    }

    /// Forgets what is not on disk and decides anew from what is.
    pub(super) fn reopen(&mut self) {
        if !matches!(self.phase, Phase::Refused(_)) {
            self.become_phase(Phase::Opening);
        }
        self.stage = Stage::Closing;
        self.end_pins();
        if self.open.is_empty() {
            return self.closed();
        }
        for generation in self.open.clone() {
            self.store(StoreCall::Close { generation });
        }
    }

    pub(super) fn closed(&mut self) {
        match self.drain {
            Some(_) => self.closed_in_drain(),
            None => {
                self.stage = Stage::Asking(Asking::begin(self.now));
                self.describe.hurry();
            }
        }
    }

    /// Keys belong elsewhere from now on: what the topic is by now is not asked for at the next audit only.
    pub(super) fn on_partition_count(&mut self, count: u32) {
        if let Stage::Reading(reading) = &self.stage
            && reading.identity.partitions != count
        {
            self.describe.hurry();
        }
    }
}
