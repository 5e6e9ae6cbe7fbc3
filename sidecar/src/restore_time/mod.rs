//! How fast a restore goes, measured over the last seconds, and how long it will take.
//!
//! Bytes count. What a peer gives is known; what is left of a log is not, but estimated from its [`Density`], without which
//! nothing is said about the time to go.

mod density;
mod measure;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use outrigger_core::node::{PartitionStatus, Progress, Source, Status};
use outrigger_core::offset::Offset;
use outrigger_core::peer::Transfer;
use outrigger_core::phase::{Cause, Phase};

pub use density::{Density, Sample, Sampler};
pub(crate) use measure::Measurer;

/// The length of "the last seconds".
const WINDOW: Duration = Duration::from_secs(5);
/// The least time between two points: looking more often adds none, which bounds their number.
const POINTS_APART_MIN: Duration = Duration::from_millis(250);

/// A restore that is over sooner is not worth a sample of the log.
const SAMPLED_AFTER: Duration = Duration::from_secs(1);

/// What is known of one store's present restore.
#[derive(Default)]
pub(crate) struct RestoreTime {
    /// What was measured. The lock guards nothing else; it is held for one question, never over an await, with no other
    /// lock under it.
    measured: Mutex<Measured>,
}

#[derive(Default)]
struct Measured {
    /// When the restore that is measured started.
    started: Duration,
    points: VecDeque<Point>,
    /// When the restore started that they were made for, and one for each partition.
    densities: Option<(Duration, Vec<Density>)>,
    earlier: Earlier,
    /// All that the log gives this restore, what it gave earlier included; 0 until it is known.
    total: u64,
}

/// What the log gave a restore before it was interrupted and resumed.
#[derive(Clone, Copy, Debug)]
enum Earlier {
    Bytes(u64),
    /// The difference between `total` and what is left: it is known as soon as what is left is.
    Of {
        total: u64,
    },
}

impl Default for Earlier {
    fn default() -> Earlier {
        Earlier::Bytes(0)
    }
}

/// How far a restore was.
#[derive(Clone, Copy)]
struct Point {
    mono: Duration,
    records: u64,
    /// Bytes of keys and values, or of a peer's files.
    bytes: u64,
}

/// What happened since a point.
struct Pace {
    millis: u128,
    records: u64,
    bytes: u64,
}

/// What is told of a restore that runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) records_per_second: u64,
    /// The fraction of its bytes that is done, below 1. None while it is not known how many there are.
    pub(crate) fraction: Option<f64>,
    /// None while that is not known, or while nothing moves.
    pub(crate) seconds_to_go: Option<u64>,
}

/// Returns the restore that a status tells of, while it runs. A node that refuses restores only when a peer gives.
pub(crate) fn running(status: &Status) -> Option<&Progress> {
    let progress = status.progress.as_ref()?;
    let runs = match (&status.phase, &progress.source) {
        (Phase::Restoring(_) | Phase::CatchingUp, Source::Log | Source::Peer(_)) => true,
        (Phase::Refused(_), Source::Peer(transfer)) => transfer.is_some(),
        (Phase::Refused(_), Source::Log) | (Phase::Opening | Phase::Ready | Phase::Stopped, _) => {
            false
        }
    };
    runs.then_some(progress)
}

impl RestoreTime {
    pub(crate) fn estimate(&self, status: &Status, progress: &Progress) -> Estimate {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.is_of(progress.started, progress.cause);
        let pace = measured.pace(progress, status.mono);
        let left = match &progress.source {
            Source::Log => measured.bytes_left(&status.partitions),
            Source::Peer(transfer) => {
                let left = |transfer: &Transfer| transfer.bytes_total - transfer.bytes;
                transfer.as_ref().map(left).map(|left| left.max(1))
            }
        };
        Estimate {
            records_per_second: pace.records_per_second(),
            fraction: left.map(|left| fraction(measured.done(progress, left), left)),
            seconds_to_go: left.and_then(|left| pace.seconds_to_go(left)),
        }
    }

    /// Returns the restore whose log is to be sampled now, by its start, and the range of each partition.
    fn unsampled(&self, status: &Status) -> Option<(Duration, Vec<Range<Offset>>)> {
        let Progress { started, source, .. } = running(status)?;
        let (started, Source::Log) = (*started, source) else { return None };
        let measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let known = measured.densities.as_ref().is_some_and(|(of, _)| *of == started);
        let young = status.mono.saturating_sub(started) < SAMPLED_AFTER;
        let range = |partition: &PartitionStatus| partition.applied..partition.target;
        (!known && !young).then(|| (started, status.partitions.iter().map(range).collect()))
    }

    fn sampled(&self, started: Duration, densities: Vec<Density>) {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.densities = Some((started, densities));
    }
}

