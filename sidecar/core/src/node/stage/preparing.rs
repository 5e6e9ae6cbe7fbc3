//! The plan's store calls, one after another, then the generation is read into.

use std::collections::VecDeque;

use crate::offset::Generation;
use crate::store::{StoreCall, StoreCallKind};

use super::Stage;
use super::handlers::{Ease, Handlers, Leave, Next};
use super::reading::Reading;
use crate::node::shared::{News, Served, Shared};
use crate::node::status::Progress;

#[derive(Debug)]
pub(in crate::node) struct Preparing {
    calls: VecDeque<StoreCall>,
    /// None once the stage has ended.
    reading: Option<Box<Reading>>,
    /// A read met damage in something that is open: it is judged before anything is read.
    damaged: bool,
}

impl Preparing {
    pub(super) fn new(calls: VecDeque<StoreCall>, reading: Reading) -> Preparing {
        Preparing { calls, reading: Some(Box::new(reading)), damaged: false }
    }

    pub(super) fn reading(&self) -> Option<&Reading> {
        self.reading.as_deref()
    }

    /// Makes the next store call, or begins to read behind the last.
    fn next_call(&mut self, shared: &mut Shared) -> Next {
        if shared.cancelled && !self.calls.is_empty() {
            // It may stop between two calls, as a crash may: what was done is found when it goes on.
            return Next::Leave(Leave::Reopen);
        }
        if let Some(call) = self.calls.pop_front() {
            shared.store(call);
            return Next::Stay;
        }
        let mut reading = self.reading.take().expect("behind the last call the stage ends");
        shared.open.insert(reading.generation);
        if shared.cancelled || shared.drain.is_some() || self.damaged {
            return Next::Leave(Leave::Reopen);
        }
        reading.assign_all(shared);
        shared.refusal = None;
        Next::to(Stage::Reading(reading))
    }
}

impl Handlers for Preparing {
    fn served(&self) -> Option<Served> {
        self.reading()?.served()
    }

    fn progress(&self) -> Option<Progress> {
        self.reading()?.progress()
    }

    fn begin(&mut self, shared: &mut Shared) -> Next {
        self.next_call(shared)
    }

    fn ease(&mut self, _: &mut Shared) -> Ease {
        Ease::Busy
    }

    fn on_facts(&mut self, shared: &mut Shared, news: &News) -> Next {
        let now = news.facts.identity(&shared.store);
        if self.reading().is_some_and(|reading| reading.identity == now) {
            Next::Stay
        } else {
            Next::Leave(Leave::Lose)
        }
    }

    fn on_done(&mut self, shared: &mut Shared, _: StoreCallKind, _: Generation) -> Next {
        self.next_call(shared)
    }

    /// The call that is under way is answered first.
    fn on_damaged(&mut self, _: Generation, _: &str) -> Next {
        self.damaged = true;
        Next::Stay
    }

    /// The call that is under way is answered first.
    fn on_cancel(&mut self, _: &mut Shared) -> Next {
        Next::Stay
    }
}
