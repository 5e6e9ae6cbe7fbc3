//! The plan's store calls, one after another, then the generation is read into.

use std::collections::VecDeque;

use crate::offset::Generation;
use crate::store::{StoreCall, StoreCallKind};

use super::Progress;
use super::reading::Reading;
use super::shared::Shared;
use super::stage::{Ease, Handlers, Leave, News, Next, Served};

#[derive(Debug)]
pub(super) struct Preparing {
    pub(super) calls: VecDeque<StoreCall>,
    pub(super) reading: Box<Reading>,
    /// A read met damage in something that is open: it is judged before anything is read.
    pub(super) damaged: bool,
}

impl Preparing {
    /// Makes the next store call, or begins to read behind the last.
    fn next_call(&mut self, shared: &mut Shared) -> Next {
        if shared.cancelled && !self.calls.is_empty() {
            // A crash between two of them is as good: what was done is found when it goes on.
            return Next::Leave(Leave::Reopen);
        }
        if let Some(call) = self.calls.pop_front() {
            shared.store(call);
            return Next::Stay;
        }
        shared.open.insert(self.reading.generation);
        if shared.cancelled || shared.drain.is_some() || self.damaged {
            return Next::Leave(Leave::Reopen);
        }
        self.reading.assign_all(shared);
        Next::Read
    }
}

impl Handlers for Preparing {
    fn served(&self) -> Option<Served> {
        self.reading.served()
    }

    fn reading(&self) -> Option<&Reading> {
        Some(&self.reading)
    }

    fn progress(&self) -> Option<Progress> {
        self.reading.progress()
    }

    fn begin(&mut self, shared: &mut Shared) -> Next {
        self.next_call(shared)
    }

    fn ease(&mut self, _: &mut Shared) -> Ease {
        Ease::Busy
    }

    fn on_facts(&mut self, shared: &mut Shared, news: &News) -> Next {
        match self.reading.identity == news.facts.identity(&shared.store) {
            true => Next::Stay,
            false => Next::Leave(Leave::Lose),
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
