//! Nobody answers for the log: what is in use is served meanwhile, to reads that are content with any copy.
//!
//! Nothing can be decided about a copy before the log told whose topic it is and where it ends; so nothing of it is
//! changed, and the first answer of the log opens it anew. It may be of a topic that is no more: a read's token says of
//! which.

use std::time::Duration;

use crate::clock::Moment;
use crate::gate::Gate;
use crate::offset::Generation;
use crate::store::{GenerationState, Looked, StoreCall};
use crate::topic::TopicId;

use super::Stage;
use super::handlers::{Ease, Handlers, Next, Shown};
use super::opening::Opening;
use crate::node::shared::{News, Served, Shared};

/// The node waits for the log's facts.
#[derive(Debug)]
pub(in crate::node) struct Asking {
    /// When it began, on the monotonic clock.
    since: Duration,
    meanwhile: Meanwhile,
}

#[derive(Debug)]
enum Meanwhile {
    Nothing,
    Looking,
    Looked(Option<(Served, TopicId)>),
}

impl Asking {
    pub(super) fn new(now: Moment) -> Asking {
        Asking { since: now.mono, meanwhile: Meanwhile::Nothing }
    }

    fn looked(&self) -> Option<(Served, TopicId)> {
        match &self.meanwhile {
            Meanwhile::Looked(looked) => *looked,
            Meanwhile::Nothing | Meanwhile::Looking => None,
        }
    }

    /// When (monotonic) nobody has answered for long enough, so that what is in use is looked at.
    fn look_at(&self, shared: &Shared) -> Option<Duration> {
        let wants = shared.drain.is_none() && matches!(self.meanwhile, Meanwhile::Nothing);
        wants.then_some(self.since + shared.limits.unheard_after)
    }

    /// The disk tells what is in use. Where the log has answered meanwhile, nobody asks: the copy is being opened to be judged.
    pub(in crate::node) fn on_looked(&mut self, shared: &mut Shared, looked: Option<Looked>) {
        let intact = looked.filter(|looked| {
            matches!(looked.found.state, GenerationState::Intact(_))
                && !shared.evidence.corrupt.contains_key(&looked.found.generation)
        });
        self.meanwhile = Meanwhile::Looked(intact.map(|Looked { identity, found }| {
            shared.open.insert(found.generation);
            (Served::of(&found), identity.topic)
        }));
    }
}

impl Handlers for Asking {
    fn served(&self) -> Option<Served> {
        self.looked().map(|(served, _)| served)
    }

    fn shown(&self, gate: &Gate) -> Shown {
        Shown { topic: self.looked().map(|(_, topic)| topic), ..Shown::last(gate) }
    }

    fn timer(&self, shared: &Shared) -> Option<Duration> {
        [shared.asks_log_at(), self.look_at(shared)].into_iter().flatten().min()
    }

    fn begin(&mut self, shared: &mut Shared) -> Next {
        shared.describe.hurry();
        Next::Stay
    }

    fn advance(&mut self, shared: &mut Shared) -> Next {
        shared.ask_log();
        if self.look_at(shared).is_some_and(|due| due <= shared.now.mono) {
            self.meanwhile = Meanwhile::Looking;
            shared.store(StoreCall::Look { store: shared.store.clone() });
        }
        Next::Stay
    }

    fn ease(&mut self, _: &mut Shared) -> Ease {
        if matches!(self.meanwhile, Meanwhile::Looking) { Ease::Busy } else { Ease::Idle }
    }

    fn on_facts(&mut self, shared: &mut Shared, news: &News) -> Next {
        if news.superseded {
            // Asked before the copy was closed, these ends may lie below what it holds: no proof of a loss.
            return Next::Stay;
        }
        let expected = news.facts.identity(&shared.store);
        Next::to(Stage::Opening(Opening { expected }))
    }

    /// The first answer of the log opens everything anew.
    fn on_damaged(&mut self, _: Generation, _: &str) -> Next {
        Next::Stay
    }

    /// What the log answers decides.
    fn on_cancel(&mut self, _: &mut Shared) -> Next {
        Next::Stay
    }
}
