//! What the topic's configuration may have become while nobody asked.

use super::*;

const TRUST: Duration = Limits::PRODUCTION.policy_trust;

/// Offset `at` and the one behind it are missing before the end.
fn holed(at: u64) -> Batch {
    let mut builder = BatchBuilder::new(P0, 1, Offset(at));
    builder.push(Offset(at + 1), None, Some(b"other"), Some(b"v"));
    builder.at_end(Offset(at + 3), None)
}

/// READY at 1, whose process then sleeps, and wakes with a batch.
fn woken(after: Duration) -> Driven {
    let mut driven = Driven::reading();
    driven.takes(batch(0, b"k"));
    driven.log(ends(1, None));
    driven.effects();
    driven.now.mono += after;
    driven.now.wall_ms += u64::try_from(after.as_millis()).unwrap();
    driven.log(LogEvent::Fetched(holed(1)));
    driven
}

impl Driven {
    /// Batches that are applied once the flush that is due has asked for the topic's id.
    fn applied_when_checked(&mut self) -> usize {
        self.log(LogEvent::TopicId(TOPIC));
        self.event(Event::Timer);
        self.log(LogEvent::TopicId(TOPIC));
        applies(&self.effects())
    }
}

fn describes(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| **effect == Effect::Log(LogCall::Describe)).count()
}

#[test]
fn a_process_that_slept_asks_for_the_configuration_before_it_applies_anything() {
    let mut driven = woken(Duration::from_secs(3_600));
    let effects = driven.effects();
    assert_eq!((applies(&effects), describes(&effects)), (0, 1), "{effects:?}");
    driven.log(LogEvent::Facts(facts()));
    assert_eq!(driven.applied_when_checked(), 1, "nothing has changed");

    let mut driven = woken(Duration::from_secs(3_600));
    driven.log(LogEvent::Facts(facts().retaining(10_000)));
    driven.log(LogEvent::TopicId(TOPIC));
    driven.event(Event::Timer);
    driven.log(LogEvent::TopicId(TOPIC));
    let effects = driven.effects();
    assert_eq!(applies(&effects), 0, "a tombstone may have come and gone");
    assert!(effects.contains(&Effect::Store(StoreCall::Close { generation: G1 })), "{effects:?}");
}

/// The answer that is under way was asked for before the process slept.
#[test]
fn an_older_answer_lets_nothing_pass() {
    let mut driven = Driven::reading();
    driven.takes(batch(0, b"k"));
    driven.log(ends(1, None));
    driven.pass(Limits::PRODUCTION.describe_interval);
    assert_eq!(describes(&driven.effects()), 1);
    driven.pass(Duration::from_secs(3_600));
    driven.log(LogEvent::Fetched(holed(1)));
    driven.log(LogEvent::Facts(facts()));
    let effects = driven.effects();
    assert_eq!((applies(&effects), describes(&effects)), (0, 1), "{effects:?}");
    driven.log(LogEvent::Facts(facts()));
    assert_eq!(driven.applied_when_checked(), 1);
}

#[test]
fn at_the_tail_nothing_waits_and_far_behind_it_is_asked_for_in_time() {
    let mut driven = woken(TRUST - Duration::from_millis(1));
    assert_eq!(applies(&driven.effects()), 1);

    let behind = facts().reaching(0, 1_000);
    let mut driven = Driven::rebuilding(behind.clone(), Limits::PRODUCTION);
    driven.log(LogEvent::Assigned { partition: P0 });
    for at in 0..100 {
        driven.pass(Duration::from_secs(1));
        let mut effects = driven.effects();
        driven.takes(batch(at, b"k"));
        effects.extend(driven.effects());
        assert_eq!(applies(&effects), 1, "{at}");
        if describes(&effects) > 0 {
            driven.log(LogEvent::Facts(behind.clone()));
        }
    }
}

#[test]
fn a_question_that_fails_is_not_asked_without_a_pause() {
    let mut driven = woken(Duration::from_secs(3_600));
    driven.effects();
    let error = kafka_error(-187, "_ALL_BROKERS_DOWN");
    driven.log(LogEvent::Failed { call: LogCallKind::Describe, error });
    assert_eq!(describes(&driven.effects()), 0);
    driven.pass(Limits::PRODUCTION.retry_max);
    assert_eq!(describes(&driven.effects()), 1);
}

/// Shorter than what may pass unseen: whatever was applied lately may lack tombstones.
#[test]
fn a_retention_that_becomes_shorter_than_answers_are_trusted_leaves_nothing_to_trust() {
    let mut driven = Driven::reading();
    let lowered = facts().retaining(u64::try_from(TRUST.as_millis()).unwrap());
    driven.pass(Limits::PRODUCTION.describe_interval);
    driven.log(ends(0, None));
    driven.effects();
    driven.log(LogEvent::Facts(lowered));
    let effects = driven.effects();
    assert!(effects.contains(&Effect::Store(StoreCall::Close { generation: G1 })), "{effects:?}");
}

/// What was no gap of compaction's under the lag that was known may be one under the new one.
#[test]
fn gaps_that_a_lag_protected_count_when_it_was_lowered() {
    type Change = fn(&mut TopicPolicy);
    let changes: [(Change, bool); 3] = [
        (|policy| policy.min_compaction_lag_ms = 0, true),
        (|policy| policy.log_append_time = false, true),
        (|policy| policy.min_insync_replicas = 1, false),
    ];
    for (change, counts) in changes {
        let mut driven = Driven::reading();
        driven.log(ends(0, None));
        driven.pass(Limits::PRODUCTION.describe_interval - Duration::from_secs(1));
        driven.log(ends(0, None));
        driven.takes(records(0, [1], None, 9));
        assert_eq!(driven.node.shared.phase, Phase::Ready, "its markers, as far as is known");
        driven.pass(Duration::from_secs(1));
        let mut changed = facts();
        change(&mut changed.policy);
        driven.log(LogEvent::Facts(changed));
        assert_eq!(driven.node.shared.phase == Phase::CatchingUp, counts);
    }
}
