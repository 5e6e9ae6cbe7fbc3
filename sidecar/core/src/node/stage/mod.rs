//! What the stages of a node's life have in common, and how one follows another.
//!
//! A stage owns what belongs to it alone, and its handlers return what comes next: [`Node::transition`] is the only place
//! that changes the stage. What every stage has to think of has no default handler. So a new stage is a file with its
//! handlers, a variant of [`Stage`], and a line in each match over it.

mod asking;
mod closing;
mod decided;
mod fetching;
mod handlers;
mod opening;
mod preparing;
mod reading;
mod recording;
mod stopped;
mod suspended;
mod waiting;

use std::fmt::Debug;
use std::ops::{Deref, DerefMut};

use crate::phase::Phase;

use super::Node;
use super::event::Notice;
use super::shared::Shared;
use asking::Asking;
use closing::Closing;
use fetching::Fetching;
use handlers::Handlers;
pub(super) use handlers::{Ease, Leave, Next, Stays};
use opening::Opening;
use preparing::Preparing;
pub(super) use reading::{Reading, silence, silent};
use recording::Recording;
use stopped::Stopped;
use suspended::Suspended;
use waiting::Waiting;

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

impl Stage {
    /// Nothing is open, and the log is asked.
    pub(super) fn asking(shared: &Shared) -> Stage {
        Stage::Asking(Asking::new(shared.now))
    }

    /// The copy that is read into, or about to be.
    pub(super) fn reading(&self) -> Option<&Reading> {
        match self {
            Stage::Reading(reading) => Some(reading),
            Stage::Preparing(preparing) => preparing.reading(),
            Stage::Asking(_)
            | Stage::Opening(_)
            | Stage::Recording(_)
            | Stage::Fetching(_)
            | Stage::Waiting(_)
            | Stage::Suspended(_)
            | Stage::Closing(_)
            | Stage::Stopped(_) => None,
        }
    }
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

    /// Tells of the phase where it is another one than was told: after each step, for what comes next in the same event goes by
    /// it.
    pub(super) fn follow_phase(&mut self) {
        let next = self.phase();
        if self.shared.phase == next {
            return;
        }
        let before = std::mem::replace(&mut self.shared.phase, next.clone());
        assert!(before.may_become(&next), "{before} may not become {next}");
        let begins = next == Phase::Ready;
        self.shared.notice(Notice::Phase(next));
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
