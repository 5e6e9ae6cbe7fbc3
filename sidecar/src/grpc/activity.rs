//! What a connection is used for: how many calls are open on it, and for how long none was.
//!
//! Calls of somebody whom no rule of access knows keep a connection from being idle, but give it no right to its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::room::Held;

/// How long a connection that makes no call may stay. Callers that connect ahead of their first call connect again.
const FIRST_CALL_MAX: Duration = Duration::from_secs(20);

/// How long a connection may stay without a call between two. gRPC's clients connect again without telling anybody.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// How old a connection may be, whatever it is used for: what holds a place for ever should be asked for once in a
/// while. Calls that are open then are served to their end.
const AGE_MAX: Duration = Duration::from_secs(3_600);

/// A connection without a call for so long may have to make way for another.
const USELESS_AFTER: Duration = Duration::from_secs(1);

/// How long answers may wait to be sent while not one of them is taken.
const TAKE_MAX: Duration = Duration::from_secs(90);

/// What is known of the use of one connection.
pub(super) struct Activity {
    began: Instant,
    calls: Calls,
    /// Those of `calls` that the rules of access let in; without rules, all of them.
    known: Calls,
    /// Parts of answers that are not sent.
    unsent: AtomicUsize,
    /// Milliseconds after `began` when a part was sent last, or when the only one began to wait.
    took_ms: AtomicU64,
    leave: CancellationToken,
}

#[derive(Default)]
struct Calls {
    open: AtomicUsize,
    /// Milliseconds after the connection began, at least 1, when the last call ended; 0 before the first.
    ended_ms: AtomicU64,
}

/// A call that is open, until all references to it are gone: its handler's, and those of answers that are not sent.
pub(super) struct OpenCall {
    activity: Arc<Activity>,
    known: bool,
    _held: Option<Held>,
}

/// What a connection does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    NoCallYet,
    Calls,
    /// The time since the last call ended.
    Idle(Duration),
}

/// Why a connection should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WornOut {
    Silent,
    Idle,
    Old,
    /// Nobody takes its answers.
    Stuck,
}

/// How much less a connection is worth than others: the greatest is worth least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Uselessness {
    Idle(Duration),
    /// The time since it was accepted.
    Silent(Duration),
}

impl Activity {
    pub(super) fn new() -> Activity {
        Activity {
            began: Instant::now(),
            calls: Calls::default(),
            known: Calls::default(),
            unsent: AtomicUsize::new(0),
            took_ms: AtomicU64::new(0),
            leave: CancellationToken::new(),
        }
    }

    /// Counts a call until what is returned is gone. `known`: the rules of access let it in.
    pub(super) fn call(self: &Arc<Activity>, known: bool, held: Option<Held>) -> OpenCall {
        self.calls.begin();
        if known {
            self.known.begin();
        }
        OpenCall { activity: self.clone(), known, _held: held }
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Returns for how long nothing need be taken of the answers. None: it has been too long.
    fn left_to_take(&self, now: Instant) -> Option<Duration> {
        if self.unsent.load(Ordering::Acquire) == 0 {
            return Some(TAKE_MAX);
        }
        let took = self.began + Duration::from_millis(self.took_ms.load(Ordering::Relaxed));
        TAKE_MAX.checked_sub(now.saturating_duration_since(took))
    }

    pub(super) fn used(&self, now: Instant) -> Use {
        self.calls.used(self.began, now)
    }

    /// How useless the connection is. None: it is of use, or was a moment ago.
    pub(super) fn uselessness(&self, now: Instant) -> Option<Uselessness> {
        match self.known.used(self.began, now) {
            Use::NoCallYet => Some(Uselessness::Silent(now.saturating_duration_since(self.began))),
            Use::Idle(since) => (since >= USELESS_AFTER).then_some(Uselessness::Idle(since)),
            Use::Calls => None,
        }
    }

    /// Ends the connection: another one needs its place.
    pub(super) fn leave(&self) {
        self.leave.cancel();
    }

    pub(super) fn leaves(&self) -> bool {
        self.leave.is_cancelled()
    }

    pub(super) async fn told_to_leave(&self) {
        self.leave.cancelled().await;
    }

    /// Waits until the connection should end.
    pub(super) async fn worn_out(&self) -> WornOut {
        loop {
            let now = Instant::now();
            match self.judge(now) {
                Ok(left) => tokio::time::sleep(left).await,
                Err(why) => return why,
            }
        }
    }

    /// Returns the time until it must be judged again, or why it should end.
    fn judge(&self, now: Instant) -> Result<Duration, WornOut> {
        let age = now.saturating_duration_since(self.began);
        let left = match self.used(now) {
            Use::NoCallYet => FIRST_CALL_MAX.checked_sub(age).ok_or(WornOut::Silent)?,
            Use::Idle(since) => IDLE_MAX.checked_sub(since).ok_or(WornOut::Idle)?,
            // It is looked at often enough to see a call end, and whether its answers are taken.
            Use::Calls => self.left_to_take(now).ok_or(WornOut::Stuck)?,
        };
        // It is at least a moment: what is due this very millisecond must not be looked at without end.
        let left = left.max(Duration::from_millis(1));
        Ok(left.min(AGE_MAX.checked_sub(age).ok_or(WornOut::Old)?))
    }

    /// Waits until nobody takes the answers, however old the connection is.
    pub(super) async fn stuck(&self) {
        while let Some(left) = self.left_to_take(Instant::now()) {
            tokio::time::sleep(left.max(Duration::from_millis(1))).await;
        }
    }

    /// Waits until no call has been open for `quiet`. Those of strangers are waited for that long at most.
    pub(super) async fn quiet_for(&self, quiet: Duration) {
        let began = Instant::now();
        loop {
            let now = Instant::now();
            let used = match (self.used(now), self.known.used(self.began, now)) {
                (Use::Calls, Use::NoCallYet) => Use::Idle(now - began),
                (Use::Calls, Use::Idle(since)) => Use::Idle(since.min(now - began)),
                (used, _) => used,
            };
            let left = match used {
                Use::NoCallYet => return,
                Use::Calls => quiet,
                Use::Idle(since) if since >= quiet => return,
                Use::Idle(since) => quiet - since,
            };
            tokio::time::sleep(left).await;
        }
    }
}

impl Calls {
    fn begin(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self, now_ms: u64) {
        self.ended_ms.store(now_ms.max(1), Ordering::Relaxed);
        self.open.fetch_sub(1, Ordering::Release);
    }

