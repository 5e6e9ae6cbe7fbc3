//! Drained: nothing follows.

use crate::phase::Phase;

use super::Reply;
use super::shared::Shared;
use super::stage::{Ease, Handlers, Next};
use crate::store::{StoreCallKind, StoreError};

#[derive(Debug)]
pub(super) struct Stopped;

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
}
