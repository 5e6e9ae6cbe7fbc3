//! Everything is closed without flushing, so that the node decides anew from what is on disk.

use crate::offset::Generation;
use crate::phase::Phase;
use crate::store::{StoreCall, StoreCallKind, StoreError};

use super::Stage;
use super::handlers::{Ease, Handlers, Next};
use super::stopped::Stopped;
use super::suspended::Suspended;
use crate::node::shared::{News, Shared};

#[derive(Debug)]
pub(in crate::node) struct Closing;

impl Handlers for Closing {
    fn begin(&mut self, shared: &mut Shared) -> Next {
        if shared.open.is_empty() {
            return closed(shared);
        }
        for generation in shared.open.clone() {
            shared.store(StoreCall::Close { generation });
        }
        Next::Stay
    }

    fn ease(&mut self, _: &mut Shared) -> Ease {
        Ease::Busy
    }

    fn on_done(&mut self, shared: &mut Shared, call: StoreCallKind, _: Generation) -> Next {
        if call == StoreCallKind::Close && shared.open.is_empty() {
            closed(shared)
        } else {
            Next::Stay
        }
    }

    /// It may be a call that was under way when the stage changed. Closing itself cannot be refused.
    fn on_store_failed(
        &mut self,
        shared: &mut Shared,
        call: StoreCallKind,
        _: &StoreError,
    ) -> Next {
        if call != StoreCallKind::Close {
            return Next::Stay;
        }
        shared.open.clear();
        closed(shared)
    }

    /// An answer to a question from before says nothing about what is opened next.
    fn on_facts(&mut self, _: &mut Shared, _: &News) -> Next {
        Next::Stay
    }

    /// Everything is opened anew.
    fn on_damaged(&mut self, _: Generation, _: &str) -> Next {
        Next::Stay
    }

    /// What is opened next is not begun.
    fn on_cancel(&mut self, _: &mut Shared) -> Next {
        Next::Stay
    }
}

/// In a drain writes may still be under way, where another reason closed the generations.
fn closed(shared: &mut Shared) -> Next {
    let Some(until) = shared.drain.as_ref().map(|drain| drain.until) else {
        return Next::to(Stage::asking(shared));
    };
    let stage = if shared.writes.is_empty() || until <= shared.now.mono {
        Stage::Stopped(Stopped)
    } else {
        Stage::Suspended(Suspended { until, served: None, exact: false, phase: Phase::Opening })
    };
    Next::to(stage)
}
