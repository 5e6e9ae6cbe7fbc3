//! What the node waits for at the moment, by name.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::stall::StallKind;

use super::Shared;
use crate::node::event::Notice;

#[derive(Debug, Default)]
pub(in crate::node) struct Stalls {
    active: BTreeMap<StallKind, Stall>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    pub kind: StallKind,
    pub detail: String,
    /// When it began, on the monotonic clock.
    pub since: Duration,
}

impl Stalls {
    /// True when the stall is new.
    pub(in crate::node) fn begin(
        &mut self,
        kind: StallKind,
        detail: String,
        now: Duration,
    ) -> bool {
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
    pub(in crate::node) fn end(&mut self, over: impl Fn(StallKind) -> bool) -> Vec<StallKind> {
        let ended: Vec<_> = self.active.keys().copied().filter(|kind| over(*kind)).collect();
        for kind in &ended {
            self.active.remove(kind);
        }
        ended
    }

    pub(in crate::node) fn has(&self, kind: StallKind) -> bool {
        self.active.contains_key(&kind)
    }

    pub(in crate::node) fn any_beside(&self, kind: StallKind) -> bool {
        self.active.keys().any(|active| *active != kind)
    }

    pub(in crate::node) fn any(&self) -> bool {
        !self.active.is_empty()
    }

    /// The longest one.
    pub(in crate::node) fn first(&self) -> Option<&Stall> {
        self.active.values().min_by_key(|stall| stall.since)
    }

    pub(in crate::node) fn all(&self) -> impl Iterator<Item = &Stall> {
        self.active.values()
    }
}

impl Shared {
    pub(in crate::node) fn begin_stall(&mut self, kind: StallKind, detail: String) {
        if self.stalls.begin(kind, detail.clone(), self.now.mono) {
            self.notice(Notice::StallBegan { kind, detail });
        }
    }

    pub(in crate::node) fn end_stalls(&mut self, over: impl Fn(StallKind) -> bool) {
        for kind in self.stalls.end(over) {
            self.notice(Notice::StallEnded { kind });
        }
    }

    /// An answer of the log ends what was named because none came, but not the name of a leader that is still silent.
    pub(in crate::node) fn end_silence(&mut self, leaderless: bool) {
        self.end_stalls(|kind| {
            kind.ends_with_an_answer() && !(leaderless && kind == StallKind::LeaderUnavailable)
        });
    }

    /// The leaders that answer are those that count; unless the reader reaches others.
    pub(in crate::node) fn end_stale_leader(&mut self) {
        if !self.positions_refused.any() {
            self.end_stalls(|kind| kind == StallKind::StaleLeader);
        }
    }
}
