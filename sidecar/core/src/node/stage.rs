//! What the stages of a node's life have in common, and how one follows another.
//!
//! A stage owns what belongs to it alone, and its handlers return what comes next: [`Node::transition`] is the only place
//! that changes the stage. What every stage has to think of has no default handler. So a new stage is a file with its
//! handlers, a variant of [`Stage`], and a line in each of its two matches.

use std::fmt::Debug;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use crate::gate::Gate;
use crate::lineage::EpochChain;
use crate::log::KafkaError;
use crate::offset::{Generation, Offset, Partition};
use crate::phase::Phase;
use crate::store::{StoreCallKind, StoreError};
use crate::topic::{LogFacts, TopicId};

use super::asking::Asking;
use super::closing::Closing;
use super::fetching::Fetching;
use super::opening::Opening;
use super::preparing::Preparing;
use super::reading::Reading;
use super::recording::Recording;
use super::shared::Shared;
use super::stopped::Stopped;
use super::suspended::Suspended;
use super::waiting::Waiting;
use super::{Node, Progress};

#[derive(Debug)]
pub(super) enum Stage {
    Asking(Asking),
    Opening(Opening),
    Recording(Recording),
    Preparing(Preparing),
    Reading(Box<Reading>),
    Fetching(Box<Fetching>),
    Waiting(Waiting),
    Suspended(Suspended),
    Closing(Closing),
    Stopped(Stopped),
}

impl Deref for Stage {
    type Target = dyn Handlers;

    fn deref(&self) -> &Self::Target {
        match self {
            Stage::Asking(stage) => stage,
            Stage::Opening(stage) => stage,
            Stage::Recording(stage) => stage,
            Stage::Preparing(stage) => stage,
            Stage::Reading(stage) => stage.as_ref(),
            Stage::Fetching(stage) => stage.as_ref(),
            Stage::Waiting(stage) => stage,
            Stage::Suspended(stage) => stage,
            Stage::Closing(stage) => stage,
            Stage::Stopped(stage) => stage,
        }
    }
}

impl DerefMut for Stage {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Stage::Asking(stage) => stage,
            Stage::Opening(stage) => stage,
            Stage::Recording(stage) => stage,
            Stage::Preparing(stage) => stage,
            Stage::Reading(stage) => stage.as_mut(),
            Stage::Fetching(stage) => stage.as_mut(),
            Stage::Waiting(stage) => stage,
            Stage::Suspended(stage) => stage,
            Stage::Closing(stage) => stage,
            Stage::Stopped(stage) => stage,
        }
    }
}

/// What follows when a stage has handled something.
#[derive(Debug)]
pub(super) enum Next {
    Stay,
    To(Box<Stage>),
    /// What was prepared is read into.
    Read,
    Leave(Leave),
}

impl Next {
    pub(super) fn to(stage: Stage) -> Next {
        Next::To(Box::new(stage))
    }
}

/// Why a stage ends before its time. Unexpected news never patches state in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Everything is closed without flushing, the log is asked, and it is decided anew from what is on disk.
    Reopen,
    /// The same after a pause: the disk failed. Reads go on as they can.
    Suspend,
    /// The same after a pause: the log no longer has what this copy read.
    Lose,
}

/// Goes on, or gives the stage up.
pub(super) type Stays = Result<(), Leave>;

impl From<Stays> for Next {
    fn from(stays: Stays) -> Next {
        match stays {
            Ok(()) => Next::Stay,
            Err(leave) => Next::Leave(leave),
        }
    }
}

/// An old generation that answers STALE reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) generation: Generation,
    pub(super) confirmed_at_ms: u64,
}

/// What readers see of the copy that the log is applied to.
pub(super) struct Shown {
    pub(super) live: bool,
    pub(super) exact: bool,
    /// Of the topic whose copy is served; none: of the topic that the log told of.
    pub(super) topic: Option<TopicId>,
    pub(super) positions: Vec<Offset>,
    pub(super) epochs: Arc<[EpochChain]>,
    pub(super) delete_retention_ms_min: u64,
}

impl Shown {
    /// While there is none: what the last one knew, for the tokens of those who read it.
    pub(super) fn last(gate: &Gate) -> Shown {
        Shown {
            live: false,
            exact: false,
            topic: None,
            positions: gate.positions.clone(),
            epochs: gate.epochs.clone(),
            delete_retention_ms_min: gate.delete_retention_ms_min,
        }
    }
}

/// The log's answer to `Describe`, and what it means.
#[derive(Debug)]
pub(super) struct News {
    pub(super) facts: LogFacts,
    pub(super) before: Option<LogFacts>,
    /// The question was asked before what it is wanted for by now.
    pub(super) superseded: bool,
}

/// How far a stage is on the way to an orderly end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ease {
    /// An answer is under way that it has to wait for.
    Busy,
    /// Something applied is not durable: worth a wait as long as the drain lasts.
    Unflushed,
    Idle,
}

/// What a stage tells of itself, and its handlers. What every stage has to think of has no default.
pub(super) trait Handlers {
    /// Where no refusal is in force and no operator has stopped the restore.
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

    /// The copy that is read into, or about to be.
    fn reading(&self) -> Option<&Reading> {
        None
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

impl Node {
    pub(super) fn transition(&mut self, next: Next) {
        let mut next = next;
        while let Some(stage) = self.follower(next) {
            let mut left = std::mem::replace(&mut self.stage, stage);
            self.follow_phase();
            left.end(&mut self.shared);
            next = self.stage.begin(&mut self.shared);
        }
        self.follow_phase();
    }

    fn follower(&mut self, next: Next) -> Option<Stage> {
        match next {
            Next::Stay => None,
            Next::To(stage) => Some(*stage),
            Next::Read => {
                let closing = Stage::Closing(Closing);
                let Stage::Preparing(prepared) = std::mem::replace(&mut self.stage, closing) else {
                    unreachable!("only what was prepared is read into")
                };
                self.shared.refusal = None;
                Some(Stage::Reading(prepared.reading))
            }
            Next::Leave(Leave::Reopen) => Some(Stage::Closing(Closing)),
            Next::Leave(Leave::Suspend) => {
                Some(self.suspended(self.shared.gate.exact, self.stage.phase()))
            }
            Next::Leave(Leave::Lose) => {
                self.shared.refusal = None;
                Some(self.suspended(false, Phase::Opening))
            }
        }
    }

    fn suspended(&mut self, exact: bool, phase: Phase) -> Stage {
        let served = self.stage.served();
        let until = self.shared.pause();
        Stage::Suspended(Suspended { until, served, exact, phase })
    }

    /// Tells of the phase where it is another one than was told.
    pub(super) fn follow_phase(&mut self) {
        let next = self.phase();
        if self.shared.phase == next {
            return;
        }
        let before = std::mem::replace(&mut self.shared.phase, next.clone());
        assert!(before.may_become(&next), "{before} may not become {next}");
        let begins = next == Phase::Ready;
        self.shared.notice(super::Notice::Phase(next));
        if begins {
            self.shared.begin_ready();
            self.stage.on_ready(&mut self.shared);
        }
    }

    fn phase(&self) -> Phase {
        match &self.stage {
            Stage::Stopped(stopped) => stopped.phase(),
            stage => self.shared.refused_phase().unwrap_or_else(|| stage.phase()),
        }
    }
}
