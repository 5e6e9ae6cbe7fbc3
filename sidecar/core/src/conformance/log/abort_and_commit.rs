//! Transactions of other clients: what they hide, and how the end moves past it.

use super::fixture::{
    CREDIT, ONE, P0, appended, assign, ends, expected, fetched, foreign, next, put, read_on,
    read_to, silence, texts,
};
use super::{LogUnderTest, Verdict};
use crate::log::{LogCall, LogEvent};
use crate::offset::Offset;

fn transaction(log: &mut dyn LogUnderTest, key: &str, verdict: Verdict) {
    log.open_transaction(P0, &[foreign(key, "in a transaction")]);
    log.end_transaction(verdict);
}

pub(super) fn a_committed_transaction_is_read_and_its_marker_is_a_hole(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1")]);
    transaction(log, "b", Verdict::Commit);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(3));
    assert_eq!(texts(&seen), expected(&[(0, "a", Some("1")), (1, "b", Some("in a transaction"))]));
    assert_eq!((seen.position, seen.gap), (Offset(3), true));
}

pub(super) fn an_aborted_tail_is_passed_over_to_the_exact_end(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1")]);
    transaction(log, "a", Verdict::Abort);
    transaction(log, "b", Verdict::Abort);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(5));
    assert_eq!(texts(&seen), expected(&[(0, "a", Some("1"))]));
    assert_eq!((seen.position, seen.gap), (Offset(5), true));
    assert_eq!(ends(log, ONE)[0].high_watermark, Offset(5));
}

pub(super) fn aborted_records_between_others_are_holes(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1")]);
    transaction(log, "a", Verdict::Abort);
    // The marker comes a moment after the answer: only then is the next offset known.
    read_to(log, ONE, P0, Offset(0), Offset(3));
    assert_eq!(appended(log, &[put("c", "2")]), [Offset(3)]);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(4));
    assert_eq!(texts(&seen), expected(&[(0, "a", Some("1")), (3, "c", Some("2"))]));
    assert!(seen.gap);
}

pub(super) fn an_open_transaction_hides_what_is_behind_it(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1")]);
    log.open_transaction(P0, &[foreign("b", "undecided")]);
    appended(log, &[put("c", "behind it")]);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(1));
    assert_eq!(texts(&seen), expected(&[(0, "a", Some("1"))]));
    assert_eq!(seen.position, Offset(1), "the end for readers is the last stable offset");
    assert_eq!(ends(log, ONE)[0].high_watermark, Offset(3), "the high watermark is above it");
    log.end_transaction(Verdict::Commit);
    let seen = read_on(log, ONE, P0, Offset(1), Offset(4));
    assert_eq!(texts(&seen), expected(&[(1, "b", Some("undecided")), (2, "c", Some("behind it"))]));
    assert_eq!(seen.position, Offset(4));
}

pub(super) fn the_end_moves_over_hidden_records_alone(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1")]);
    log.open_transaction(P0, &[foreign("b", "undecided")]);
    read_to(log, ONE, P0, Offset(0), Offset(1));
    log.end_transaction(Verdict::Abort);
    let seen = read_on(log, ONE, P0, Offset(1), Offset(3));
    assert!(seen.records.is_empty() && seen.gap, "{seen:?}");
    assert_eq!(seen.position, Offset(3));
    log.call(ONE, LogCall::Ends);
    match next(log, ONE) {
        LogEvent::Ends(ends) => {
            assert_eq!(ends[0].as_ref().expect("the leader answers").high_watermark, Offset(3))
        }
        other => panic!("Ends was answered by {other:?}"),
    }
}

/// Such a position was read by whoever saw the transaction decided by another leader.
pub(super) fn a_position_behind_an_open_transaction_waits(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1")]);
    log.open_transaction(P0, &[foreign("b", "undecided")]);
    appended(log, &[put("c", "behind it")]);
    assign(log, ONE, P0, Offset(3), None);
    log.call(ONE, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    silence(log, ONE);
    log.end_transaction(Verdict::Abort);
    let batch = fetched(log, ONE, P0).expect("the offset is in the log");
    assert_eq!(batch.range, Offset(3)..Offset(4));
    assert!(batch.at_end && batch.gap, "only the marker is there: {batch:?}");
}

pub(super) fn an_aborted_record_never_shadows_a_value(log: &mut dyn LogUnderTest) {
    appended(log, &[put("kept", "committed"), put("x", "old")]);
    transaction(log, "kept", Verdict::Abort);
    read_to(log, ONE, P0, Offset(0), Offset(4));
    appended(log, &[put("x", "new")]);
    log.compact(P0, &[Offset(1)]);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(5));
    assert_eq!(texts(&seen), expected(&[(0, "kept", Some("committed")), (4, "x", Some("new"))]));
}
