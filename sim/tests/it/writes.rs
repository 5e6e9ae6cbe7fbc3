//! What a caller is told of a write, and what became of it.

use std::time::Duration;

use outrigger_core::gate::{ReadLevel, Rejection};
use outrigger_core::node::{Command, Outcome, Reply};
use outrigger_core::offset::{Offset, Partition, Revision};
use outrigger_core::phase::Phase;
use outrigger_model::log::{AppendFate, Failure, Landing, Outage};

use crate::fixture::*;

#[test]
fn an_acknowledged_write_comes_back_through_the_log() {
    let mut world = ready(1);
    let outcome = write(&mut world, 0, "k", Some("v"));
    assert_eq!(outcome, Outcome::Appended(Revision { partition: Partition(0), offset: Offset(0) }));
    assert_eq!(get(&world, 0, &ReadLevel::Local, "k").as_deref(), Some("v"));
    write(&mut world, 0, "k", None);
    assert_eq!(get(&world, 0, &ReadLevel::Local, "k"), None);
}

#[test]
fn only_not_persisted_means_did_not_happen() {
    for (failure, landed) in [
        (Failure::landed_but_unknown(), true),
        (Failure::lost_but_unknown(), false),
        (Failure::not_enough_replicas_after_append(Landing::Now), true),
    ] {
        let mut world = ready(1);
        world.log.next_appends([AppendFate::Fails(failure)]);
        assert!(matches!(write(&mut world, 0, "k", Some("v")), Outcome::Unknown(_)));
        assert_eq!(get(&world, 0, &ReadLevel::Local, "k").is_some(), landed);
    }
    let mut world = ready(1);
    world.log.next_appends([AppendFate::Fails(Failure::not_persisted())]);
    assert!(matches!(write(&mut world, 0, "k", Some("v")), Outcome::DidNotHappen(_)));
    world.advance(Duration::from_secs(60));
    assert_eq!(get(&world, 0, &ReadLevel::Local, "k"), None);
}

#[test]
fn a_write_that_lands_a_minute_later_was_called_unknown() {
    let mut world = ready(1);
    world.log.next_appends([AppendFate::Fails(Failure::lands_late(Duration::from_secs(60)))]);
    assert!(matches!(write(&mut world, 0, "k", Some("v")), Outcome::Unknown(_)));
    world.advance(Duration::from_secs(61));
    assert_eq!(get(&world, 0, &ReadLevel::Local, "k").as_deref(), Some("v"));
}

#[test]
fn a_write_without_brokers_is_answered_in_bounded_time() {
    let mut world = ready(1);
    world.log.set_outage(Some(Outage::unreachable()));
    let id = world.command(0, Command::Write(vec![change("k", Some("v"))]));
    world.advance(Duration::from_secs(11));
    let Some(Reply::Written { outcomes, .. }) = world.reply(0, id) else { panic!("no answer") };
    assert!(matches!(outcomes[..], [Outcome::Unknown(_)]));
}

#[test]
fn writes_are_taken_while_restoring_but_never_before_the_topic_is_accepted() {
    let mut world = world(1, 1);
    append(&mut world, &[("a", Some("1"))]);
    world.log.stall_fetches(0, true);
    world.start(0);
    assert!(matches!(world.phase(0), Phase::Restoring(_)));
    assert!(matches!(write(&mut world, 0, "k", Some("v")), Outcome::Appended(_)));

    let mut policy = world.log.policy().clone();
    policy.cleanup = "delete".to_owned();
    world.crash(0, NOTHING);
    world.log.set_policy(policy);
    world.start(0);
    let id = world.command(0, Command::Write(vec![change("k", Some("v"))]));
    assert!(matches!(world.reply(0, id), Some(Reply::Rejected(Rejection::Refused(_)))));
}

#[test]
fn partitions_are_read_and_written_apart_and_equal_the_fold() {
    let mut world = ready(7);
    for number in 0..100 {
        let key = format!("key {}", number % 40);
        let value = format!("{number}");
        write(&mut world, 0, &key, if number % 5 == 0 { None } else { Some(&value) });
    }
    assert_exact(&world, 0);
    let partitions: std::collections::BTreeSet<_> = world
        .rows(0, &ReadLevel::Local)
        .into_values()
        .map(|(revision, _)| revision.partition)
        .collect();
    assert!(partitions.len() > 3, "keys spread over the partitions");
}

#[test]
fn a_drain_answers_what_is_under_way_flushes_and_takes_nothing_new() {
    let mut world = ready(1);
    write(&mut world, 0, "k", Some("v"));
    let drain = world.command(0, Command::Drain);
    world.advance(Duration::from_secs(1));
    assert_eq!(world.reply(0, drain), Some(Reply::Drained));
    let late = world.command(0, Command::Write(vec![change("l", Some("v"))]));
    assert_eq!(world.reply(0, late), Some(Reply::Rejected(Rejection::Draining)));
    world.crash(0, NOTHING);
    world.start(0);
    assert_eq!(world.node(0).status().partitions[0].durable, Offset(1), "the drain flushed");
}
