//! Reads that wait: for what was asked after they came, within their time, and no more than may wait.

use super::*;
use crate::gate::{Rejection, Until};

const DEADLINE: Duration = Duration::from_secs(2);

fn until(position: u64, epoch: Option<u32>) -> Until {
    Until::AtLeast(token_at(&[(position, epoch)]))
}

fn reached(end: u64) -> Reply {
    Reply::Reached { end: Some(vec![Offset(end)]) }
}

impl Driven {
    fn wait(&mut self, id: u64, until: Until) {
        self.event(Event::Command(RequestId(id), Command::Await { until, deadline: DEADLINE }));
    }
}

#[test]
fn no_more_reads_wait_than_may_and_one_that_is_gone_makes_room() {
    let limits = Limits { awaits_max: 2, ..Limits::PRODUCTION };
    let mut driven = Driven::ready(facts(), limits);
    driven.wait(1, until(5, None));
    assert_eq!(driven.node.status().awaits, 1);
    driven.wait(2, until(5, None));
    assert_eq!(driven.replies(), []);
    driven.wait(3, until(5, None));
    assert_eq!(driven.replies(), [(3, Reply::Rejected(Rejection::Overloaded))]);
    driven.event(Event::Gone(RequestId(1)));
    driven.wait(4, until(5, None));
    assert_eq!(driven.replies(), []);
}

#[test]
fn the_latest_is_what_the_leader_answers_to_a_later_question() {
    let mut driven = Driven::reading();
    driven.wait(1, Until::Latest(None));
    assert_eq!(driven.replies(), []);
    driven.log(ends(0, None));
    assert_eq!(driven.replies(), [], "that question was older than the read");
    driven.log(ends(0, None));
    assert_eq!(driven.replies(), [(1, reached(0))]);
}

#[test]
fn however_many_reads_wait_for_the_latest_one_question_answers_them() {
    let asks = |effects: &[Effect]| {
        effects.iter().filter(|effect| **effect == Effect::Log(LogCall::Ends)).count()
    };
    let answers =
        |effects: &[Effect]| effects.iter().filter(|e| matches!(e, Effect::Reply(..))).count();
    let mut driven = Driven::reading();
    for id in 0..500 {
        driven.wait(id, Until::Latest(None));
    }
    assert_eq!(asks(&driven.effects()), 0, "the question that is out is older than they are");
    driven.log(ends(0, None));
    assert_eq!(asks(&driven.effects()), 1);
    for id in 500..700 {
        driven.wait(id, Until::Latest(None));
    }
    assert_eq!(asks(&driven.effects()), 0);
    driven.log(ends(0, None));
    let first = driven.effects();
    assert_eq!((answers(&first), asks(&first)), (500, 1), "the others need a later one");
    driven.log(ends(0, None));
    let last = driven.effects();
    assert_eq!((answers(&last), asks(&last)), (200, 0));
}

#[test]
fn a_wait_ends_when_its_time_is_up_and_the_node_wakes_for_it() {
    let mut driven = Driven::reading();
    // All questions are asked: none asks for a timer.
    driven.pass(Limits::PRODUCTION.ends_interval);
    driven.wait(1, until(5, None));
    assert_eq!(driven.node.next_timer(), Some(driven.now.mono + DEADLINE));
    driven.pass(DEADLINE - Duration::from_millis(1));
    assert_eq!(driven.replies(), []);
    driven.pass(Duration::from_millis(1));
    let late = Reply::Rejected(Rejection::Deadline { stall: None });
    assert_eq!(driven.replies(), [(1, late)]);
}

/// A leader older than the token, or a token without an epoch, proves no loss.
#[test]
fn a_token_is_beyond_the_log_only_if_a_leader_of_its_time_says_so() {
    let beyond = Rejection::TokenBeyondLog { position: Offset(7), end: Offset(6) };
    for (end, token_epoch, answered, judged) in [
        (6, Some(3), Some(3), Some(beyond.clone())),
        (6, Some(3), Some(4), Some(beyond)),
        (7, Some(3), Some(3), None),
        (8, Some(3), Some(3), None),
        (6, Some(3), Some(2), None),
        (6, Some(3), None, None),
        (6, None, Some(3), None),
    ] {
        let mut driven = Driven::reading();
        driven.wait(1, until(7, token_epoch));
        driven.log(ends(0, None));
        driven.pass(Limits::PRODUCTION.ends_interval);
        driven.effects();
        driven.log(ends(end, answered));
        let judged = judged.map(|rejection| (1, Reply::Rejected(rejection)));
        assert_eq!(driven.replies(), Vec::from_iter(judged), "{end} {token_epoch:?} {answered:?}");
    }
}

#[test]
fn a_token_waited_for_is_judged_again_by_what_the_copy_learns() {
    let mut driven = Driven::reading();
    driven.wait(1, until(5, Some(1)));
    driven.takes(records(0, [0], Some(2), 1));
    let foreign = Reply::Rejected(Rejection::TokenOfAnotherHistory);
    assert_eq!(driven.replies(), [(1, foreign)], "epoch 1 ended at 0");
}

#[test]
fn whoever_waits_is_told_when_the_node_drains_or_refuses() {
    let mut draining = Driven::reading();
    draining.wait(1, until(5, None));
    draining.event(Event::Command(RequestId(2), Command::Drain));
    assert_eq!(draining.replies()[0], (1, Reply::Rejected(Rejection::Draining)));

    let mut refusing = Driven::reading();
    refusing.wait(1, until(5, None));
    refusing.log(LogEvent::Facts(facts().deleting()));
    assert_eq!(refusing.replies(), [], "the copy is closed and judged again first");
    refusing.done(StoreCallKind::Close);
    refusing.log(LogEvent::Facts(facts().deleting()));
    refusing.store(StoreEvent::Found(copy(None, None)));
    let replies = refusing.replies();
    let [(1, Reply::Rejected(Rejection::Refused(_)))] = replies[..] else { panic!("{replies:?}") };
}

#[test]
fn a_position_reached_counts_only_once_the_copy_is_exact() {
    let mut driven = Driven::ready(facts().on_writers_clocks(), GAPS_AT_ONCE);
    driven.log(ends(0, None));
    driven.wait(1, Until::Latest(None));
    driven.log(ends(2, None));
    assert_eq!(driven.replies(), [], "the copy is at 0");
    for batch in [records(0, [1], None, 3), batch(2, b"k")] {
        assert_eq!(driven.replies(), []);
        driven.takes(batch);
    }
    assert_eq!(driven.replies(), [(1, reached(2))], "the cleaner may have been up to 3");
}

#[test]
fn a_wait_lasts_over_a_rebuild_until_the_new_copy_is_in_use() {
    let mut driven = Driven::reading();
    driven.wait(1, Until::Latest(None));
    driven.log(ends(0, None));
    driven.log(ends(1, None));
    driven.event(Event::Damaged { generation: G1, detail: "a block".to_owned() });
    driven.done(StoreCallKind::Close);
    driven.log(LogEvent::Facts(facts().reaching(0, 1)));
    driven.store(StoreEvent::Found(Found::Nothing));
    driven.done(StoreCallKind::Create);
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.takes(batch(0, b"k"));
    driven.log(LogEvent::TopicId(TOPIC));
    driven.log(LogEvent::TopicId(TOPIC));
    driven.done(StoreCallKind::Flush);
    assert_eq!(driven.replies(), [], "read, but not in use");
    driven.done(StoreCallKind::Activate);
    assert_eq!(driven.replies(), [(1, reached(1))]);
}
