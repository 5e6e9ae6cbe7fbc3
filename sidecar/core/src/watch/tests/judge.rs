//! Which points a watch may continue from.

use super::super::judge::{Judgement, judge};
use super::super::place::Place;
use super::super::point::Lost;
use super::*;
use crate::fixtures::OTHER_TOPIC;

const A: Option<&[u8]> = Some(b"a");

/// The ring has [2, 6); epoch 4 begins at 4.
fn copy() -> Copy {
    let mut copy = Copy::empty();
    copy.reopen(vec![Lineage::empty(0, DAY_MS).read_to(2).of_epochs(&[(3, 0)])]);
    copy.write(&[(2, 3, b"k", A), (3, 3, b"k", A)]);
    copy.write(&[(4, 4, b"k", A), (5, 4, b"k", A)]);
    copy
}

fn judged_after(copy: &mut Copy, point: &Point, away: Duration) -> Judgement {
    let places = Place::all_of(point, copy.now);
    copy.pass(away);
    judge(point.token.topic, &places, None, &copy.sight(&Limits::PRODUCTION))
}

fn judged(point: &Point) -> Judgement {
    judged_after(&mut copy(), point, Duration::ZERO)
}

#[test]
fn a_point_in_the_ring_is_gone_on_from() {
    for (at, epoch) in [(2, 3), (3, 3), (4, 3), (5, 4), (6, 4)] {
        assert_eq!(judged(&point(&[(at, Some(epoch))])), Judgement::Resume, "{at}");
    }
}

#[test]
fn one_beyond_the_copy_waits_and_one_below_the_ring_is_left_to_the_log() {
    assert_eq!(judged(&point(&[(7, Some(4))])), Judgement::Wait);
    assert_eq!(judged(&point(&[(1, Some(3))])), Judgement::Resume);
}

#[test]
fn one_of_another_topic_or_of_other_partitions_is_lost() {
    let mut other = point(&[(4, Some(3))]);
    other.token.topic = OTHER_TOPIC;
    assert_eq!(judged(&other), Judgement::Lost(Lost::Topic));
    assert_eq!(judged(&point(&[(4, Some(3)), (0, None)])), Judgement::Lost(Lost::Topic));
}

/// What was delivered has a hole, for the sake of a record that the log lost before it came. What the hole hid is in the log
/// again, and below the place.
#[test]
fn a_place_that_is_not_exact_is_not_gone_on_from_when_the_log_is_read_anew() {
    let mut copy = Copy::empty();
    copy.write(&[(0, 5, b"a", A)]);
    let holed = batch(Partition(0), Offset(1), &[(5, 5, b"k", A)]).finish(Offset(10));
    copy.apply(holed);
    let mut place = Place::at_end_of(&copy.ring.lanes()[0], CONFIRMED_MS, copy.now);
    assert_eq!((place.at, place.exact_from), (Offset(6), Offset(10)));
    copy.reopen(vec![Lineage::empty(CONFIRMED_MS, DAY_MS)]);
    copy.write(&[(0, 5, b"a", A), (3, 5, b"hidden", A), (5, 5, b"k", A)]);
    copy.write(&[(6, 6, b"k", A), (11, 6, b"k", A)]);
    let judged = |copy: &Copy, place: &Place| {
        judge(TOPIC, std::slice::from_ref(place), None, &copy.sight(&Limits::PRODUCTION))
    };
    assert_eq!(judged(&copy, &place), Judgement::Lost(Lost::History));
    place.exact_from = place.at;
    assert_eq!(judged(&copy, &place), Judgement::Resume, "nothing is hidden from it");
}

/// If the last two were accepted, a watch would continue in a log that lost what the point saw.
#[test]
fn one_of_another_history_is_lost() {
    for (at, epoch) in [(5, 3), (7, 3), (4, 2), (6, 5)] {
        assert_eq!(judged(&point(&[(at, Some(epoch))])), Judgement::Lost(Lost::History), "{at}");
    }
    assert_eq!(judged(&point(&[(4, None)])), Judgement::Lost(Lost::History));
}

#[test]
fn one_as_old_as_tombstones_live_is_lost() {
    let young = point(&[(4, Some(3))]);
    let lives = Limits::PRODUCTION.trusted(DAY_MS);
    let just = Duration::from_millis(1);
    assert_eq!(judged_after(&mut copy(), &young, lives - just), Judgement::Resume);
    assert_eq!(judged_after(&mut copy(), &young, lives), Judgement::Lost(Lost::Horizon));
    let never = Point { confirmed_at_ms: 0, ..young.clone() };
    assert_eq!(judged(&never), Judgement::Lost(Lost::Horizon));
}

/// Clocks of two nodes may differ by the margin; and one that is set back makes nothing young.
#[test]
fn a_date_that_is_still_to_come_proves_nothing() {
    let margin_ms = Limits::PRODUCTION.margin_ms(DAY_MS);
    let ahead = |ms: u64| Point { confirmed_at_ms: CONFIRMED_MS + ms, ..point(&[(4, Some(3))]) };
    assert_eq!(judged(&ahead(margin_ms)), Judgement::Resume);
    assert_eq!(judged(&ahead(margin_ms + 1)), Judgement::Lost(Lost::Horizon));
    let mut copy = copy();
    let places = Place::all_of(&ahead(0), copy.now);
    copy.now.mono += Limits::PRODUCTION.trusted(DAY_MS);
    let judged = judge(TOPIC, &places, None, &copy.sight(&Limits::PRODUCTION));
    assert_eq!(judged, Judgement::Lost(Lost::Horizon));
}

/// A copy that is begun after a retention was lowered and raised again knows nothing of it.
#[test]
fn a_retention_that_was_heard_of_since_the_confirmation_counts() {
    let mut copy = copy();
    let just = Duration::from_millis(1);
    let hear = |copy: &mut Copy, delete_retention_ms| {
        let at = copy.now.mono;
        copy.ring.take(RingNews::Retention { delete_retention_ms, at });
        copy.pass(just);
    };
    hear(&mut copy, 1_000);
    let before = point(&[(4, Some(3))]);
    let places = Place::all_of(&before, copy.now);
    hear(&mut copy, DAY_MS);
    copy.pass(Duration::from_secs(2));
    let confirmed_at_ms = copy.now.wall_ms;
    let after = Place::all_of(&Point { confirmed_at_ms, ..before }, copy.now);
    copy.pass(Duration::from_secs(2));
    let sight = copy.sight(&Limits::PRODUCTION);
    assert_eq!(judge(TOPIC, &places, None, &sight), Judgement::Lost(Lost::Horizon));
    assert_eq!(judge(TOPIC, &after, None, &sight), Judgement::Resume);
}
