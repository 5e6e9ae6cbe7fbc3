//! From what is found to what is read, and back: what is served meanwhile, removed, tried again.

use super::*;
use crate::stall::StallKind;
use crate::store::{FoundCopy, FoundGeneration, StoreError, StoreErrorKind};

const NOW_MS: u64 = 1_000_000;
const RETENTION_MS: u64 = 100_000;
/// Behind the horizon of a copy with this retention.
const OLD_MS: u64 = NOW_MS - 2 * RETENTION_MS;

fn two_partitions() -> LogFacts {
    facts().of_partitions(2).retaining(RETENTION_MS)
}

fn confirmed(generation: Generation, at_ms: [u64; 2]) -> Option<FoundGeneration> {
    intact(generation, at_ms.map(|at_ms| Lineage::empty(at_ms, RETENTION_MS)))
}

fn opened(current: Option<FoundGeneration>, building: Option<FoundGeneration>) -> Driven {
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.log(LogEvent::Facts(two_partitions()));
    driven.effects();
    driven.store(StoreEvent::Found(Found::Copy(FoundCopy { current, building, next: G3 })));
    driven
}

impl Driven {
    pub(super) fn store_calls(&mut self) -> Vec<StoreCall> {
        let call = |effect| match effect {
            Effect::Store(call) => Some(call),
            Effect::Log(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Reply(..)
            | Effect::Notice(_) => None,
        };
        self.effects().into_iter().filter_map(call).collect()
    }

    pub(super) fn ended(&mut self, call: StoreCallKind, generation: Generation) {
        self.store(StoreEvent::Done { call, generation });
    }

    pub(super) fn fails(&mut self, call: StoreCallKind, kind: StoreErrorKind) {
        let error = StoreError { kind, detail: "detail".to_owned() };
        self.store(StoreEvent::Failed { call, error });
    }

    /// Everything read, flushed and in use.
    fn activated(&mut self, generation: Generation) {
        for partition in Partition::all(2) {
            self.log(LogEvent::Assigned { partition });
        }
        self.log(LogEvent::TopicId(TOPIC));
        self.ended(StoreCallKind::Flush, generation);
        self.ended(StoreCallKind::Activate, generation);
        assert_eq!(self.node.shared.phase, Phase::Ready);
    }
}

#[test]
fn a_copy_served_beside_its_rebuild_is_as_old_as_its_oldest_partition_and_goes_at_the_end() {
    let mut driven = opened(confirmed(G1, [OLD_MS, OLD_MS - 7]), None);
    driven.ended(StoreCallKind::Create, G3);
    let gate = driven.node.gate();
    assert_eq!((gate.generation, gate.confirmed_at_ms), (Some(G1), OLD_MS - 7));
    driven.activated(G3);
    assert!(driven.store_calls().contains(&StoreCall::Remove { generation: G1 }));
}

#[test]
fn an_unfinished_rebuild_goes_on_and_then_replaces_what_was_served() {
    let mut driven = opened(confirmed(G1, [OLD_MS - 7, OLD_MS]), confirmed(G2, [NOW_MS; 2]));
    assert_eq!(driven.store_calls(), [], "nothing to prepare");
    let gate = driven.node.gate();
    assert_eq!((gate.generation, gate.confirmed_at_ms), (Some(G1), OLD_MS - 7));
    driven.activated(G2);
    assert!(driven.store_calls().contains(&StoreCall::Remove { generation: G1 }));
}

#[test]
fn an_unfinished_rebuild_of_an_empty_node_removes_nothing() {
    let mut driven = opened(None, confirmed(G2, [NOW_MS; 2]));
    driven.activated(G2);
    let removes = |call: &StoreCall| matches!(call, StoreCall::Remove { .. });
    assert!(!driven.store_calls().iter().any(removes));
}

/// Closed without flushing: both forget what is not on disk before either is judged again.
#[test]
fn nothing_is_opened_again_before_every_generation_is_closed() {
    let mut driven = opened(confirmed(G1, [OLD_MS; 2]), confirmed(G2, [NOW_MS; 2]));
    driven.effects();
    driven.log(LogEvent::TopicId(OTHER_TOPIC));
    let closes = [G1, G2].map(|generation| StoreCall::Close { generation });
    assert_eq!(driven.store_calls(), closes);
    driven.ended(StoreCallKind::Close, G1);
    assert!(!driven.effects().contains(&Effect::Log(LogCall::Describe)), "one is still open");
    driven.ended(StoreCallKind::Close, G2);
    assert!(driven.effects().contains(&Effect::Log(LogCall::Describe)));
}

#[test]
fn a_close_that_fails_has_closed_and_no_other_failure_has() {
    let mut driven = Driven::reading();
    driven.log(LogEvent::Fetched(batch(0, b"a")));
    driven.log(LogEvent::TopicId(OTHER_TOPIC));
    driven.effects();
    driven.fails(StoreCallKind::Apply, StoreErrorKind::Io);
    assert!(!driven.effects().contains(&Effect::Log(LogCall::Describe)));
    driven.fails(StoreCallKind::Close, StoreErrorKind::Io);
    assert!(driven.effects().contains(&Effect::Log(LogCall::Describe)));
}

#[test]
fn a_disk_that_fails_is_opened_again_after_longer_and_longer_pauses() {
    let limits = Limits::PRODUCTION;
    let mut driven = Driven::new(limits.clone());
    for failures in 0..8 {
        driven.log(LogEvent::Facts(facts()));
        driven.fails(StoreCallKind::Open, StoreErrorKind::Io);
        driven.effects();
        let pause = limits.retry_after(failures);
        assert_eq!(driven.node.next_timer(), Some(driven.now.mono + pause));
        driven.pass(pause - Duration::from_millis(1));
        assert_eq!(driven.effects(), []);
        driven.pass(Duration::from_millis(1));
        driven.event(Event::Timer);
        assert!(driven.effects().contains(&Effect::Log(LogCall::Describe)));
    }
}

#[test]
fn damage_counts_once_and_only_in_a_generation_that_is_open() {
    let damaged = |generation| Event::Damaged { generation, detail: "a block".to_owned() };
    let mut driven = Driven::reading();
    driven.event(damaged(G2));
    assert_eq!(driven.effects(), [], "an old read of what is gone");
    driven.event(damaged(G1));
    let closes = StoreCall::Close { generation: G1 };
    assert_eq!(driven.store_calls(), [closes]);
    driven.event(damaged(G1));
    assert_eq!(driven.effects(), [], "known");
}

/// A copy answers reads while the store is prepared: what one of them meets then must not be forgotten with READY.
#[test]
fn damage_that_is_met_before_reading_begins_is_judged_before_anything_is_read() {
    let mut driven = opened(confirmed(G1, [NOW_MS; 2]), confirmed(G2, [OLD_MS; 2]));
    assert_eq!(driven.store_calls(), [StoreCall::Remove { generation: G2 }]);
    driven.event(Event::Damaged { generation: G1, detail: "a block".to_owned() });
    assert_eq!(driven.store_calls(), [], "the disk answers first");
    driven.store(StoreEvent::Done { call: StoreCallKind::Remove, generation: G2 });
    assert_eq!(driven.store_calls(), [StoreCall::Close { generation: G1 }]);
}

/// Else a generation that quarantine could not move would be opened and served again.
#[test]
fn what_a_write_found_corrupt_is_not_read_again_though_it_opens() {
    for (kind, stays) in [(StoreErrorKind::Io, true), (StoreErrorKind::Corrupt, false)] {
        let mut driven = Driven::reading();
        driven.log(LogEvent::Fetched(batch(0, b"a")));
        driven.fails(StoreCallKind::Apply, kind);
        driven.pass(Limits::PRODUCTION.retry_max);
        driven.done(StoreCallKind::Close);
        driven.log(LogEvent::Facts(facts()));
        driven.effects();
        let current = intact(G1, [Lineage::empty(NOW_MS, RETENTION_MS)]);
        driven.store(StoreEvent::Found(copy(current, None)));
        let quarantines = |call: &StoreCall| matches!(call, StoreCall::Quarantine { .. });
        assert_eq!(!driven.store_calls().iter().any(quarantines), stays, "{kind}");
    }
}

#[test]
fn a_failing_removal_of_what_was_replaced_stops_nothing() {
    let mut driven = opened(confirmed(G1, [OLD_MS; 2]), confirmed(G2, [NOW_MS; 2]));
    driven.activated(G2);
    driven.fails(StoreCallKind::Remove, StoreErrorKind::Io);
    assert_eq!(driven.node.shared.phase, Phase::Ready);
    driven.log(LogEvent::Fetched(batch(0, b"a")));
    driven.fails(StoreCallKind::Apply, StoreErrorKind::Full);
    let kinds: Vec<_> = driven.node.status().stalls.iter().map(|stall| stall.kind).collect();
    assert_eq!(kinds, [StallKind::StoreFull]);
}

/// What one answer showed, every later one is held against: a copy may be too young to know it.
#[test]
fn a_leader_older_than_one_that_answered_before_is_waited_out() {
    let answered_by = |epoch| LogEvent::Facts(facts().led_by(epoch));
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.log(answered_by(3));
    driven.store(StoreEvent::Found(Found::Nothing));
    driven.fails(StoreCallKind::Create, StoreErrorKind::Io);
    driven.pass(Limits::PRODUCTION.retry_max);
    driven.log(answered_by(2));
    driven.store(StoreEvent::Found(Found::Nothing));
    let kinds = |driven: &Driven| -> Vec<_> {
        driven.node.status().stalls.iter().map(|stall| stall.kind).collect()
    };
    assert!(kinds(&driven).contains(&StallKind::StaleLeader), "{:?}", kinds(&driven));
    driven.effects();
    driven.log(answered_by(3));
    assert!(matches!(driven.store_calls()[..], [StoreCall::Create { .. }]));
}

/// It says nothing against the copy, and nobody else may answer for long.
#[test]
fn a_copy_answers_stale_reads_while_only_a_deposed_leader_answers() {
    let lineage = Lineage::empty(900_000, DAY_MS).read_to(1).of_epochs(&[(2, 0)]);
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.log(LogEvent::Facts(facts().led_by(1)));
    driven.store(StoreEvent::Found(copy(intact(G1, [lineage]), None)));
    let stalls = driven.node.status().stalls;
    assert_eq!(stalls.iter().map(|stall| stall.kind).collect::<Vec<_>>(), [StallKind::StaleLeader]);
    let gate = driven.node.gate();
    assert_eq!((&gate.phase, gate.generation), (&Phase::Opening, Some(G1)));
    assert!(!gate.fed, "it is not known to be exact");
}

/// Asked before the copy was closed, those ends may lie below what it holds: no proof of a loss.
#[test]
fn facts_asked_for_before_the_copy_was_closed_are_asked_for_again() {
    let mut driven = Driven::reading();
    driven.pass(Limits::PRODUCTION.describe_interval);
    assert!(driven.effects().contains(&Effect::Log(LogCall::Describe)));
    driven.log(LogEvent::TopicId(OTHER_TOPIC));
    driven.done(StoreCallKind::Close);
    driven.effects();
    driven.log(LogEvent::Facts(facts()));
    assert_eq!(driven.effects(), [Effect::Log(LogCall::Describe)]);
    driven.log(LogEvent::Facts(facts()));
    assert!(matches!(driven.store_calls()[..], [StoreCall::Open { .. }]));
}

#[test]
fn a_refused_node_goes_on_with_what_it_found_unless_the_topic_is_another() {
    let unsafe_topic = |topic| LogFacts { topic, ..two_partitions().deleting() };
    let refused = || {
        let mut driven = Driven::new(Limits::PRODUCTION);
        driven.log(LogEvent::Facts(unsafe_topic(TOPIC)));
        driven.store(StoreEvent::Found(copy(confirmed(G1, [NOW_MS; 2]), None)));
        driven.effects();
        driven
    };
    let mut mended = refused();
    mended.log(LogEvent::Facts(two_partitions()));
    assert_eq!(mended.node.shared.phase, Phase::Ready);
    assert_eq!(mended.store_calls(), [], "nothing is opened again");

    let mut recreated = refused();
    recreated.log(LogEvent::Facts(unsafe_topic(OTHER_TOPIC)));
    assert_eq!(recreated.store_calls(), [StoreCall::Close { generation: G1 }]);
    assert!(
        matches!(recreated.node.shared.phase, Phase::Refused(_)),
        "refused until it is judged again"
    );
}

#[test]
fn a_retention_that_was_lowered_while_a_node_refused_counts_when_it_is_raised_again() {
    let changed = |cleanup: &str, delete_retention_ms| {
        let mut facts = two_partitions().retaining(delete_retention_ms);
        facts.policy.cleanup = cleanup.to_owned();
        LogEvent::Facts(facts)
    };
    for (lowered_ms, rebuilt) in [(RETENTION_MS, false), (RETENTION_MS / 4, true)] {
        let mut driven = Driven::new(Limits::PRODUCTION);
        driven.log(changed("delete", RETENTION_MS));
        let current = confirmed(G1, [NOW_MS - RETENTION_MS / 2; 2]);
        driven.store(StoreEvent::Found(copy(current, None)));
        driven.log(changed("delete", lowered_ms));
        driven.recorded();
        driven.log(changed("compact", RETENTION_MS));
        let calls = driven.store_calls();
        let creates = calls.iter().any(|call| matches!(call, StoreCall::Create { .. }));
        assert_eq!(creates, rebuilt, "{lowered_ms}: {calls:?}");
    }
}

#[test]
fn the_horizon_of_a_copy_that_waits_counts_a_retention_that_was_lowered() {
    let refusing = |delete_retention_ms| {
        LogEvent::Facts(two_partitions().retaining(delete_retention_ms).deleting())
    };
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.log(refusing(RETENTION_MS));
    let current = confirmed(G1, [NOW_MS - RETENTION_MS / 4; 2]);
    driven.store(StoreEvent::Found(copy(current, None)));
    let before = driven.node.status().horizon.expect("a copy is served");
    driven.log(refusing(RETENTION_MS / 2));
    let lowered = driven.node.status().horizon.expect("it is served still");
    assert_eq!(lowered.of, before.of / 2);
    assert_eq!(before.left - lowered.left, before.of - lowered.of);
    driven.log(refusing(RETENTION_MS));
    assert_eq!(driven.node.status().horizon, Some(lowered), "tombstones may be gone by now");
}

#[test]
fn what_a_topics_predecessor_showed_is_not_held_against_it() {
    let first_epochs = |topic, epoch| LogEvent::Facts(LogFacts { topic, ..facts().led_by(epoch) });
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.log(first_epochs(TOPIC, 8));
    driven.store(StoreEvent::Found(Found::Nothing));
    driven.fails(StoreCallKind::Create, StoreErrorKind::Io);
    driven.pass(Limits::PRODUCTION.retry_max);
    driven.log(first_epochs(OTHER_TOPIC, 0));
    driven.effects();
    driven.store(StoreEvent::Found(Found::Nothing));
    assert!(matches!(driven.store_calls()[..], [StoreCall::Create { .. }]));
}

#[test]
fn a_topic_that_changes_under_a_reading_node_is_judged_again_and_one_that_does_not_is_read_on() {
    let another = LogFacts { topic: OTHER_TOPIC, ..facts() };
    for (facts, calls) in [
        (facts(), vec![]),
        (another, vec![StoreCall::Close { generation: G1 }]),
        (facts().deleting(), vec![StoreCall::Close { generation: G1 }]),
    ] {
        let mut driven = Driven::reading();
        driven.log(LogEvent::Facts(facts));
        assert_eq!(driven.store_calls(), calls);
    }
}
