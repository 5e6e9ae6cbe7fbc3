//! How long the disk of a store takes for the calls of its node, for whoever shows it. Only the store's disk thread tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outrigger_core::store::StoreCallKind;

/// The longest call is one of this window, or of the one before it.
const WINDOW: Duration = Duration::from_secs(30);

/// A clone is a reference to the same.
#[derive(Clone, Debug)]
pub(super) struct DiskTimes(Arc<Times>);

#[derive(Debug)]
struct Times {
    began: Instant,
    /// Milliseconds from `began` to when the call under way was made, plus one; 0: there is none. Calls are carried out in
    /// order, so that no older one is open.
    open: AtomicU64,
    apply: Longest,
    flush: Longest,
}

/// The longest of two windows, in microseconds, each below the number of its window.
#[derive(Debug, Default)]
struct Longest([AtomicU64; 2]);

/// What is shown of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskShown {
    /// How long ago the oldest call was made that is not answered; none: all are.
    pub open: Option<Duration>,
    /// The longest Apply and the longest Flush of the last 30 to 60 s; none: there was none.
    pub apply_max: Option<Duration>,
    pub flush_max: Option<Duration>,
}

impl DiskTimes {
    pub(super) fn new() -> DiskTimes {
        DiskTimes(Arc::new(Times {
            began: Instant::now(),
            open: AtomicU64::new(0),
            apply: Longest::default(),
            flush: Longest::default(),
        }))
    }

    /// A call that was made then is carried out from now on.
    pub(super) fn begins(&self, made: Instant) {
        let since = made.saturating_duration_since(self.0.began).as_millis();
        let since = u64::try_from(since).expect("2^64 ms are 584 million years");
        self.0.open.store(since + 1, Ordering::Relaxed);
    }

    /// It is answered after that time.
    pub(super) fn answered(&self, kind: StoreCallKind, took: Duration) {
        self.0.open.store(0, Ordering::Relaxed);
        let window = self.window();
        match kind {
            StoreCallKind::Apply => self.0.apply.record(window, took),
            StoreCallKind::Flush => self.0.flush.record(window, took),
            StoreCallKind::Open
            | StoreCallKind::Look
            | StoreCallKind::Create
            | StoreCallKind::Adopt
            | StoreCallKind::Confirm
            | StoreCallKind::Activate
            | StoreCallKind::Quarantine
            | StoreCallKind::Remove
            | StoreCallKind::Close
            | StoreCallKind::Pin
            | StoreCallKind::Unpin => {}
        }
    }

    pub(super) fn shown(&self) -> DiskShown {
        let since = self.0.open.load(Ordering::Relaxed).checked_sub(1);
        let open =
            since.map(|since| self.0.began.elapsed().saturating_sub(Duration::from_millis(since)));
        let window = self.window();
        DiskShown { open, apply_max: self.0.apply.of(window), flush_max: self.0.flush.of(window) }
    }

    /// Returns the number of the window that is now. The first one is 1: 0 is none.
    fn window(&self) -> u32 {
        let number = self.0.began.elapsed().as_secs() / WINDOW.as_secs();
        u32::try_from(number).unwrap_or(u32::MAX - 1) + 1
    }
}

impl Longest {
    fn record(&self, window: u32, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let slot = self.slot(window);
        let (of, longest) = halves(slot.load(Ordering::Relaxed));
        if of != window || micros > longest {
            slot.store(u64::from(window) << 32 | u64::from(micros), Ordering::Relaxed);
        }
    }

    fn of(&self, window: u32) -> Option<Duration> {
        let both = [window, window - 1].into_iter().filter_map(|number| {
            let (of, longest) = halves(self.slot(number).load(Ordering::Relaxed));
            (of == number && of > 0).then_some(longest)
        });
        both.max().map(|micros| Duration::from_micros(micros.into()))
    }

    fn slot(&self, window: u32) -> &AtomicU64 {
        if window.is_multiple_of(2) { &self.0[0] } else { &self.0[1] }
    }
}

fn halves(packed: u64) -> (u32, u32) {
    let half = |bits| u32::try_from(bits).expect("32 bits of 64");
    (half(packed >> 32), half(packed & 0xffff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_is_of_this_window_or_the_one_before() {
        let longest = Longest::default();
        let micros = |window| longest.of(window).map(|longest| longest.as_micros());
        assert_eq!(micros(1), None);
        for took in [7, 30, 9] {
            longest.record(1, Duration::from_micros(took));
        }
        assert_eq!((micros(1), micros(2), micros(3)), (Some(30), Some(30), None));
        longest.record(2, Duration::from_micros(8));
        assert_eq!((micros(2), micros(3)), (Some(30), Some(8)));
        longest.record(3, Duration::from_secs(10_000));
        assert_eq!(micros(3), Some(u128::from(u32::MAX)), "no more can be told");
    }

    #[test]
    fn a_call_is_open_from_when_it_was_made_until_it_is_answered() {
        let times = DiskTimes::new();
        assert_eq!(times.shown(), DiskShown::default());
        times.begins(Instant::now());
        assert!(times.shown().open.is_some());
        times.answered(StoreCallKind::Flush, Duration::from_micros(250));
        let flush_max = Some(Duration::from_micros(250));
        assert_eq!(times.shown(), DiskShown { open: None, apply_max: None, flush_max });
    }
}