impl Measured {
    /// Forgets another restore, but not one that this one resumes.
    fn is_of(&mut self, started: Duration, cause: Cause) {
        if self.started == started {
            return;
        }
        let before = std::mem::take(self);
        self.started = started;
        let goes_on = cause == Cause::Unfinished;
        if goes_on {
            self.earlier = Earlier::Of { total: before.total };
        }
        self.densities = before.densities.filter(|(of, _)| goes_on || *of == started);
    }

    /// Returns the bytes that a restore has which still lacks `left` bytes.
    fn done(&mut self, progress: &Progress, left: u64) -> u64 {
        let read = bytes(progress);
        if matches!(progress.source, Source::Peer(_)) {
            return read;
        }
        let earlier = match self.earlier {
            Earlier::Bytes(bytes) => bytes,
            Earlier::Of { total } => total.saturating_sub(read.saturating_add(left)),
        };
        self.earlier = Earlier::Bytes(earlier);
        let done = earlier.saturating_add(read);
        self.total = done.saturating_add(left);
        done
    }

    fn pace(&mut self, progress: &Progress, mono: Duration) -> Pace {
        while self.points.front().is_some_and(|point| point.mono + WINDOW < mono) {
            self.points.pop_front();
        }
        // The pace is that since the start, until the window has a point that is not of this very moment.
        let start = match progress.source {
            Source::Log => Point { mono: progress.started, records: 0, bytes: 0 },
            // It may have resumed with what came before the start.
            Source::Peer(_) => Point { mono, records: progress.records, bytes: bytes(progress) },
        };
        let since =
            self.points.front().copied().filter(|point| point.mono + POINTS_APART_MIN <= mono);
        let since = since.unwrap_or(start);
        if self.points.back().is_none_or(|last| last.mono + POINTS_APART_MIN <= mono) {
            let (records, bytes) = (progress.records, bytes(progress));
            self.points.push_back(Point { mono, records, bytes });
        }
        Pace {
            millis: mono.saturating_sub(since.mono).as_millis(),
            records: progress.records.saturating_sub(since.records),
            bytes: bytes(progress).saturating_sub(since.bytes),
        }
    }

    /// Returns the bytes left until every partition has reached its target and is exact. They are never 0: a restore
    /// that runs is not over.
    fn bytes_left(&self, partitions: &[PartitionStatus]) -> Option<u64> {
        let (_, densities) =
            self.densities.as_ref().filter(|(_, known)| known.len() == partitions.len())?;
        let left = densities.iter().zip(partitions).map(|(density, partition)| {
            density.bytes(partition.applied..partition.target.max(partition.exact_from))
        });
        Some(left.fold(0, u64::saturating_add).max(1))
    }
}

impl Pace {
    fn records_per_second(&self) -> u64 {
        let speed = u128::from(self.records) * 1_000 / self.millis.max(1);
        u64::try_from(speed).unwrap_or(u64::MAX)
    }

    /// Returns the seconds to go; none while nothing moves.
    fn seconds_to_go(&self, left: u64) -> Option<u64> {
        let millis = (u128::from(left) * self.millis).checked_div(u128::from(self.bytes))?;
        u64::try_from(millis.div_ceil(1_000)).ok()
    }
}

/// Returns what the source has given so far.
fn bytes(progress: &Progress) -> u64 {
    match &progress.source {
        Source::Log => progress.bytes,
        Source::Peer(transfer) => transfer.as_ref().map_or(0, |transfer| transfer.bytes),
    }
}

/// Returns the fraction, below 1: it is rounded down, and something is left.
fn fraction(read: u64, left: u64) -> f64 {
    const PARTS: u32 = 1_000_000;
    let whole = (u128::from(read) + u128::from(left)).max(1);
    let parts = u128::from(read) * u128::from(PARTS) / whole;
    let parts = u32::try_from(parts).expect("a part is not above the whole");
    f64::from(parts.min(PARTS - 1)) / f64::from(PARTS)
}

#[cfg(test)]
mod tests {
    use outrigger_core::phase::Cause;

    use super::*;
    use crate::fixtures::ready;

    const STARTED: Duration = Duration::from_secs(100);

    /// Returns the status of a restore of one partition with 1,000 offsets, which has read `records` records up to
    /// `position` by `seconds` seconds after its start.
    fn at(seconds: u64, records: u64, position: u64) -> Status {
        let mut partition = ready().partitions[0].clone();
        partition.applied = Offset(position);
        partition.target = Offset(1_000);
        Status {
            phase: Phase::Restoring(Cause::Empty),
            partitions: vec![partition],
            progress: Some(Progress {
                cause: Cause::Empty,
                started: STARTED,
                records,
                bytes: records * 100,
                source: Source::Log,
            }),
            mono: STARTED + Duration::from_secs(seconds),
            ..ready()
        }
    }

    fn ask(time: &RestoreTime, status: &Status) -> Estimate {
        time.estimate(status, running(status).unwrap())
    }

