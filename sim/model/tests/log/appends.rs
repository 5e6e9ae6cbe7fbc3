//! What becomes of an append, and what its client is told: two different things.

use std::time::Duration;

use outrigger_core::conformance::log::{LogUnderTest, read_to};
use outrigger_core::log::{KafkaError, LogEvent};
use outrigger_core::offset::{Offset, Partition, Revision};
use outrigger_model::log::{AppendFate, Failure, Landing, Outage};

use crate::world::{World, config, writes};

const P0: Partition = Partition(0);
const SOON: Duration = Duration::from_secs(1);

fn outcome(world: &mut World, within: Duration) -> Option<Result<Revision, KafkaError>> {
    match world.next_event(1, within)? {
        LogEvent::Appended { mut results, .. } => results.pop(),
        LogEvent::Trouble(_) => outcome(world, within),
        other => panic!("{other:?}"),
    }
}

fn keys(world: &mut World) -> Vec<String> {
    let end = world.model.last_stable(P0);
    let seen = read_to(world, 9, P0, Offset(0), end);
    seen.records
        .into_iter()
        .map(|(_, key, _)| String::from_utf8(key).expect("keys here are text"))
        .collect()
}

fn fails(failure: Failure) -> (Result<Revision, KafkaError>, Vec<String>) {
    let mut world = World::new(config(1));
    world.model.next_appends([AppendFate::Fails(failure)]);
    world.call(1, writes(1, &["it"]));
    let told = outcome(&mut world, SOON).expect("an answer");
    (told, keys(&mut world))
}

#[test]
fn an_unknown_outcome_may_have_landed_or_not() {
    let (told, log) = fails(Failure::landed_but_unknown());
    assert!(!told.unwrap_err().not_persisted);
    assert_eq!(log, ["it"]);
    let (told, log) = fails(Failure::lost_but_unknown());
    assert!(!told.unwrap_err().not_persisted);
    assert!(log.is_empty());
}

#[test]
fn not_persisted_is_never_in_the_log() {
    let (told, log) = fails(Failure::not_persisted());
    assert!(told.unwrap_err().not_persisted && log.is_empty());
}

#[test]
fn refused_after_append_may_stay() {
    let (told, log) = fails(Failure::not_enough_replicas_after_append(Landing::Now));
    assert_eq!(told.unwrap_err().code, 20);
    assert_eq!(log, ["it"]);
}

#[test]
fn a_late_landing_comes_behind_later_writes() {
    let mut world = World::new(config(1));
    let late = Failure::lands_late(Duration::from_secs(60));
    world.model.next_appends([AppendFate::Fails(late)]);
    world.call(1, writes(1, &["late"]));
    assert!(outcome(&mut world, SOON).unwrap().is_err());
    world.call(1, writes(2, &["next"]));
    assert!(outcome(&mut world, SOON).unwrap().is_ok());
    assert_eq!(keys(&mut world), ["next"]);
    assert_eq!(outcome(&mut world, Duration::from_secs(70)), None);
    assert_eq!(keys(&mut world), ["next", "late"]);
}

#[test]
fn a_short_outage_only_delays_an_append() {
    let mut world = World::new(config(1));
    world.model.set_outage(Some(Outage::unreachable()));
    world.call(1, writes(1, &["first"]));
    world.call(1, writes(2, &["second"]));
    assert_eq!(outcome(&mut world, Duration::from_secs(20)), None);
    world.model.set_outage(None);
    assert!(outcome(&mut world, SOON).unwrap().is_ok());
    assert!(outcome(&mut world, SOON).unwrap().is_ok());
    assert_eq!(keys(&mut world), ["first", "second"]);
}

#[test]
fn a_long_outage_ends_an_append_as_it_was_told_to() {
    for (failure, landed) in [(Failure::not_persisted(), 0), (Failure::landed_but_unknown(), 1)] {
        let mut world = World::new(config(1));
        let outage = Outage { append: failure.clone(), ..Outage::unreachable() };
        world.model.set_outage(Some(outage));
        world.call(1, writes(1, &["it"]));
        let told = outcome(&mut world, Duration::from_secs(40)).unwrap();
        assert_eq!(told, Err(failure.error));
        world.model.set_outage(None);
        assert_eq!(keys(&mut world).len(), landed);
    }
}

#[test]
fn a_dead_clients_queue_dies_with_it() {
    let mut world = World::new(config(1));
    world.model.set_outage(Some(Outage::unreachable()));
    world.call(1, writes(1, &["queued"]));
    world.model.forget(1);
    world.model.set_outage(None);
    assert_eq!(world.next_event(1, Duration::from_secs(60)), None);
    assert!(keys(&mut world).is_empty());
}

#[test]
fn a_record_too_large_fails_alone() {
    let mut world = World::new(config(1));
    let large = "x".repeat(1_048_588);
    world.call(1, writes(1, &["before", &large, "after"]));
    let Some(LogEvent::Appended { results, .. }) = world.next_event(1, SOON) else {
        panic!("no answer");
    };
    let told: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(told, [true, false, true]);
    assert!(results[1].as_ref().unwrap_err().not_persisted);
    assert_eq!(keys(&mut world), ["before", "after"]);
}

#[test]
fn every_client_hears_of_trouble_once() {
    let mut world = World::new(config(1));
    world.call(1, writes(1, &["it"]));
    assert!(outcome(&mut world, SOON).is_some());
    world.model.set_outage(Some(Outage::unreachable()));
    let trouble = LogEvent::Trouble(Outage::unreachable().error);
    assert_eq!(world.next_event(1, SOON), Some(trouble));
    assert_eq!(world.next_event(1, SOON), None);
}
