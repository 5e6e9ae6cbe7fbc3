//! A question to the log that is asked again and again, at most one outstanding.

use std::time::Duration;

use crate::clock::Moment;
use crate::limits::Limits;

#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    outstanding: Option<Moment>,
    /// Monotonic; due at once at first.
    due: Duration,
    failures: u32,
    /// Wanted again as soon as the outstanding one, which began too early, is answered.
    again: bool,
    /// How many were asked so far; the outstanding one included.
    asked: u64,
}

impl Ask {
    /// Marks the question asked when it is due. True: send it.
    pub(super) fn ask(&mut self, now: Moment) -> bool {
        let send = self.outstanding.is_none() && now.mono >= self.due;
        if send {
            self.outstanding = Some(now);
            self.asked += 1;
        }
        send
    }

    /// The answer came: when its question was asked.
    pub(super) fn answered(&mut self, now: Moment, interval: Duration) -> Option<Moment> {
        self.failures = 0;
        let again = std::mem::take(&mut self.again);
        self.due = if again { now.mono } else { now.mono + interval };
        self.outstanding.take()
    }

    /// The outstanding question began before what it is wanted for.
    pub(super) fn superseded(&self) -> bool {
        self.again
    }

    /// Not due before `interval` from now.
    pub(super) fn rest(&mut self, now: Moment, interval: Duration) {
        self.due = now.mono + interval;
    }

    pub(super) fn failed(&mut self, now: Moment, limits: &Limits) {
        self.outstanding = None;
        self.due = now.mono + limits.retry_after(self.failures);
        self.failures = self.failures.saturating_add(1);
    }

    /// Wanted by something that an answer to an earlier question cannot serve.
    pub(super) fn hurry(&mut self) {
        match self.outstanding {
            Some(_) => self.again = true,
            None => self.due = Duration::ZERO,
        }
    }

    /// Wanted by something that needs no answer to a question from before `since`.
    pub(super) fn hurry_unless_since(&mut self, since: Duration) {
        if self.outstanding.is_none_or(|asked| asked.mono < since) {
            self.hurry();
        }
    }

    /// Due by then, unless it just failed.
    pub(super) fn by(&mut self, due: Duration) {
        if self.failures == 0 {
            self.due = self.due.min(due);
        }
    }

    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    pub(super) fn timer(&self) -> Option<Duration> {
        self.outstanding.is_none().then_some(self.due)
    }
}
