//! How fast a restore goes: measured over the last seconds in which somebody asked.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use outrigger_core::node::Progress;
use outrigger_proto::v1::RestoreProgress;

/// What "the last seconds" are.
const WINDOW: Duration = Duration::from_secs(5);
/// Questions that come faster add no point: it bounds their number.
const POINTS_APART_MIN: Duration = Duration::from_millis(250);

/// The points of one store's present restore.
#[derive(Default)]
pub(super) struct RestoreRate {
    /// Guards the points only; held for one question, never over an await, no other lock under it.
    points: Mutex<Points>,
}

#[derive(Default)]
struct Points {
    /// Of which restore they are.
    started: Duration,
    points: VecDeque<Point>,
}

/// How far a restore was.
#[derive(Clone, Copy)]
struct Point {
    mono: Duration,
    records: u64,
    offsets_read: u64,
}

/// What happened since a point.
struct Pace {
    millis: u128,
    records: u64,
    offsets: u64,
}

impl RestoreRate {
    /// `progress` was taken at `mono`; the restore began at `started_unix_ms`.
    pub(super) fn progress(
        &self,
        progress: &Progress,
        mono: Duration,
        started_unix_ms: u64,
    ) -> RestoreProgress {
        let mut points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = points.pace(progress, mono);
        RestoreProgress {
            started_unix_ms,
            records_read: progress.records,
            bytes_read: progress.bytes,
            records_per_second: pace.records_per_second(),
            fraction: fraction(progress.offsets_read, progress.offsets),
            eta_seconds: pace.eta_seconds(progress.offsets.saturating_sub(progress.offsets_read)),
        }
    }
}

impl Points {
    fn pace(&mut self, progress: &Progress, mono: Duration) -> Pace {
        if self.started != progress.started {
            *self = Points { started: progress.started, points: VecDeque::new() };
        }
        while self.points.front().is_some_and(|point| point.mono + WINDOW < mono) {
            self.points.pop_front();
        }
        // Until the window has a point that is not of this very moment: since the start.
        let start = Point { mono: progress.started, records: 0, offsets_read: 0 };
        let since =
            self.points.front().copied().filter(|point| point.mono + POINTS_APART_MIN <= mono);
        let since = since.unwrap_or(start);
        if self.points.back().is_none_or(|last| last.mono + POINTS_APART_MIN <= mono) {
            let Progress { records, offsets_read, .. } = *progress;
            self.points.push_back(Point { mono, records, offsets_read });
        }
        Pace {
            millis: mono.saturating_sub(since.mono).as_millis(),
            records: progress.records.saturating_sub(since.records),
            offsets: progress.offsets_read.saturating_sub(since.offsets_read),
        }
    }
}

impl Pace {
    fn records_per_second(&self) -> u64 {
        let rate = u128::from(self.records) * 1_000 / self.millis.max(1);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// Absent while nothing moves.
    fn eta_seconds(&self, offsets_left: u64) -> Option<u64> {
        let millis =
            (u128::from(offsets_left) * self.millis).checked_div(u128::from(self.offsets))?;
        u64::try_from(millis.div_ceil(1_000)).ok()
    }
}

/// Absent when there was nothing to read.
fn fraction(read: u64, of: u64) -> Option<f64> {
    const PARTS: u32 = 1_000_000;
    let parts = (u128::from(read.min(of)) * u128::from(PARTS)).checked_div(u128::from(of))?;
    let parts = u32::try_from(parts).expect("a part is not above the whole");
    Some(f64::from(parts) / f64::from(PARTS))
}

#[cfg(test)]
mod tests {
    use outrigger_core::phase::Cause;

    use super::*;

    fn at(seconds: u64, records: u64, offsets_read: u64) -> (Progress, Duration) {
        let started = Duration::from_secs(100);
        let progress = Progress {
            cause: Cause::Empty,
            started,
            records,
            bytes: records * 116,
            offsets: 1_000,
            offsets_read,
        };
        (progress, started + Duration::from_secs(seconds))
    }

    fn ask(rate: &RestoreRate, (progress, mono): (Progress, Duration)) -> RestoreProgress {
        rate.progress(&progress, mono, 7)
    }

    #[test]
    fn at_first_the_rate_is_that_of_the_whole_restore() {
        let first = ask(&RestoreRate::default(), at(10, 500, 250));
        assert_eq!((first.records_per_second, first.eta_seconds), (50, Some(30)));
        assert_eq!(first.fraction, Some(0.25));
        assert_eq!((first.started_unix_ms, first.records_read, first.bytes_read), (7, 500, 58_000));
    }

    #[test]
    fn then_it_is_that_of_the_last_seconds() {
        let rate = RestoreRate::default();
        ask(&rate, at(10, 500, 250));
        ask(&rate, at(12, 2_500, 300));
        let third = ask(&rate, at(14, 4_500, 350));
        assert_eq!((third.records_per_second, third.eta_seconds), (1_000, Some(26)));
        let later = ask(&rate, at(18, 4_500, 350));
        assert_eq!((later.records_per_second, later.eta_seconds), (0, None));
    }

    #[test]
    fn another_restore_begins_anew() {
        let rate = RestoreRate::default();
        ask(&rate, at(10, 5_000, 900));
        let (mut progress, _) = at(0, 10, 10);
        progress.started = Duration::from_secs(200);
        let fresh = ask(&rate, (progress, Duration::from_secs(202)));
        assert_eq!((fresh.records_per_second, fresh.eta_seconds), (5, Some(198)));
    }

    #[test]
    fn what_cannot_be_estimated_is_absent() {
        let rate = RestoreRate::default();
        let start = ask(&rate, at(0, 0, 0));
        assert_eq!(
            (start.records_per_second, start.eta_seconds, start.fraction),
            (0, None, Some(0.0))
        );
        let (mut nothing, mono) = at(1, 0, 0);
        nothing.offsets = 0;
        assert_eq!(ask(&rate, (nothing, mono)).fraction, None);
    }
}
