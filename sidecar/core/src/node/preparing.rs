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
        if shared.cancelled && !self.calls.is_empty() {
            // A crash between two of them is as good: what was done is found when it goes on.
            return Next::Leave(Leave::Reopen);
        }
        if let Some(call) = self.calls.pop_front() {
            shared.store(call);
            return Next::Stay;
        }
        shared.open.insert(self.reading.generation);
        if shared.cancelled || shared.drain.is_some() {
            return Next::Leave(Leave::Reopen);
        }
        self.reading.assign_all(shared);
        Next::Read
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
        self.begin(shared)
    }
}
