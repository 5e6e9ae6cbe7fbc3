//! Readers: positions, credits, the end, assignments.

use super::LogUnderTest;
use super::fixture::{
    CREDIT, ONE, P0, TWO, appended, assign, ends, fetch, fetched, foreign, next, put, read_on,
    read_to, silence,
};
use crate::log::{LogCall, LogEvent, Write};
use crate::offset::Offset;

fn hundred(log: &mut dyn LogUnderTest) {
    let writes: Vec<Write> = (0..100).map(|n| put(&format!("k{n}"), "value")).collect();
    appended(log, &writes);
}

pub(super) fn an_empty_log_ends_at_zero(log: &mut dyn LogUnderTest) {
    assign(log, ONE, P0, Offset(0), None);
    let batch = fetch(log, ONE, P0, CREDIT).expect("offset 0 is valid");
    assert!(batch.at_end && !batch.gap && batch.records().len() == 0, "{batch:?}");
    assert_eq!(batch.range, Offset(0)..Offset(0));
}

pub(super) fn a_log_without_holes_shows_no_gap(log: &mut dyn LogUnderTest) {
    hundred(log);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(100));
    assert!(!seen.gap);
    assert_eq!(seen.offsets(), (0..100).collect::<Vec<_>>());
}

pub(super) fn a_reader_may_start_in_the_middle_and_at_the_end(log: &mut dyn LogUnderTest) {
    hundred(log);
    let seen = read_to(log, ONE, P0, Offset(90), Offset(100));
    assert_eq!(seen.offsets(), (90..100).collect::<Vec<_>>());
    assert!(!seen.gap, "what is before the position is not missing");
    let seen = read_to(log, ONE, P0, Offset(100), Offset(100));
    assert!(seen.records.is_empty() && seen.position == Offset(100), "{seen:?}");
}

pub(super) fn one_fetch_brings_one_batch(log: &mut dyn LogUnderTest) {
    hundred(log);
    assign(log, ONE, P0, Offset(0), None);
    silence(log, ONE);
    let first = fetch(log, ONE, P0, 100).expect("offset 0 is valid");
    silence(log, ONE);
    let second = fetch(log, ONE, P0, 100).expect("the position is valid");
    assert_eq!(second.range.start, first.range.end);
}

pub(super) fn the_smallest_credit_brings_a_record(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "some bytes"), put("b", "some more")]);
    assign(log, ONE, P0, Offset(0), None);
    let batch = fetch(log, ONE, P0, 1).expect("offset 0 is valid");
    assert!(batch.records().len() > 0, "{batch:?}");
}

pub(super) fn a_fetch_at_the_end_waits_for_what_comes(log: &mut dyn LogUnderTest) {
    read_to(log, ONE, P0, Offset(0), Offset(0));
    log.call(ONE, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    silence(log, ONE);
    log.append(P0, &[foreign("a", "1")]);
    let batch = fetched(log, ONE, P0).expect("the position is valid");
    assert_eq!(batch.range, Offset(0)..Offset(1));
}

pub(super) fn the_end_is_told_once_until_it_moves(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1")]);
    read_to(log, ONE, P0, Offset(0), Offset(1));
    log.call(ONE, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    silence(log, ONE);
    log.append(P0, &[foreign("b", "2")]);
    let batch = fetched(log, ONE, P0).expect("the position is valid");
    if !batch.at_end {
        let after = batch.range.end;
        let seen = read_on(log, ONE, P0, after, Offset(2));
        assert_eq!(seen.position, Offset(2), "the end is told again after it moved");
    }
}

pub(super) fn an_assign_voids_the_fetch_under_way(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1")]);
    read_to(log, ONE, P0, Offset(0), Offset(1));
    log.call(ONE, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    assign(log, ONE, P0, Offset(0), None);
    silence(log, ONE);
    let batch = fetch(log, ONE, P0, CREDIT).expect("offset 0 is valid");
    assert_eq!(batch.range.start, Offset(0));
}

pub(super) fn nothing_older_follows_an_assigned(log: &mut dyn LogUnderTest) {
    hundred(log);
    assign(log, ONE, P0, Offset(0), None);
    for at in [50, 10, 99, 0].map(Offset) {
        log.call(ONE, LogCall::Fetch { partition: P0, bytes_max: 100 });
        log.call(ONE, LogCall::Assign { partition: P0, at, epoch: None });
        // The fetch may have been answered before the assign came.
        let mut event = next(log, ONE);
        if let LogEvent::Fetched(_) = event {
            event = next(log, ONE);
        }
        assert_eq!(event, LogEvent::Assigned { partition: P0 });
        silence(log, ONE);
        let batch = fetch(log, ONE, P0, 100).expect("the position is valid");
        assert_eq!(batch.range.start, at);
    }
}

pub(super) fn the_clean_bound_covers_what_was_committed_before_the_fetch(
    log: &mut dyn LogUnderTest,
) {
    hundred(log);
    assign(log, ONE, P0, Offset(0), None);
    let batch = fetch(log, ONE, P0, 1).expect("offset 0 is valid");
    assert!(
        batch.clean_bound >= Offset(100),
        "the cleaner may have been anywhere below: {batch:?}"
    );
}

pub(super) fn batches_tell_their_leader_epoch(log: &mut dyn LogUnderTest) {
    hundred(log);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(100));
    let (first, at) = *seen.epochs.first().expect("a record has a leader epoch");
    assert_eq!(at, Offset(0));
    let leader = ends(log, ONE)[0].epoch.expect("a leader says its epoch");
    assert!(first <= leader, "a record of epoch {first} under a leader of epoch {leader}");
}

pub(super) fn two_clients_read_at_their_own_positions(log: &mut dyn LogUnderTest) {
    hundred(log);
    assign(log, ONE, P0, Offset(0), None);
    assign(log, TWO, P0, Offset(60), None);
    let ones = fetch(log, ONE, P0, 100).expect("offset 0 is valid");
    let twos = fetch(log, TWO, P0, 100).expect("offset 60 is valid");
    assert_eq!((ones.range.start, twos.range.start), (Offset(0), Offset(60)));
    let (one_at, two_at) = (ones.range.end, twos.range.end);
    assert_eq!(read_on(log, ONE, P0, one_at, Offset(100)).position, Offset(100));
    assert_eq!(read_on(log, TWO, P0, two_at, Offset(100)).position, Offset(100));
}
