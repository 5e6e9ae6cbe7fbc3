//! A pause before everything is opened again, because the disk failed or the log lost what was read. Reads go on as they can,
//! and nothing is applied.

use std::time::Duration;

use crate::gate::Gate;
use crate::offset::Generation;
use crate::phase::Phase;
use crate::store::{StoreCallKind, StoreError};

use super::handlers::{Ease, Handlers, Leave, Next, Shown};
use crate::node::shared::{News, Served, Shared};

#[derive(Debug)]
pub(in crate::node) struct Suspended {
    /// When the pause ends, on the monotonic clock.
    pub(super) until: Duration,
    pub(super) served: Option<Served>,
    /// Whether what is served was exact, and the phase, when the pause began.
    pub(super) exact: bool,
    pub(super) phase: Phase,
}

impl Handlers for Suspended {
    fn phase(&self) -> Phase {
        self.phase.clone()
    }

    fn served(&self) -> Option<Served> {
        self.served
    }

    fn shown(&self, gate: &Gate) -> Shown {
        Shown { exact: self.exact, ..Shown::last(gate) }
    }

    fn timer(&self, _: &Shared) -> Option<Duration> {
        Some(self.until)
    }

    fn advance(&mut self, shared: &mut Shared) -> Next {
        if self.until <= shared.now.mono { Next::Leave(Leave::Reopen) } else { Next::Stay }
    }

    fn ease(&mut self, _: &mut Shared) -> Ease {
        Ease::Idle
    }

    /// While it waits for its disk a node takes writes and serves its old copy, but only for the accepted topic. In another
    /// one, keys would lie where nobody looks for them, and the copy would be shown as that topic's.
    fn on_facts(&mut self, shared: &mut Shared, news: &News) -> Next {
        let identity = news.facts.identity(&shared.store);
        let same =
            news.before.as_ref().is_some_and(|before| before.identity(&shared.store) == identity);
        if !same {
            (self.served, self.exact) = (None, false);
            self.phase = Phase::Opening;
        }
        Next::Stay
    }

    /// These are calls that were under way when the stage changed.
    fn on_store_failed(&mut self, _: &mut Shared, _: StoreCallKind, _: &StoreError) -> Next {
        Next::Stay
    }

    fn on_cancel(&mut self, _: &mut Shared) -> Next {
        // What is done when it goes on is decided anew.
        self.phase = Phase::Opening;
        Next::Stay
    }

    /// Everything is opened anew when the pause ends.
    fn on_damaged(&mut self, _: Generation, _: &str) -> Next {
        Next::Stay
    }
}
