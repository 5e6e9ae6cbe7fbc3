//! A partition without a leader: its own keys wait, and nothing else does.

use super::*;
use crate::gate::{Rejection, Until};
use crate::stall::StallKind;
use crate::topic::TopicFacts;

const DEADLINE: Duration = Duration::from_secs(2);

fn no_leader() -> KafkaError {
    kafka_error(5, "LEADER_NOT_AVAILABLE")
}

/// Only partition 0 answers.
fn one_end(high_watermark: u64) -> LogEvent {
    LogEvent::Ends(vec![Ok(end(high_watermark, None)), Err(no_leader())])
}

fn both_ends() -> LogEvent {
    LogEvent::Ends(vec![Ok(end(0, None)); 2])
}

fn leaderless(topic: TopicId, partitions: u32) -> LogEvent {
    let LogFacts { cluster, policy, .. } = facts();
    let topic = TopicFacts { cluster, topic, policy, partitions };
    LogEvent::Leaderless { topic, partition: P1, error: no_leader() }
}

fn ready() -> Driven {
    Driven::ready(facts().of_partitions(2), Limits::PRODUCTION)
}

impl Driven {
    fn wait_for_latest(&mut self, id: u64, of: Option<Partition>) {
        let until = Until::Latest(of);
        self.event(Event::Command(RequestId(id), Command::Await { until, deadline: DEADLINE }));
    }

    fn silences(&self) -> Vec<String> {
        let stalls = self.node.shared.stalls.all();
        let silent = stalls.filter(|stall| stall.kind == StallKind::LeaderUnavailable);
        silent.map(|stall| stall.detail.clone()).collect()
    }
}

#[test]
fn the_latest_of_a_key_asks_its_own_leader_only() {
    let mut driven = ready();
    driven.log(both_ends());
    driven.pass(Limits::PRODUCTION.ends_interval);
    for (id, of) in [(1, Some(P0)), (2, Some(P1)), (3, None)] {
        driven.wait_for_latest(id, of);
    }
    driven.log(one_end(0));
    driven.log(one_end(0));
    let reached = Reply::Reached { end: Some(vec![Offset(0); 2]) };
    assert_eq!(driven.replies(), [(1, reached.clone())]);
    driven.pass(DEADLINE);
    let rejected = Reply::Rejected(Rejection::Leaderless { partition: P1 });
    assert_eq!(driven.replies(), [(2, rejected.clone()), (3, rejected)]);
    driven.wait_for_latest(4, Some(P1));
    driven.log(both_ends());
    driven.log(both_ends());
    assert_eq!(driven.replies(), [(4, reached)]);
}

#[test]
fn a_silent_leader_is_named_until_it_answers_whatever_else_is_answered() {
    let named = "partition 1: LEADER_NOT_AVAILABLE (5)";
    let mut driven = ready();
    driven.log(one_end(0));
    assert_eq!(driven.silences(), [named]);
    driven.log(leaderless(TOPIC, 2));
    assert_eq!(driven.silences(), [named]);
    driven.pass(Limits::PRODUCTION.ends_interval);
    driven.log(both_ends());
    assert_eq!(driven.silences(), [""; 0]);
}

#[test]
fn the_other_partitions_go_on_being_confirmed() {
    let mut driven = ready();
    let ages = |driven: &Driven| {
        let Stage::Reading(reading) = &driven.node.stage else { panic!("it reads") };
        reading.ages(driven.node.shared.now)
    };
    driven.log(both_ends());
    let interval = Limits::PRODUCTION.ends_interval;
    driven.pass(interval);
    driven.pass(interval);
    driven.log(one_end(0));
    assert_eq!(ages(&driven), [interval, 2 * interval], "as old as the question that was answered");
}

/// The topic's audit needs no leader: another topic of the name is noticed.
#[test]
fn a_topic_that_was_made_anew_is_noticed_though_a_leader_is_silent() {
    for (topic, partitions, reads) in [(TOPIC, 2, true), (OTHER_TOPIC, 2, false), (TOPIC, 3, false)]
    {
        let mut driven = ready();
        driven.pass(Limits::PRODUCTION.describe_interval);
        driven.log(leaderless(topic, partitions));
        let goes_on = matches!(driven.node.stage, Stage::Reading(_));
        assert_eq!(goes_on, reads, "{topic:?} with {partitions} partitions");
    }
}

#[test]
fn nothing_is_decided_about_a_copy_before_every_leader_has_answered() {
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.effects();
    driven.log(leaderless(TOPIC, 2));
    let opens = |effect: &Effect| matches!(effect, Effect::Store(StoreCall::Open { .. }));
    assert!(!driven.effects().iter().any(opens));
    assert_eq!(driven.silences(), ["partition 1: LEADER_NOT_AVAILABLE (5)"]);
    driven.log(LogEvent::Facts(facts().of_partitions(2)));
    assert!(driven.effects().iter().any(opens), "it is asked again");
}
