//! Levels and tokens: a session never goes back, and never waits for what cannot come.

use std::time::Duration;

use outrigger_core::gate::{Admit, ReadLevel, Rejection, Until};
use outrigger_core::node::{Command, Reply};
use outrigger_core::offset::{Epoch, Offset, Partition, Revision};
use outrigger_core::token::Token;
use outrigger_core::topic::TopicId;
use outrigger_model::log::Outage;
use outrigger_sim::world::World;

use crate::fixture::*;

const DEADLINE: Duration = Duration::from_secs(5);

fn token(offset: u64, epoch: Option<u32>) -> Token {
    Token { topic: TopicId([1; 16]), positions: vec![(Offset(offset), epoch.map(Epoch))] }
}

fn await_reply(world: &mut World, until: Until, during: impl FnOnce(&mut World)) -> Reply {
    let id = world.command(0, Command::Await { until, deadline: DEADLINE });
    during(world);
    world.advance(DEADLINE + Duration::from_secs(2));
    world.reply(0, id).expect("an await is answered within its deadline")
}

#[test]
fn a_position_already_reached_is_read_at_once() {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("1"))]);
    let level = ReadLevel::AtLeast(token(1, None));
    let admitted = world.node(0).gate().admit(&level, None, world.now);
    assert!(matches!(admitted, Ok(Admit::Now(_))));
}

#[test]
fn a_position_to_come_is_waited_for() {
    let mut world = ready(1);
    world.log.stall_fetches(0, true);
    append(&mut world, &[("a", Some("1"))]);
    let reply = await_reply(&mut world, Until::AtLeast(token(1, None)), |world| {
        world.log.stall_fetches(0, false)
    });
    assert_eq!(reply, Reply::Reached { end: None });
}

#[test]
fn latest_waits_for_the_end_that_the_leader_answers_afterwards() {
    let mut world = ready(1);
    world.log.stall_fetches(0, true);
    append(&mut world, &[("a", Some("1"))]);
    let id = world.command(0, Command::Await { until: Until::Latest(None), deadline: DEADLINE });
    world.advance(Duration::from_secs(2));
    assert_eq!(world.reply(0, id), None, "the copy is behind the end");
    world.log.stall_fetches(0, false);
    world.advance(Duration::from_secs(1));
    let end = Some(vec![Offset(1)]);
    assert_eq!(world.reply(0, id), Some(Reply::Reached { end }));
    assert_eq!(get(&world, 0, &ReadLevel::Local, "a").as_deref(), Some("1"));
}

#[test]
fn a_wait_ends_at_its_deadline_and_names_what_it_waited_for() {
    let mut world = ready(1);
    world.log.set_outage(Some(Outage::unreachable()));
    let reply = await_reply(&mut world, Until::Latest(None), |_| ());
    let Reply::Rejected(Rejection::Deadline { stall: Some(stall) }) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(stall.name(), "log_unreachable");
}

#[test]
fn a_token_of_another_topic_is_an_error_not_a_wait() {
    let world = ready(1);
    let foreign = Token { topic: TopicId([9; 16]), ..token(0, None) };
    let rejected = world.node(0).gate().admit(&ReadLevel::AtLeast(foreign), None, world.now);
    assert!(matches!(rejected, Err(Rejection::TokenOfAnotherTopic { .. })));
}

#[test]
fn a_token_with_other_partitions_is_an_error_not_a_wait() {
    let world = ready(2);
    let rejected = world.node(0).gate().admit(&ReadLevel::AtLeast(token(0, None)), None, world.now);
    assert!(matches!(rejected, Err(Rejection::TokenMalformed { has: 1, partitions: 2 })));
}

#[test]
fn a_token_beyond_a_log_that_lost_records_is_an_error_not_a_wait() {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("1"))]);
    let reply = await_reply(&mut world, Until::AtLeast(token(7, Some(0))), |_| ());
    assert!(matches!(reply, Reply::Rejected(Rejection::TokenBeyondLog { .. })), "{reply:?}");
}

#[test]
fn a_token_of_another_history_is_an_error_not_a_wait() {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("1")), ("b", Some("2"))]);
    world.advance(Duration::from_secs(2));
    world.truncate(P0, Offset(1));
    append(&mut world, &[("x", Some("3")), ("y", Some("4")), ("z", Some("5"))]);
    world.advance(Duration::from_secs(60));
    world.until_ready(0);
    let old = ReadLevel::AtLeast(token(2, Some(0)));
    let rejected = world.node(0).gate().admit(&old, None, world.now);
    assert!(matches!(rejected, Err(Rejection::TokenOfAnotherHistory)), "{rejected:?}");
}

#[test]
fn a_copy_older_than_asked_for_is_refused() {
    let mut world = ready(1);
    world.log.set_outage(Some(Outage::unreachable()));
    world.advance(Duration::from_secs(30));
    let admit = |max_ms| world.node(0).gate().admit(&ReadLevel::Local, max_ms, world.now);
    assert!(matches!(admit(Some(1_000)), Err(Rejection::TooStale { max_ms: 1_000, .. })));
    assert!(admit(Some(60_000)).is_ok());
}

#[test]
fn a_write_is_read_on_another_node_by_its_token() {
    let mut world = world(1, 2);
    world.start(0);
    world.start(1);
    world.until_ready(0);
    world.until_ready(1);
    write(&mut world, 0, "k", Some("v"));
    let revision = Revision { partition: Partition(0), offset: Offset(0) };
    let token = Token::of_write(TopicId([1; 16]), 1, revision);
    let id = world.command(1, Command::Await { until: Until::AtLeast(token), deadline: DEADLINE });
    assert_eq!(world.reply(1, id), Some(Reply::Reached { end: None }));
    assert_eq!(get(&world, 1, &ReadLevel::Local, "k").as_deref(), Some("v"));
}
