//! What is known of the disk: what is open, and what neither it nor the log's facts show.

use std::collections::{BTreeMap, BTreeSet};

use crate::offset::{Generation, Partition};
use crate::stall::StallKind;
use crate::store::{
    FoundCopy, FoundGeneration, GenerationState, StoreCallKind, StoreError, StoreErrorKind,
};

use super::Shared;

/// What neither the disk nor the log's facts show, learned from what they refused: of each generation for itself, until
/// it is gone.
#[derive(Debug, Default)]
pub(in crate::node) struct Evidence {
    pub(in crate::node) diverged: BTreeSet<(Generation, Partition)>,
    /// Can become exact no more: the log lost what their gaps may have been compacted for.
    pub(in crate::node) inexact: BTreeSet<(Generation, Partition)>,
    pub(in crate::node) corrupt: BTreeMap<Generation, String>,
    /// Met their tombstone horizon, while they ran, by a clock that a restart cannot ask.
    pub(in crate::node) past_horizon: BTreeSet<Generation>,
}

impl Evidence {
    fn forget(&mut self, gone: Generation) {
        self.diverged.retain(|(generation, _)| *generation != gone);
        self.inexact.retain(|(generation, _)| *generation != gone);
        self.corrupt.remove(&gone);
        self.past_horizon.remove(&gone);
    }
}

impl Shared {
    pub(in crate::node) fn note_generations(&mut self, copy: &mut FoundCopy) {
        for generation in [&mut copy.current, &mut copy.building].into_iter().flatten() {
            self.note_generation(generation);
        }
    }

    /// What this process saw of a generation outweighs what opening it shows.
    fn note_generation(&mut self, found: &mut FoundGeneration) {
        if let GenerationState::Intact(_) = found.state {
            self.open.insert(found.generation);
            self.dates.meet(found);
            if let Some(detail) = self.evidence.corrupt.get(&found.generation) {
                found.state = GenerationState::Corrupt(detail.clone());
            }
        }
    }

    pub(in crate::node) fn note_done(&mut self, call: StoreCallKind, generation: Generation) {
        match call {
            StoreCallKind::Close => drop(self.open.remove(&generation)),
            StoreCallKind::Remove | StoreCallKind::Quarantine => {
                self.open.remove(&generation);
                // This was not forgotten before: had the call failed, it would still count.
                self.evidence.forget(generation);
                self.dates.forget(generation);
                self.heard.forget(generation);
            }
            StoreCallKind::Open
            | StoreCallKind::Look
            | StoreCallKind::Create
            | StoreCallKind::Adopt
            | StoreCallKind::Apply
            | StoreCallKind::Confirm
            | StoreCallKind::Flush
            | StoreCallKind::Activate
            | StoreCallKind::Pin
            | StoreCallKind::Unpin => {}
        }
    }

    /// `written`: the generation that the call was for.
    pub(in crate::node) fn disk_failed(&mut self, error: &StoreError, written: Option<Generation>) {
        let kind = match error.kind {
            StoreErrorKind::Full => StallKind::StoreFull,
            StoreErrorKind::Io | StoreErrorKind::Corrupt => StallKind::StoreFailed,
            // A reader ends at its next row: one that does not waits for the disk.
            StoreErrorKind::Held => StallKind::StoreSlow,
        };
        self.begin_stall(kind, error.to_string());
        if let (StoreErrorKind::Corrupt, Some(generation)) = (error.kind, written) {
            self.evidence.corrupt.insert(generation, error.detail.clone());
        }
    }
}
