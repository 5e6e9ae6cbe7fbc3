//! Reading a compacted log up to P does not give the state at P: a record below P may be gone
//! because a later one, beyond P, replaced it.

use std::time::Duration;

use outrigger_core::gate::ReadLevel;
use outrigger_core::limits::Limits;
use outrigger_core::node::{Event, Notice};
use outrigger_core::offset::Offset;
use outrigger_core::phase::Phase;
use outrigger_model::log::{ProducerId, Verdict};
use outrigger_sim::world::World;

use crate::fixture::*;

/// `k` = v0 @0, `second` @3001, the end at 3502 when the node starts; it has read up to 5 when `k` is
/// written once more at 3502 and compaction removes 3001.
fn the_case(second: Option<&str>) -> World {
    // One record a batch: some batch ends exactly at the target.
    let limits = Limits { fetch_bytes_max: 1, ..Limits::PRODUCTION };
    let mut world = World::new(config(1), 1, limits);
    append(&mut world, &[("k", Some("v0"))]);
    for number in 1..=3_000 {
        append(&mut world, &[(&format!("filler {number}"), Some("x"))]);
    }
    append(&mut world, &[("k", second)]);
    for number in 3_002..3_502 {
        append(&mut world, &[(&format!("filler {number}"), Some("x"))]);
    }
    start_and_read_five(&mut world);
    assert_eq!(append(&mut world, &[("k", Some("v2"))]), [Offset(3_502)]);
    world
}

/// The node starts and reads its first five records.
fn start_and_read_five(world: &mut World) {
    world.log.stall_fetches(0, true);
    world.start(0);
    read_to(world, Offset(5));
}

/// Reads one batch after another up to `position`, and none behind it.
fn read_to(world: &mut World, position: Offset) {
    while world.node(0).gate().positions.first().is_none_or(|read| *read < position) {
        world.log.stall_fetches(0, false);
        let mut out = Vec::new();
        world.log.tick(world.now, &mut out);
        world.log.stall_fetches(0, true);
        assert!(!out.is_empty(), "a batch is there to be read");
        for (_, event) in out {
            world.event(0, Event::Log(event));
        }
    }
    assert_eq!(world.node(0).gate().positions, [position]);
}

#[test]
fn a_value_superseded_beyond_the_target_is_never_served_as_ready() {
    for second in [Some("v1"), None] {
        let mut world = the_case(second);
        clean(&mut world);
        read_to(&mut world, Offset(3_502));
        world.advance(Duration::from_secs(30));
        assert_eq!(
            world.phase(0),
            Phase::CatchingUp,
            "the target is reached, the copy is not exact"
        );
        world.log.stall_fetches(0, false);
        world.until_ready(0);
        assert_exact(&world, 0);
        assert_eq!(get(&world, 0, &ReadLevel::Local, "k").as_deref(), Some("v2"));
        let exact_from = world.node(0).status().partitions[0].exact_from;
        assert_eq!(exact_from, Offset(3_503), "the gap counts up to the log's end at that fetch");
    }
}

#[test]
fn markers_at_the_tail_do_not_end_ready() {
    let mut config = config(1);
    config.policy.min_compaction_lag_ms = 60_000;
    let mut world = World::new(config, 1, limits());
    world.start(0);
    world.until_ready(0);
    world.advance(Duration::from_secs(5));
    for number in 0..20 {
        let producer = ProducerId(number);
        world.log.append_in_transaction(world.now, P0, producer, &[foreign("t", Some("1"))]);
        world.log.end_transaction(world.now, producer, Verdict::Abort);
        append(&mut world, &[("a", Some("1"))]);
        world.advance(Duration::from_millis(700));
    }
    let notices = world.sim_node(0).notices.iter();
    let phases: Vec<_> = notices.filter(|notice| matches!(notice, Notice::Phase(_))).collect();
    assert_eq!(phases.last(), Some(&&Notice::Phase(Phase::Ready)));
    assert_eq!(phases.iter().filter(|phase| ***phase == Notice::Phase(Phase::Ready)).count(), 1);
    assert_exact(&world, 0);
}

#[test]
fn a_ready_node_that_meets_compaction_behind_the_end_is_ready_again_only_when_exact() {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("1"))]);
    world.advance(Duration::from_secs(5));
    world.pause(0);
    for number in 0..50 {
        append(
            &mut world,
            &[("a", Some(&format!("{number}"))), (&format!("b{number}"), Some("x"))],
        );
    }
    clean(&mut world);
    world.resume(0);
    world.until_ready(0);
    assert_exact(&world, 0);
    assert!(world.node(0).status().partitions[0].exact_from > Offset(0), "the gap was seen");
}
