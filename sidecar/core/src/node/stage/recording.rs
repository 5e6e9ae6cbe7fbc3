//! What was heard is written to what was found, one store call after another, then it is decided.

use std::collections::VecDeque;

use crate::offset::Generation;
use crate::store::{Found, StoreCall, StoreCallKind, StoreError};
use crate::topic::Identity;

use super::handlers::{Ease, Handlers, Leave, Next};
use crate::node::shared::{News, Served, Shared};

#[derive(Debug)]
pub(in crate::node) struct Recording {
    /// The first is under way.
    calls: VecDeque<StoreCall>,
    found: Found,
    identity: Identity,
    served: Option<Served>,
}

impl Recording {
    /// What was heard is written to what was found, where that knows less. `served`: what answers reads meanwhile.
    pub(super) fn new(
        shared: &Shared,
        found: Found,
        identity: Identity,
        served: Option<Served>,
    ) -> Recording {
        let mut found = found;
        let calls = match &mut found {
            Found::Copy(copy) => shared.heard.apply_to(copy),
            Found::Nothing | Found::Foreign { .. } => VecDeque::new(),
        };
        Recording { calls, found, identity, served }
    }

    /// Makes the next store call, or decides.
    fn next_call(&self, shared: &mut Shared) -> Next {
        if let Some(call) = self.calls.front() {
            shared.store(call.clone());
            return Next::Stay;
        }
        let (mut found, identity) = (self.found.clone(), self.identity.clone());
        if let Found::Copy(copy) = &mut found {
            // A read may have met damage meanwhile.
            shared.note_generations(copy);
        }
        let facts = shared.known_facts().clone();
        shared.act_on(found, identity, &facts)
    }

    /// The generation that is written to.
    fn writes_to(&self) -> Option<Generation> {
        match self.calls.front()? {
            StoreCall::Confirm { generation, .. } | StoreCall::Flush { generation } => {
                Some(*generation)
            }
            call => unreachable!("{:?} records nothing", call.kind()),
        }
    }
}

impl Handlers for Recording {
    fn served(&self) -> Option<Served> {
        self.served
    }

    fn begin(&mut self, shared: &mut Shared) -> Next {
        self.next_call(shared)
    }

    fn ease(&mut self, _: &mut Shared) -> Ease {
        Ease::Busy
    }

    fn on_done(&mut self, shared: &mut Shared, _: StoreCallKind, _: Generation) -> Next {
        self.calls.pop_front();
        self.next_call(shared)
    }

    fn on_store_failed(
        &mut self,
        shared: &mut Shared,
        _: StoreCallKind,
        error: &StoreError,
    ) -> Next {
        shared.disk_failed(error, self.writes_to());
        Next::Leave(Leave::Suspend)
    }

    /// The log is not asked while the disk is.
    fn on_facts(&mut self, _: &mut Shared, _: &News) -> Next {
        Next::Stay
    }

    /// It counts when the decision is made.
    fn on_damaged(&mut self, _: Generation, _: &str) -> Next {
        Next::Stay
    }

    /// The disk answers first; then it is decided.
    fn on_cancel(&mut self, _: &mut Shared) -> Next {
        Next::Stay
    }
}