    fn used(&self, began: Instant, now: Instant) -> Use {
        if self.open.load(Ordering::Acquire) > 0 {
            return Use::Calls;
        }
        match self.ended_ms.load(Ordering::Relaxed) {
            0 => Use::NoCallYet,
            ended => {
                let ended = began + Duration::from_millis(ended);
                Use::Idle(now.saturating_duration_since(ended))
            }
        }
    }
}

impl OpenCall {
    /// Counts a part of the call's answer that waits to be sent.
    pub(super) fn unsent(&self) {
        let Activity { unsent, took_ms, .. } = &*self.activity;
        // Whoever sees that something waits must not see since when something waited before.
        if unsent.load(Ordering::Acquire) == 0 {
            took_ms.store(self.activity.ms(), Ordering::Release);
        }
        unsent.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts a part that waited as sent, or given up.
    pub(super) fn sent(&self) {
        self.activity.took_ms.store(self.activity.ms(), Ordering::Relaxed);
        self.activity.unsent.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let now_ms = self.activity.ms();
        if self.known {
            self.activity.known.end(now_ms);
        }
        self.activity.calls.end(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn judged(activity: &Activity, after: Duration) -> Option<WornOut> {
        activity.judge(Instant::now() + after).err()
    }

    #[test]
    fn without_a_call_a_connection_ends_soon() {
        let activity = Activity::new();
        assert_eq!(judged(&activity, FIRST_CALL_MAX - SECOND), None);
        assert_eq!(judged(&activity, FIRST_CALL_MAX + SECOND), Some(WornOut::Silent));
    }

    #[test]
    fn a_call_keeps_it_and_its_end_begins_the_idle_time() {
        let activity = Arc::new(Activity::new());
        let call = activity.call(true, None);
        assert_eq!(activity.used(Instant::now()), Use::Calls);
        assert_eq!(judged(&activity, 2 * IDLE_MAX), None);
        drop(call);
        assert_eq!(judged(&activity, IDLE_MAX - SECOND), None);
        assert_eq!(judged(&activity, IDLE_MAX + SECOND), Some(WornOut::Idle));
    }

    #[test]
    fn answers_that_nobody_takes_end_it() {
        let activity = Arc::new(Activity::new());
        let call = activity.call(true, None);
        call.unsent();
        assert_eq!(judged(&activity, TAKE_MAX - SECOND), None);
        assert_eq!(judged(&activity, TAKE_MAX + SECOND), Some(WornOut::Stuck));
        call.sent();
        assert_eq!(judged(&activity, TAKE_MAX + SECOND), None);
    }

    #[test]
    fn an_old_connection_ends_whatever_it_is_used_for() {
        let activity = Arc::new(Activity::new());
        let _call = activity.call(true, None);
        assert_eq!(judged(&activity, AGE_MAX + SECOND), Some(WornOut::Old));
    }

    #[test]
    fn the_silent_make_way_before_the_idle_and_callers_never() {
        let (silent, idle, calls) =
            (Activity::new(), Arc::new(Activity::new()), Arc::new(Activity::new()));
        let _call = calls.call(true, None);
        drop(idle.call(true, None));
        let now = Instant::now();
        assert_eq!(idle.uselessness(now), None, "it was of use a moment ago");
        let later = now + 2 * USELESS_AFTER;
        assert!(silent.uselessness(later) > idle.uselessness(later));
        assert!(idle.uselessness(later).is_some());
        assert_eq!(calls.uselessness(later), None);
    }

    #[test]
    fn calls_of_strangers_give_no_right_to_a_place() {
        let activity = Arc::new(Activity::new());
        let strange = activity.call(false, None);
        let now = Instant::now();
        assert!(matches!(activity.uselessness(now), Some(Uselessness::Silent(_))));
        assert_eq!(judged(&activity, FIRST_CALL_MAX + SECOND), None, "it calls, all the same");
        drop(activity.call(true, None));
        assert!(activity.uselessness(now + 2 * USELESS_AFTER).is_some());
        drop(strange);
    }

    #[tokio::test]
    async fn it_is_quiet_when_the_last_call_has_ended() {
        let activity = Arc::new(Activity::new());
        activity.quiet_for(SECOND).await;
        let (call, same) = (activity.call(true, None), activity.clone());
        let quiet = tokio::spawn(async move { same.quiet_for(Duration::from_millis(5)).await });
        assert!(!quiet.is_finished());
        drop(call);
        quiet.await.expect("no panic");
    }
}
