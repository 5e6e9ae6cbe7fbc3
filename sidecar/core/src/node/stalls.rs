//! What the node waits for at the moment, by name.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::stall::StallKind;

#[derive(Debug, Default)]
pub(super) struct Stalls {
    active: BTreeMap<StallKind, Stall>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    pub kind: StallKind,
    pub detail: String,
    /// Monotonic.
    pub since: Duration,
}

impl Stalls {
    /// True when the stall is new.
    pub(super) fn begin(&mut self, kind: StallKind, detail: String, now: Duration) -> bool {
        match self.active.get_mut(&kind) {
            Some(stall) => {
                stall.detail = detail;
                false
            }
            None => {
                self.active.insert(kind, Stall { kind, detail, since: now });
                true
            }
        }
    }

    /// Ends the stalls that `over` picks and names them.
    pub(super) fn end(&mut self, over: impl Fn(StallKind) -> bool) -> Vec<StallKind> {
        let ended: Vec<_> = self.active.keys().copied().filter(|kind| over(*kind)).collect();
        for kind in &ended {
            self.active.remove(kind);
        }
        ended
    }

    pub(super) fn has(&self, kind: StallKind) -> bool {
        self.active.contains_key(&kind)
    }

    pub(super) fn any_beside(&self, kind: StallKind) -> bool {
        self.active.keys().any(|active| *active != kind)
    }

    pub(super) fn any(&self) -> bool {
        !self.active.is_empty()
    }

    /// The longest one.
    pub(super) fn first(&self) -> Option<&Stall> {
        self.active.values().min_by_key(|stall| stall.since)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Stall> {
        self.active.values()
    }
}