    /// Samples a log of 500 records at the end of its offsets.
    fn sampled() -> RestoreTime {
        let time = RestoreTime::default();
        let (started, ranges) = time.unsampled(&at(1, 0, 0)).unwrap();
        let mut density = Density::new(ranges[0].clone(), 1);
        let sample = Sample { first: Offset(500), end: Offset(510), bytes: 1_000 };
        density.add(Offset(0), sample);
        time.sampled(started, vec![density]);
        time
    }

    #[test]
    fn at_first_the_speed_is_that_of_the_whole_restore() {
        let first = ask(&sampled(), &at(10, 200, 700));
        assert_eq!((first.records_per_second, first.seconds_to_go), (20, Some(15)));
        assert_eq!(first.fraction, Some(0.4), "of the bytes, whatever the offsets say");
    }

    #[test]
    fn then_it_is_that_of_the_last_seconds() {
        let time = sampled();
        ask(&time, &at(10, 100, 600));
        ask(&time, &at(12, 200, 700));
        let third = ask(&time, &at(14, 300, 800));
        assert_eq!((third.records_per_second, third.seconds_to_go), (50, Some(4)));
        let later = ask(&time, &at(18, 300, 800));
        assert_eq!((later.records_per_second, later.seconds_to_go), (0, None));
    }

    #[test]
    fn another_restore_begins_anew() {
        let time = sampled();
        ask(&time, &at(10, 100, 600));
        let mut another = at(102, 10, 10);
        another.progress.as_mut().unwrap().started = Duration::from_secs(200);
        let fresh = ask(&time, &another);
        assert_eq!(
            (fresh.records_per_second, fresh.seconds_to_go, fresh.fraction),
            (5, None, None)
        );
        assert!(time.unsampled(&another).is_some(), "its log is sampled again");
    }

    #[test]
    fn a_restore_that_goes_on_shows_what_it_had_before_at_once() {
        let time = sampled();
        assert_eq!(ask(&time, &at(10, 250, 750)).fraction, Some(0.5));
        let mut again = at(102, 0, 740);
        let progress = again.progress.as_mut().unwrap();
        (progress.started, progress.cause) = (Duration::from_secs(200), Cause::Unfinished);
        again.phase = Phase::Restoring(Cause::Unfinished);
        assert_eq!(ask(&time, &again).fraction, Some(0.48), "ten records were not on disk");
        assert!(time.unsampled(&again).is_some(), "the sample is for other offsets");
        let progress = again.progress.as_mut().unwrap();
        (progress.records, progress.bytes) = (130, 13_000);
        again.partitions[0].applied = Offset(870);
        assert_eq!(ask(&time, &again).fraction, Some(0.74));
    }

    #[test]
    fn what_cannot_be_told_is_absent() {
        let unknown = ask(&RestoreTime::default(), &at(10, 200, 700));
        assert_eq!((unknown.seconds_to_go, unknown.fraction), (None, None));
        let standing = ask(&sampled(), &at(1, 0, 0));
        assert_eq!((standing.seconds_to_go, standing.fraction), (None, Some(0.0)));
    }

    #[test]
    fn a_restore_that_runs_is_never_done() {
        let progress = ask(&sampled(), &at(10, 500, 1_000));
        assert!(progress.fraction.is_some_and(|fraction| fraction < 1.0), "{progress:?}");
        let mut inexact = at(10, 500, 1_000);
        inexact.phase = Phase::CatchingUp;
        inexact.partitions[0].exact_from = Offset(1_250);
        assert_eq!(ask(&sampled(), &inexact).seconds_to_go, Some(5), "as far as it must read");
    }

    #[test]
    fn a_copy_from_a_peer_is_counted_in_its_bytes() {
        let given = |seconds, bytes| {
            let mut status = at(seconds, 0, 0);
            status.partitions.clear();
            let transfer = Transfer { peer: "http://b:1".to_owned(), bytes, bytes_total: 400 };
            status.progress.as_mut().unwrap().source = Source::Peer(Some(transfer));
            status
        };
        let time = RestoreTime::default();
        let resumed = ask(&time, &given(0, 60));
        assert_eq!((resumed.fraction, resumed.seconds_to_go), (Some(0.15), None));
        let told = ask(&time, &given(4, 100));
        assert_eq!((told.fraction, told.seconds_to_go), (Some(0.25), Some(30)));
        assert!(time.unsampled(&given(4, 100)).is_none(), "no log is read");
    }

    #[test]
    fn only_a_restore_that_takes_a_while_is_worth_a_look_and_only_one() {
        assert!(RestoreTime::default().unsampled(&at(0, 0, 0)).is_none());
        assert!(RestoreTime::default().unsampled(&ready()).is_none());
        assert!(sampled().unsampled(&at(2, 1, 501)).is_none());
    }
}
