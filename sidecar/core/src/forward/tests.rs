//! What is forwarded, to whom, and for how long.

use super::*;
use crate::fixtures::token;
use crate::offset::{Offset, Partition};
use crate::phase::Cause;

const SECOND: Duration = Duration::from_secs(1);

/// A read that is given up this many seconds from the beginning of all.
fn forward(level: &ReadLevel, seconds: u32) -> Forward {
    let wait = Duration::from_secs(3_600);
    Forward::new(level, wait, Some(seconds * SECOND), Duration::ZERO)
}

/// Everybody whom the read is asked of, when nobody answers.
fn asked(peers: &Peers, now: Duration) -> Vec<usize> {
    let mut read = Forward::new(&ReadLevel::Local, Duration::ZERO, None, now);
    std::iter::from_fn(|| peers.next(&mut read, now)).map(|next| next.peer).collect()
}

#[test]
fn reads_of_a_copy_that_is_not_ready_yet_are_forwarded_and_nothing_else() {
    let levels = [ReadLevel::Local, ReadLevel::AtLeast(token(1)), ReadLevel::Latest];
    let may = |rejection: &Rejection| {
        let may: Vec<_> = levels.iter().map(|level| may_be_forwarded(level, rejection)).collect();
        assert!(may.iter().all(|one| *one == may[0]), "{rejection}");
        assert!(!may_be_forwarded(&ReadLevel::Stale, rejection), "{rejection}");
        may[0]
    };
    for phase in [Phase::Opening, Phase::Restoring(Cause::Empty), Phase::CatchingUp] {
        assert!(may(&Rejection::NotReady(phase)));
    }
    let lost =
        Refusal::LogIncomplete { partition: Partition(0), log_start: Offset(1), position: None };
    assert!(may(&Rejection::Refused(lost)));
    for rejection in [
        Rejection::Refused(Refusal::Cancelled),
        Rejection::Draining,
        Rejection::Overloaded,
        Rejection::TokenOfAnotherHistory,
        Rejection::TooStale { age_ms: 2, max_ms: 1 },
        Rejection::Deadline { stall: None },
        Rejection::Leaderless { partition: Partition(0) },
    ] {
        assert!(!may(&rejection), "{rejection}");
    }
}

#[test]
fn each_is_asked_once_and_whoever_answered_last_first() {
    let mut peers = Peers::new(3);
    assert_eq!(asked(&peers, SECOND), [0, 1, 2]);
    peers.answered(2);
    assert_eq!(asked(&peers, SECOND), [2, 0, 1]);
    assert_eq!(asked(&Peers::new(0), SECOND), []);
}

#[test]
fn whoever_failed_comes_last_until_it_answers_again() {
    let mut peers = Peers::new(3);
    peers.failed(1, 3 * SECOND);
    peers.failed(0, 4 * SECOND);
    assert_eq!(asked(&peers, 5 * SECOND), [2, 1, 0]);
    peers.failed(2, 5 * SECOND);
    assert_eq!(asked(&peers, 5 * SECOND), [1, 0, 2], "all failed: nobody is left out");
    peers.answered(0);
    assert_eq!(asked(&peers, 5 * SECOND), [0, 1, 2]);
}

#[test]
fn one_that_hangs_leaves_time_for_the_others() {
    let peers = Peers::new(3);
    let mut local = forward(&ReadLevel::Local, 60);
    let next = peers.next(&mut local, SECOND).map(|next| next.within);
    assert_eq!(next, Some(ANSWER_MAX), "its copy need not be waited for");
    let alone = Peers::new(1);
    let next = alone.next(&mut forward(&ReadLevel::Local, 60), SECOND).map(|next| next.within);
    assert_eq!(next, Some(ALL_MAX - SECOND), "there is nobody else to leave time for");

    let mut waits = forward(&ReadLevel::Latest, 13);
    let mut now = SECOND;
    for share in [4, 4, 4] {
        let next = peers.next(&mut waits, now).expect("time is left");
        assert_eq!(next.within, share * SECOND);
        now += next.within;
    }
    assert_eq!(peers.next(&mut waits, now), None);
}

#[test]
fn what_it_waits_for_bounds_it_also_without_a_deadline() {
    let until = |level, wait| Forward::new(&level, wait, None, SECOND).until;
    assert_eq!(until(ReadLevel::Latest, 7 * SECOND), 8 * SECOND + ANSWER_MAX);
    assert_eq!(until(ReadLevel::AtLeast(token(1)), Duration::ZERO), SECOND + ANSWER_MAX);
    assert_eq!(until(ReadLevel::Local, 7 * SECOND), SECOND + ALL_MAX);
}

#[test]
fn without_time_nobody_is_asked() {
    let peers = Peers::new(3);
    for level in [ReadLevel::Local, ReadLevel::Latest] {
        assert_eq!(peers.next(&mut forward(&level, 5), 5 * SECOND), None);
        assert_eq!(peers.next(&mut forward(&level, 5), 6 * SECOND), None);
    }
}
