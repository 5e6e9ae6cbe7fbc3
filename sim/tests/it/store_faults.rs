//! A disk that fills, fails or rots: never a crash loop, never a hole.

use std::time::Duration;

use outrigger_core::conformance::store::{Damage, Fault};
use outrigger_core::gate::ReadLevel;
use outrigger_core::node::Event;
use outrigger_core::offset::{Generation, Offset};
use outrigger_core::phase::{Cause, Phase};
use outrigger_core::stall::StallKind;
use outrigger_core::store::{StoreCallKind, StoreErrorKind};
use outrigger_sim::world::World;

use crate::fixture::*;

const MINUTE: Duration = Duration::from_secs(60);

fn written() -> World {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("1")), ("b", Some("2"))]);
    world.advance(Duration::from_secs(20));
    world
}

fn has_stall(world: &World, kind: StallKind) -> bool {
    world.node(0).status().stalls.iter().any(|stall| stall.kind == kind)
}

#[test]
fn a_full_disk_is_named_and_the_node_goes_on_when_there_is_space() {
    let mut world = written();
    world.sim_node(0).disk.arm(Fault::Full);
    append(&mut world, &[("c", Some("3"))]);
    world.until("named", MINUTE, |world| has_stall(world, StallKind::StoreFull));
    world.advance(MINUTE);
    world.sim_node(0).disk.arm(Fault::Free);
    world.until_ready(0);
    assert_exact(&world, 0);
    assert!(!has_stall(&world, StallKind::StoreFull));
}

#[test]
fn whatever_call_fails_once_the_copy_is_exact_in_the_end() {
    for call in [StoreCallKind::Apply, StoreCallKind::Flush, StoreCallKind::Confirm] {
        for kind in [StoreErrorKind::Io, StoreErrorKind::Full] {
            let mut world = written();
            world.sim_node(0).disk.arm(Fault::Next(call, kind));
            append(&mut world, &[("a", None), ("c", Some("3"))]);
            world.advance(MINUTE * 5);
            append(&mut world, &[("d", Some("4"))]);
            world.until_ready(0);
            assert_exact(&world, 0);
            assert_eq!(world.node(0).gate().positions, [Offset(5)]);
        }
    }
}

#[test]
fn a_start_that_fails_is_repeated() {
    for call in [StoreCallKind::Open, StoreCallKind::Create, StoreCallKind::Activate] {
        let mut world = world(1, 1);
        append(&mut world, &[("a", Some("1"))]);
        world.sim_node(0).disk.arm(Fault::Next(call, StoreErrorKind::Io));
        world.start(0);
        world.until_ready(0);
        assert_exact(&world, 0);
    }
}

#[test]
fn a_corrupt_copy_is_set_aside_and_rebuilt() {
    for damage in [Damage::Index, Damage::MissingFile, Damage::Format] {
        let mut world = written();
        world.crash(0, EVERYTHING);
        world.sim_node(0).disk.damage(damage(Generation(1)));
        world.start(0);
        world.until_ready(0);
        assert!(matches!(cause(&world, 0), Cause::Corrupt | Cause::UnknownFormat));
        assert_exact(&world, 0);
        assert_eq!(world.sim_node(0).disk.quarantined().len(), 1);
    }
}

#[test]
fn damage_met_by_a_read_is_rebuilt_too() {
    let mut world = written();
    world.sim_node(0).disk.damage(Damage::Rows(Generation(1)));
    let detail = "a block's checksum does not match".to_owned();
    world.event(0, Event::Damaged { generation: Generation(1), detail });
    world.until("rebuilt", MINUTE, |world| world.node(0).status().fed == Some(Generation(2)));
    world.until_ready(0);
    assert_exact(&world, 0);
}

#[test]
fn an_unreadable_identity_is_refused_not_wiped() {
    let mut world = written();
    world.crash(0, EVERYTHING);
    world.sim_node(0).disk.damage(Damage::Identity);
    world.start(0);
    world.advance(MINUTE);
    assert!(matches!(world.phase(0), Phase::Refused(_)));
    assert!(world.view(0, &ReadLevel::Stale).is_err());
}
