//! Waiting gets a name when it is long, the right one, and loses it when it is over.

use super::*;
use crate::stall::StallKind;

const STALL_AFTER: Duration = Limits::PRODUCTION.stall_after;

/// A rebuild that has five records to read.
fn restoring() -> Driven {
    let mut driven = Driven::rebuilding(facts().reaching(0, 5), Limits::PRODUCTION);
    driven.log(LogEvent::Assigned { partition: P0 });
    driven
}

impl Driven {
    fn stalls(&self) -> Vec<StallKind> {
        self.node.status().stalls.into_iter().map(|stall| stall.kind).collect()
    }

    /// One record, behind which the end is met.
    fn meets_end(&mut self, from: u64) {
        let mut builder = BatchBuilder::new(P0, 1, Offset(from));
        builder.push(Offset(from), None, Some(b"k"), Some(b"v"));
        self.takes(builder.at_end(Offset(from + 1), None));
    }
}

#[test]
fn a_restore_that_nothing_comes_to_is_named_until_something_does() {
    let mut driven = restoring();
    driven.pass(STALL_AFTER - JUST);
    assert_eq!(driven.stalls(), []);
    driven.pass(JUST);
    assert_eq!(driven.stalls(), [StallKind::NoProgress]);
    let detail = driven.node.status().stalls[0].detail.clone();
    assert_eq!(detail, "partition 0: nothing arrives at position 0 of 5");
    driven.takes(batch(0, b"a"));
    assert_eq!(driven.stalls(), []);
}

#[test]
fn a_wait_that_has_a_name_gets_no_second_one() {
    let mut driven = restoring();
    driven.log(LogEvent::Trouble(kafka_error(29, "TOPIC_AUTHORIZATION_FAILED")));
    driven.pass(STALL_AFTER);
    assert_eq!(driven.stalls(), [StallKind::Authorisation]);
}

#[test]
fn a_copy_that_has_read_everything_waits_for_nothing() {
    let mut driven = Driven::reading();
    driven.pass(STALL_AFTER * 10);
    assert_eq!(driven.stalls(), []);
}

#[test]
fn an_end_met_below_the_target_is_an_open_transaction_once_nothing_comes_any_more() {
    let mut driven = restoring();
    driven.meets_end(0);
    driven.pass(STALL_AFTER - JUST);
    driven.meets_end(1);
    driven.pass(JUST);
    assert_eq!(driven.stalls(), [], "records still come");
    driven.pass(STALL_AFTER - JUST);
    assert_eq!(driven.stalls(), [StallKind::OpenTransaction]);
    driven.log(LogEvent::Facts(facts()));
    driven.takes(batch(2, b"b"));
    assert_eq!(driven.stalls(), []);
}

/// After a quiet time the end moves before the records come: that alone hides nothing.
#[test]
fn an_end_that_has_just_moved_hides_nothing_yet() {
    let mut driven = Driven::reading();
    driven.meets_end(0);
    driven.log(ends(1, None));
    driven.pass(STALL_AFTER * 3);
    driven.log(ends(5, None));
    assert_eq!(driven.stalls(), []);
    driven.pass(STALL_AFTER);
    assert_eq!(driven.stalls(), [StallKind::OpenTransaction]);
}

#[test]
fn a_damaged_batch_stops_mattering_only_when_everything_was_read() {
    let mut driven = Driven::reading();
    driven.log(ends(1, None));
    driven.log(LogEvent::Trouble(kafka_error(-199, "_BAD_MSG")));
    driven.pass(SECOND);
    driven.log(ends(1, None));
    assert_eq!(driven.stalls(), [StallKind::PoisonBatch], "the record at 0 is not read");
    driven.pass(SECOND);
    driven.log(ends(0, None));
    assert_eq!(driven.stalls(), [], "it is not in the log any more");
}

#[test]
fn a_deposed_leader_is_named_until_the_leader_answers() {
    let answers = |epoch| ends(0, Some(epoch));
    let mut driven = Driven::reading();
    driven.log(answers(4));
    for (epoch, stalls) in
        [(4, vec![]), (3, vec![StallKind::StaleLeader]), (4, vec![]), (5, vec![])]
    {
        driven.pass(SECOND);
        driven.log(answers(epoch));
        assert_eq!(driven.stalls(), stalls, "epoch {epoch} answers");
    }
    driven.pass(SECOND);
    driven.log(answers(4));
    let detail = driven.node.status().stalls[0].detail.clone();
    assert_eq!(detail, "partition 0: leader epoch 4 answers, 5 is known");
}

