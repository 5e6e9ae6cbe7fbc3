//! What is on disk is opened, to be judged.

use crate::offset::Generation;
use crate::store::{Found, StoreCall};
use crate::topic::Identity;

use super::Stage;
use super::handlers::{Ease, Handlers, Next};
use super::recording::Recording;
use crate::node::shared::{News, Shared};

#[derive(Debug)]
pub(in crate::node) struct Opening {
    /// What is found is judged against it.
    pub(super) expected: Identity,
}

impl Handlers for Opening {
    fn begin(&mut self, shared: &mut Shared) -> Next {
        shared.open.clear();
        shared.store(StoreCall::Open { expected: self.expected.clone() });
        Next::Stay
    }

    /// What is being opened can be closed when it is known.
    fn ease(&mut self, _: &mut Shared) -> Ease {
        Ease::Busy
    }

    /// The log is not asked while the disk is.
    fn on_facts(&mut self, _: &mut Shared, _: &News) -> Next {
        Next::Stay
    }

    /// It counts for what is found.
    fn on_damaged(&mut self, _: Generation, _: &str) -> Next {
        Next::Stay
    }

    /// The disk answers first; then it is decided.
    fn on_cancel(&mut self, _: &mut Shared) -> Next {
        Next::Stay
    }
}

impl Opening {
    pub(in crate::node) fn on_found(&self, shared: &mut Shared, found: Found) -> Next {
        let mut found = found;
        if let Found::Copy(copy) = &mut found {
            shared.note_generations(copy);
            if let Some((adopted, retention_ms)) = shared.peers.heard_of_adopted() {
                shared.heard.hear(adopted, retention_ms);
            }
        }
        let retention_ms = shared.known_facts().policy.delete_retention_ms;
        shared.hear_retention(retention_ms);
        Next::to(Stage::Recording(Recording::new(shared, found, self.expected.clone(), None)))
    }
}
