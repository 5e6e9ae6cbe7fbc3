//! No broker answers for a while.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::LogUnderTest;
use super::fixture::{
    CREDIT, ONE, P0, TWO, appended, assign, ends, fetched, foreign, next, put, read_on, read_to,
    silence,
};
use crate::log::{LogCall, LogCallKind, LogEvent};
use crate::offset::{Offset, RequestId};

pub(super) fn asks_fail_while_nobody_answers_and_work_again_after(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1")]);
    log.set_outage(true);
    log.call(ONE, LogCall::Describe);
    log.call(ONE, LogCall::Ends);
    log.call(ONE, LogCall::TopicId);
    let mut failed = BTreeSet::new();
    for _ in 0..3 {
        match next(log, ONE) {
            LogEvent::Failed { call, .. } => assert!(failed.insert(call), "{call:?} failed twice"),
            other => panic!("nobody could have answered {other:?}"),
        }
    }
    let all = [LogCallKind::Describe, LogCallKind::Ends, LogCallKind::TopicId];
    assert_eq!(failed, BTreeSet::from(all), "each ask fails within a bounded time");
    log.set_outage(false);
    assert_eq!(ends_at_last(log), Offset(1));
}

/// Asks again until somebody answers: a broker that is up may not lead yet.
fn ends_at_last(log: &mut dyn LogUnderTest) -> Offset {
    for _ in 0..100 {
        log.call(ONE, LogCall::Ends);
        match next(log, ONE) {
            LogEvent::Ends(ends) => {
                return ends[0].as_ref().expect("the leader answers").high_watermark;
            }
            // A refusal may come at once: a broker that has just started needs its time.
            LogEvent::Failed { call: LogCallKind::Ends, .. } => silence(log, ONE),
            other => panic!("Ends was answered by {other:?}"),
        }
    }
    panic!("asks go on failing after the outage")
}

pub(super) fn reading_goes_on_after_an_outage(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1")]);
    read_to(log, ONE, P0, Offset(0), Offset(1));
    log.call(ONE, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    log.set_outage(true);
    log.set_outage(false);
    log.append(P0, &[foreign("b", "2")]);
    // The end may be told once more: the outage made the reader start over.
    let batch = fetched(log, ONE, P0).expect("the position is still valid");
    assert_eq!(batch.range.start, Offset(1));
    let at = batch.range.end;
    if at < Offset(2) {
        assert_eq!(read_on(log, ONE, P0, at, Offset(2)).offsets(), [1]);
    }
}

pub(super) fn a_position_with_its_epoch_outlives_a_leader(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1"), put("b", "2")]);
    let epoch = read_to(log, ONE, P0, Offset(0), Offset(2)).epochs.last().expect("an epoch").0;
    log.set_outage(true);
    log.set_outage(false);
    log.append(P0, &[foreign("c", "3")]);
    assign(log, TWO, P0, Offset(2), Some(epoch));
    assert_eq!(read_on(log, TWO, P0, Offset(2), Offset(3)).offsets(), [2]);
}

pub(super) fn every_outcome_told_in_an_outage_is_true(log: &mut dyn LogUnderTest) {
    appended(log, &[put("before", "x")]);
    log.set_outage(true);
    for id in 0..5 {
        let writes = Arc::from([put(&format!("w{id}"), "in the outage")]);
        log.call(ONE, LogCall::Append { id: RequestId(id), writes });
    }
    // Nobody waits for one of them any more: its answer must be true all the same, and come once.
    log.call(ONE, LogCall::Withdraw { id: RequestId(3) });
    let mut refused = BTreeSet::new();
    for _ in 0..5 {
        match next(log, ONE) {
            LogEvent::Appended { id, results } => match &results[..] {
                [Err(error)] if error.not_persisted => assert!(refused.insert(id)),
                [Err(_)] => {}
                other => panic!("nobody could have acknowledged {other:?}"),
            },
            other => panic!("an append was answered by {other:?}"),
        }
    }
    log.set_outage(false);
    ends_at_last(log);
    log.append(P0, &[foreign("after", "x")]);
    let end = ends(log, ONE)[0].high_watermark;
    let seen = read_to(log, ONE, P0, Offset(0), end);
    for id in refused {
        let key = format!("w{}", id.0).into_bytes();
        assert!(seen.records.iter().all(|(_, read, _)| *read != key), "{id:?} did not happen");
    }
}

pub(super) fn a_withdrawn_append_is_answered_once_and_truthfully(log: &mut dyn LogUnderTest) {
    let writes = Arc::from([put("a", "1")]);
    log.call(ONE, LogCall::Append { id: RequestId(1), writes });
    log.call(ONE, LogCall::Withdraw { id: RequestId(1) });
    let told = match next(log, ONE) {
        LogEvent::Appended { id: RequestId(1), results } => results,
        other => panic!("an append was answered by {other:?}"),
    };
    // One append was answered already, and the other was never made.
    log.call(ONE, LogCall::Withdraw { id: RequestId(1) });
    log.call(ONE, LogCall::Withdraw { id: RequestId(7) });
    let end = ends(log, ONE)[0].high_watermark;
    match &told[..] {
        [Ok(revision)] => assert_eq!(end, revision.offset.next()),
        [Err(error)] if error.not_persisted => assert_eq!(end, Offset(0)),
        other => panic!("a leader that answers leaves no doubt: {other:?}"),
    }
}
