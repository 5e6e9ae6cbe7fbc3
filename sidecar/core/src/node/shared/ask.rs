//! A question to the log that is asked again and again, at most one outstanding.

use std::time::Duration;

use crate::clock::Moment;
use crate::limits::Limits;

#[derive(Clone, Debug, Default)]
pub(in crate::node) struct Ask {
    outstanding: Option<Moment>,
    /// Monotonic; due at once at first.
    due: Duration,
    failures: u32,
    /// The question is wanted again as soon as the outstanding one, which was asked too early, is answered.
    again: bool,
    /// How many were asked so far, the outstanding one included.
    asked: u64,
}

impl Ask {
    /// Whether the question is due, and is to be sent: it counts as asked then.
    pub(in crate::node) fn ask(&mut self, now: Moment) -> bool {
        let send = self.outstanding.is_none() && now.mono >= self.due;
        if send {
            self.outstanding = Some(now);
            self.again = false;
            self.asked += 1;
        }
        send
    }

    /// The answer came. Returns when its question was asked.
    pub(in crate::node) fn answered(&mut self, now: Moment, interval: Duration) -> Option<Moment> {
        self.failures = 0;
        let again = std::mem::take(&mut self.again);
        self.due = if again { now.mono } else { now.mono + interval };
        self.outstanding.take()
    }

    /// Whether the outstanding question was asked before what it is wanted for by now.
    pub(in crate::node) fn superseded(&self) -> bool {
        self.again
    }

    /// The question is not due before `interval` has passed.
    pub(in crate::node) fn rest(&mut self, now: Moment, interval: Duration) {
        self.due = now.mono + interval;
    }

    pub(in crate::node) fn failed(&mut self, now: Moment, limits: &Limits) {
        self.outstanding = None;
        self.due = now.mono + limits.retry_after(self.failures);
        self.failures = self.failures.saturating_add(1);
    }

    /// Something wants the question that an answer to an earlier one cannot serve.
    pub(in crate::node) fn hurry(&mut self) {
        match self.outstanding {
            Some(_) => self.again = true,
            None => self.due = Duration::ZERO,
        }
    }

    /// Something wants the question, and no answer to one from before `since` serves it.
    pub(in crate::node) fn hurry_unless_since(&mut self, since: Duration) {
        if self.outstanding.is_none_or(|asked| asked.mono < since) {
            self.hurry();
        }
    }

    /// The question is due at `due` at the latest, unless it just failed.
    pub(in crate::node) fn by(&mut self, due: Duration) {
        if self.failures == 0 {
            self.due = self.due.min(due);
        }
    }

    pub(in crate::node) fn asked(&self) -> u64 {
        self.asked
    }

    pub(in crate::node) fn timer(&self) -> Option<Duration> {
        self.outstanding.is_none().then_some(self.due)
    }
}