#[test]
fn a_question_that_fails_is_named_and_only_that_one_is_asked_again() {
    for (failed, again) in [
        (LogCallKind::Describe, LogCall::Describe),
        (LogCallKind::Ends, LogCall::Ends),
        (LogCallKind::TopicId, LogCall::TopicId),
    ] {
        let mut driven = Driven::reading();
        driven.pass(Limits::PRODUCTION.describe_interval);
        driven.effects();
        let error = kafka_error(-195, "_TRANSPORT");
        driven.log(LogEvent::Failed { call: failed, error });
        assert_eq!(driven.stalls(), [StallKind::LogUnreachable]);
        driven.effects();
        driven.pass(Limits::PRODUCTION.retry_min - JUST);
        assert_eq!(driven.effects(), []);
        driven.pass(JUST);
        assert_eq!(driven.effects(), [Effect::Log(again)]);
    }
}

/// A log loses records by an election, which begins a new epoch.
#[test]
fn a_shorter_log_is_a_loss_only_if_a_later_leader_tells_of_it() {
    for (end, epoch, stalls, lost) in [
        (1, Some(4), vec![], false),
        (0, Some(4), vec![StallKind::StaleLeader], false),
        (0, Some(5), vec![], true),
        (0, None, vec![], true),
    ] {
        let mut driven = Driven::reading();
        driven.log(ends(0, Some(4)));
        driven.takes(records(0, [0], Some(4), 1));
        driven.pass(SECOND);
        driven.log(ends(end, epoch));
        assert_eq!(driven.stalls(), stalls, "{end} {epoch:?}");
        assert_eq!(driven.node.shared.phase == Phase::Opening, lost, "{end} {epoch:?}");
    }
}

/// An open transaction's records are in the log already, so that every fetch ends below its high watermark; and its
/// markers are gaps, which by writers' clocks may be compaction's.
#[test]
fn overlapping_transactions_that_keep_a_copy_inexact_are_named() {
    let mut driven = Driven::ready(facts().on_writers_clocks(), GAPS_AT_ONCE);
    let since = driven.now.mono;
    let mut at = 0;
    while driven.now.mono < since + STALL_AFTER {
        assert_eq!(driven.stalls(), []);
        driven.takes(records(at, [at + 3], None, at + 6));
        assert_eq!(driven.node.shared.phase, Phase::CatchingUp);
        at += 4;
        driven.pass(SECOND);
        driven.effects();
    }
    assert_eq!(driven.stalls(), [StallKind::Inexact]);
    let detail = driven.node.status().stalls[0].detail.clone();
    assert_eq!(detail, "partition 0: read to 12, and exact only from 14: gaps go on");
    driven.takes(BatchBuilder::new(P0, 1, Offset(at)).at_end(Offset(14), None));
    driven.event(Event::Timer);
    assert_eq!((driven.stalls(), &driven.node.shared.phase), (vec![], &Phase::Ready));
}

#[test]
fn a_copy_that_would_be_exact_if_more_came_wakes_for_its_name() {
    let mut driven = Driven::ready(facts().on_writers_clocks(), GAPS_AT_ONCE);
    driven.takes(records(0, [1], None, 9));
    driven.log(ends(2, None));
    let due = driven.now.mono + STALL_AFTER;
    while driven.stalls().is_empty() {
        let timer = driven.node.next_timer().unwrap();
        assert!(timer <= due, "{timer:?} is after {due:?}");
        driven.pass(timer - driven.now.mono);
        driven.effects();
        driven.log(LogEvent::TopicId(TOPIC));
    }
    assert_eq!(driven.stalls(), [StallKind::NoProgress]);
}

/// Reading on is no stall, however long it takes.
#[test]
fn a_copy_on_its_way_to_exactness_has_no_stall() {
    let topic = facts().on_writers_clocks();
    let mut driven = Driven::ready(topic.clone(), GAPS_AT_ONCE);
    driven.takes(records(0, [1], None, 9));
    for at in 2..9 {
        assert_eq!(driven.node.shared.phase, Phase::CatchingUp);
        driven.pass(SECOND);
        driven.log(LogEvent::Facts(topic.clone()));
        driven.log(LogEvent::TopicId(TOPIC));
        driven.effects();
        assert_eq!(driven.stalls(), [], "{at}");
        driven.takes(batch(at, b"k"));
    }
    assert_eq!(driven.node.shared.phase, Phase::Ready);
}
