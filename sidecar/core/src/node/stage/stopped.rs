//! Drained: nothing follows.

use crate::offset::Generation;
use crate::phase::Phase;
use crate::store::{StoreCallKind, StoreError};

use super::handlers::{Ease, Handlers, Next};
use crate::node::event::Reply;
use crate::node::shared::{News, Shared};

#[derive(Debug)]
pub(in crate::node) struct Stopped;

impl Handlers for Stopped {
    fn phase(&self) -> Phase {
        Phase::Stopped
    }

    fn begin(&mut self, shared: &mut Shared) -> Next {
        let drain = shared.drain.take().expect("closing ends a drain");
        for id in drain.ids {
            shared.reply(id, Reply::Drained);
        }
        Next::Stay
    }

    fn ease(&mut self, _: &mut Shared) -> Ease {
        Ease::Busy
    }

    fn on_store_failed(&mut self, _: &mut Shared, _: StoreCallKind, _: &StoreError) -> Next {
        Next::Stay
    }

    /// Nothing follows.
    fn on_facts(&mut self, _: &mut Shared, _: &News) -> Next {
        Next::Stay
    }

    /// Nothing follows.
    fn on_damaged(&mut self, _: Generation, _: &str) -> Next {
        Next::Stay
    }

    /// It is refused before it comes here.
    fn on_cancel(&mut self, _: &mut Shared) -> Next {
        Next::Stay
    }
}
