//! What every stage answers: what it tells of itself, and what it does about an event.

use std::sync::Arc;
use std::time::Duration;

use crate::gate::Gate;
use crate::lineage::EpochChain;
use crate::log::KafkaError;
use crate::offset::{Generation, Offset, Partition};
use crate::phase::Phase;
use crate::store::{StoreCallKind, StoreError};
use crate::topic::TopicId;

use super::Stage;
use crate::node::shared::{News, Served, Shared};
use crate::node::status::Progress;

/// What follows when a stage has handled something.
#[derive(Debug)]
pub(in crate::node) enum Next {
    Stay,
    To(Box<Stage>),
    Leave(Leave),
}

impl Next {
    pub(in crate::node) fn to(stage: Stage) -> Next {
        Next::To(Box::new(stage))
    }
}

/// Why a stage ends before its time. Unexpected news never patches state in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Leave {
    /// Everything is closed without flushing, the log is asked, and it is decided anew from what is on disk.
    Reopen,
    /// The same after a pause: the disk failed. Reads go on as they can.
    Suspend,
    /// The same after a pause: the log no longer has what this copy read.
    Lose,
}

/// Goes on, or gives the stage up.
pub(in crate::node) type Stays = Result<(), Leave>;

impl From<Stays> for Next {
    fn from(stays: Stays) -> Next {
        match stays {
            Ok(()) => Next::Stay,
            Err(leave) => Next::Leave(leave),
        }
    }
}

/// What reads see of the copy that the log is applied to.
pub(in crate::node) struct Shown {
    pub(in crate::node) fed: bool,
    pub(in crate::node) exact: bool,
    /// The topic whose copy is served; none: the one that the log told of.
    pub(in crate::node) topic: Option<TopicId>,
    pub(in crate::node) positions: Vec<Offset>,
    pub(in crate::node) epochs: Arc<[EpochChain]>,
    pub(in crate::node) delete_retention_ms_min: u64,
}

impl Shown {
    /// While there is no copy: what the last one knew, for the tokens of those who read it.
    pub(in crate::node) fn last(gate: &Gate) -> Shown {
        Shown {
            fed: false,
            exact: false,
            topic: None,
            positions: gate.positions.clone(),
            epochs: gate.epochs.clone(),
            delete_retention_ms_min: gate.delete_retention_ms_min,
        }
    }
}

/// How far a stage is on the way to an orderly end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Ease {
    /// An answer is under way that it has to wait for.
    Busy,
    /// Something applied is not durable: worth a wait as long as the drain lasts.
    Unflushed,
    Idle,
}

/// What a stage tells of itself, and its handlers. What every stage has to think of has no default.
pub(in crate::node) trait Handlers {
    /// The phase of this stage, if no refusal or cancellation is in force.
    fn phase(&self) -> Phase {
        Phase::Opening
    }

    /// The generation that reads see.
    fn served(&self) -> Option<Served> {
        None
    }

    fn shown(&self, gate: &Gate) -> Shown {
        Shown::last(gate)
    }

    fn progress(&self) -> Option<Progress> {
        None
    }

    /// Partitions whose leaders did not answer the last question for the ends.
    fn leaderless(&self) -> &[(Partition, KafkaError)] {
        &[]
    }

    /// When (monotonic) `advance` has something to do.
    fn timer(&self, _: &Shared) -> Option<Duration> {
        None
    }

    /// Once, when the stage is entered.
    fn begin(&mut self, _: &mut Shared) -> Next {
        Next::Stay
    }

    /// Everything that is due, after every event.
    fn advance(&mut self, _: &mut Shared) -> Next {
        Next::Stay
    }

    /// What `phase` depends on may have changed.
    fn assess(&mut self, _: &Shared) {}

    /// READY begins.
    fn on_ready(&mut self, _: &mut Shared) {}

    /// Once, when another stage was entered.
    fn end(&mut self, _: &mut Shared) {}

    fn ease(&mut self, _: &mut Shared) -> Ease;

    fn on_facts(&mut self, _: &mut Shared, _: &News) -> Next;

    /// The store did what it was asked for; the other answers have handlers of the stages that ask for them.
    fn on_done(&mut self, _: &mut Shared, _: StoreCallKind, _: Generation) -> Next {
        Next::Stay
    }

    fn on_store_failed(
        &mut self,
        shared: &mut Shared,
        _: StoreCallKind,
        error: &StoreError,
    ) -> Next {
        shared.disk_failed(error, None);
        Next::Leave(Leave::Suspend)
    }

    /// A read met damage in an open generation. It counts when that is judged again.
    fn on_damaged(&mut self, _: Generation, _: &str) -> Next;

    /// An operator stopped the restore.
    fn on_cancel(&mut self, _: &mut Shared) -> Next;
}
