//! Until the log's facts allow another plan for what was found.

use std::time::Duration;

use crate::offset::Generation;
use crate::store::Found;
use crate::topic::Identity;

use super::Stage;
use super::handlers::{Ease, Handlers, Leave, Next};
use super::opening::Opening;
use super::recording::Recording;
use crate::node::shared::{News, Served, Shared};

#[derive(Debug)]
pub(in crate::node) struct Waiting {
    pub(super) found: Found,
    pub(super) identity: Identity,
    pub(super) served: Option<Served>,
}

impl Handlers for Waiting {
    fn served(&self) -> Option<Served> {
        self.served
    }

    fn timer(&self, shared: &Shared) -> Option<Duration> {
        shared.asks_log_at()
    }

    fn advance(&mut self, shared: &mut Shared) -> Next {
        shared.ask_log();
        Next::Stay
    }

    fn ease(&mut self, _: &mut Shared) -> Ease {
        Ease::Idle
    }

    fn on_facts(&mut self, shared: &mut Shared, news: &News) -> Next {
        let now = news.facts.identity(&shared.store);
        match &self.found {
            // Nothing is open of what belongs to something else: an operator may have moved it away.
            Found::Foreign { .. } => Next::to(Stage::Opening(Opening { expected: now })),
            Found::Nothing | Found::Copy(_) if self.identity == now => {
                let found = self.found.clone();
                Next::to(Stage::Recording(Recording::new(shared, found, now, self.served)))
            }
            Found::Nothing | Found::Copy(_) => Next::Leave(Leave::Reopen),
        }
    }

    fn on_damaged(&mut self, _: Generation, _: &str) -> Next {
        Next::Leave(Leave::Reopen)
    }

    /// The log is asked at once, for whether the copy may be served depends on another leader's answer.
    fn on_cancel(&mut self, shared: &mut Shared) -> Next {
        shared.describe.hurry();
        Next::Stay
    }
}
