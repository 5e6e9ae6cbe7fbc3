//! Positions that the log does not have: deleted, truncated, another history, another topic.

use super::LogUnderTest;
use super::fixture::{
    CREDIT, ONE, P0, TWO, appended, assign, describe, ends, expected, fetched, foreign, loss, put,
    read_on, read_to, texts, topic_id,
};
use crate::log::{LogCall, Loss, Write};
use crate::offset::{Epoch, Offset};

fn ten(log: &mut dyn LogUnderTest) {
    let writes: Vec<Write> = (0..10).map(|n| put(&format!("k{n}"), "value")).collect();
    appended(log, &writes);
}

pub(super) fn a_position_above_the_end_is_lost(log: &mut dyn LogUnderTest) {
    ten(log);
    assert_eq!(loss(log, ONE, Offset(11), None), Loss::OutOfRange);
    assert_eq!(read_to(log, ONE, P0, Offset(10), Offset(10)).position, Offset(10));
}

pub(super) fn a_position_with_its_epoch_is_valid(log: &mut dyn LogUnderTest) {
    ten(log);
    let epoch = read_to(log, ONE, P0, Offset(0), Offset(10)).epochs.last().expect("an epoch").0;
    for at in [4, 10].map(Offset) {
        assign(log, TWO, P0, at, Some(epoch));
        assert_eq!(read_on(log, TWO, P0, at, Offset(10)).position, Offset(10), "from {at}");
    }
}

/// A leader that was deposed before the epoch began answers so.
pub(super) fn an_epoch_that_the_leader_has_not_heard_of_is_no_other_history(
    log: &mut dyn LogUnderTest,
) {
    ten(log);
    let epoch = ends(log, ONE)[0].epoch.expect("a leader tells its epoch");
    let later = Some(Epoch(epoch.0 + 7));
    for at in [4, 10].map(Offset) {
        assert_eq!(loss(log, TWO, at, later), Loss::UnknownEpoch, "at {at}");
    }
    assign(log, TWO, P0, Offset(4), Some(epoch));
    assert_eq!(read_on(log, TWO, P0, Offset(4), Offset(10)).position, Offset(10));
}

pub(super) fn a_position_below_the_log_start_is_lost(log: &mut dyn LogUnderTest) {
    ten(log);
    log.delete_records(P0, Offset(6));
    let facts = describe(log, ONE).partitions[0];
    assert_eq!((facts.log_start, facts.high_watermark), (Offset(6), Offset(10)));
    assert_eq!(loss(log, ONE, Offset(5), None), Loss::OutOfRange);
    assert_eq!(loss(log, TWO, Offset(0), None), Loss::OutOfRange, "never the earliest instead");
}

pub(super) fn a_reader_at_the_log_start_goes_on(log: &mut dyn LogUnderTest) {
    ten(log);
    log.delete_records(P0, Offset(6));
    let seen = read_to(log, ONE, P0, Offset(6), Offset(10));
    assert_eq!(seen.offsets(), [6, 7, 8, 9]);
    assert!(!seen.gap);
}

pub(super) fn a_position_in_a_lost_log_is_lost(log: &mut dyn LogUnderTest) {
    ten(log);
    let epoch = ends(log, ONE)[0].epoch;
    log.lose_log(P0);
    // Both are true of an emptied log; which one the client says first is its own affair.
    let with_epoch = loss(log, ONE, Offset(10), epoch);
    assert!(matches!(with_epoch, Loss::OutOfRange | Loss::Diverged));
    assert_eq!(loss(log, TWO, Offset(10), None), Loss::OutOfRange);
    // This tells it from a deposed leader, whose end is lower too.
    assert!(ends(log, ONE)[0].epoch > epoch, "the leader leads again, in a later epoch");
    assert!(describe(log, ONE).partitions[0].epoch > epoch, "the facts say so too");
}

pub(super) fn a_log_that_grew_again_is_another_history(log: &mut dyn LogUnderTest) {
    ten(log);
    let epoch = read_to(log, ONE, P0, Offset(0), Offset(10)).epochs.last().expect("an epoch").0;
    log.lose_log(P0);
    let others: Vec<_> = (0..20).map(|n| foreign(&format!("other{n}"), "value")).collect();
    log.append(P0, &others);
    assert_eq!(loss(log, TWO, Offset(10), Some(epoch)), Loss::Diverged);
    // Without an epoch nothing can tell: the offset is valid.
    let seen = read_to(log, TWO, P0, Offset(19), Offset(20));
    assert_eq!(texts(&seen), expected(&[(19, "other19", Some("value"))]));
}

pub(super) fn a_running_reader_is_told_that_its_history_is_lost(log: &mut dyn LogUnderTest) {
    ten(log);
    read_to(log, ONE, P0, Offset(0), Offset(10));
    log.call(ONE, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    log.lose_log(P0);
    let others: Vec<_> = (0..20).map(|n| foreign(&format!("other{n}"), "value")).collect();
    log.append(P0, &others);
    // The position is out of range where the reader looked before the log had grown again; the
    // other history's records never come.
    match fetched(log, ONE, P0) {
        Err(Loss::OutOfRange | Loss::Diverged) => {}
        Err(Loss::UnknownEpoch) => panic!("the leader leads in a later epoch"),
        Ok(batch) => panic!("the other history was read on: {batch:?}"),
    }
}

pub(super) fn a_recreated_topic_has_another_id(log: &mut dyn LogUnderTest) {
    ten(log);
    let before = describe(log, ONE);
    assert_eq!(topic_id(log, ONE), before.topic);
    log.recreate();
    let after = topic_id(log, ONE);
    assert_ne!(after, before.topic, "the name is the same, the topic is not");
    let facts = describe(log, ONE);
    assert_eq!((facts.topic, &facts.cluster), (after, &before.cluster));
    assert_eq!(facts.partitions[0].high_watermark, Offset(0));
}
