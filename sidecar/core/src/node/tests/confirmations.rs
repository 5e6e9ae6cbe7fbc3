//! When a copy was last known to hold everything: learned from the log's ends, stored now and then.

use super::*;

/// Two partitions, so that one answer is not all of them, and a retention that asks for a write every five seconds.
fn confirming() -> Driven {
    let facts = facts().of_partitions(2).retaining(100_000);
    let mut driven = Driven::rebuilding(facts, Limits::PRODUCTION);
    for partition in [P0, P1] {
        driven.log(LogEvent::Assigned { partition });
    }
    driven.log(LogEvent::TopicId(TOPIC));
    driven.done(StoreCallKind::Flush);
    driven.done(StoreCallKind::Activate);
    driven.answer_ends();
    driven
}

impl Driven {
    fn answer_ends(&mut self) {
        self.log(LogEvent::Ends(vec![Ok(end(0, None)); 2]));
        self.log(LogEvent::TopicId(TOPIC));
    }

    /// Wall clocks of the confirmations that the store was given.
    fn confirmations(&mut self) -> Vec<u64> {
        let confirmed = |effect| match effect {
            Effect::Store(StoreCall::Confirm { lineage, .. }) => Some(lineage.confirmed_at_ms),
            Effect::Store(_)
            | Effect::Log(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Reply(..)
            | Effect::Notice(_) => None,
        };
        self.effects().into_iter().filter_map(confirmed).collect()
    }

    /// Time passes in questions and answers; all confirmations that the store was given.
    fn ask_for(&mut self, seconds: u64) -> Vec<u64> {
        let mut confirmations = Vec::new();
        for _ in 0..seconds {
            self.pass(SECOND);
            self.answer_ends();
            confirmations.extend(self.confirmations());
        }
        confirmations
    }
}

#[test]
fn an_idle_copys_confirmation_is_stored_each_twentieth_of_the_retention() {
    let mut driven = confirming();
    let began = driven.now.wall_ms;
    assert_eq!(driven.ask_for(4), []);
    assert_eq!(driven.ask_for(1), [began + 5_000; 2], "each partition's");
}

#[test]
fn confirmations_wait_for_those_that_the_store_has_not_answered() {
    let mut driven = confirming();
    let began = driven.now.wall_ms;
    assert_eq!(driven.ask_for(5).len(), 2);
    assert_eq!(driven.ask_for(10), []);
    driven.done(StoreCallKind::Confirm);
    assert_eq!(driven.ask_for(1), [], "one of two is not answered");
    driven.done(StoreCallKind::Confirm);
    assert_eq!(driven.confirmations(), [began + 16_000; 2], "the newest, not each one missed");
}

#[test]
fn a_stored_confirmation_is_flushed_like_data() {
    let mut driven = confirming();
    driven.ask_for(5);
    driven.done(StoreCallKind::Confirm);
    driven.done(StoreCallKind::Confirm);
    driven.pass(Limits::PRODUCTION.flush_interval);
    assert!(driven.flushed());
}

#[test]
fn an_end_reached_confirms_the_time_of_its_question_not_of_its_answer() {
    let mut driven = Driven::reading();
    let asked = driven.now.wall_ms;
    driven.pass(SECOND);
    driven.log(ends(1, None));
    driven.pass(SECOND);
    driven.takes(batch(0, b"a"));
    assert_eq!(driven.node.status().confirmed_at_ms, asked);
}

#[test]
fn a_copy_of_an_empty_log_is_confirmed_as_of_the_question_that_found_it_empty() {
    let mut driven = Driven::new(Limits::PRODUCTION);
    let asked = driven.now.wall_ms;
    driven.pass(SECOND);
    driven.log(LogEvent::Facts(facts()));
    driven.pass(SECOND);
    driven.store(StoreEvent::Found(Found::Nothing));
    driven.done(StoreCallKind::Create);
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.log(LogEvent::TopicId(TOPIC));
    driven.log(LogEvent::TopicId(TOPIC));
    driven.done(StoreCallKind::Flush);
    driven.done(StoreCallKind::Activate);
    assert_eq!(driven.node.status().phase, Phase::Ready);
    assert_eq!(driven.node.status().confirmed_at_ms, asked, "records of since then are not in it");
}
