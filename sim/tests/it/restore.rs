//! A node comes back, or says why it cannot.

use std::time::Duration;

use outrigger_core::gate::{ReadLevel, Rejection};
use outrigger_core::limits::Limits;
use outrigger_core::node::Notice;
use outrigger_core::offset::{Offset, Partition};
use outrigger_core::phase::{Cause, Phase, PolicyFault, Refusal};
use outrigger_core::stall::StallKind;
use outrigger_core::topic::TopicId;
use outrigger_model::log::{Outage, ProducerId, Verdict};
use outrigger_sim::world::World;

use crate::fixture::*;

const MINUTE: Duration = Duration::from_secs(60);

fn restarted(world: &mut World, keep: fn(Partition, usize) -> usize) {
    world.crash(0, keep);
    world.start(0);
    world.until_ready(0);
}

#[test]
fn an_empty_node_reads_the_whole_log() {
    let mut world = world(1, 1);
    append(&mut world, &[("a", Some("1")), ("b", Some("2")), ("a", Some("3")), ("b", None)]);
    world.start(0);
    world.until_ready(0);
    assert_eq!(cause(&world, 0), Cause::Empty);
    assert_exact(&world, 0);
    assert_eq!(get(&world, 0, &ReadLevel::Local, "a").as_deref(), Some("3"));
}

#[test]
fn a_rebuild_that_has_read_all_does_not_wait_for_the_next_question() {
    let mut world = world(1, 1);
    append(&mut world, &[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
    let started = world.now.mono;
    world.start(0);
    world.until_ready(0);
    assert!(world.now.mono - started < Limits::PRODUCTION.ends_interval);
}

#[test]
fn an_empty_log_is_ready_at_once() {
    assert_exact(&ready(3), 0);
}

#[test]
fn a_crash_loses_nothing_whatever_reached_the_disk() {
    for keep in [NOTHING, EVERYTHING, |_, steps| steps / 2] {
        let mut world = ready(1);
        append(&mut world, &[("a", Some("1")), ("b", Some("2"))]);
        world.advance(Limits::PRODUCTION.flush_interval * 2);
        append(&mut world, &[("a", Some("3")), ("c", Some("4")), ("b", None)]);
        restarted(&mut world, keep);
        assert_eq!(cause(&world, 0), Cause::Resume);
        assert_exact(&world, 0);
    }
}

#[test]
fn a_wiped_node_is_rebuilt_while_writes_go_on() {
    let mut world = world(1, 2);
    world.start(0);
    world.start(1);
    world.until_ready(1);
    append(&mut world, &[("a", Some("1")), ("b", Some("2"))]);
    world.crash(1, EVERYTHING);
    world.wipe(1);
    append(&mut world, &[("a", None), ("c", Some("3"))]);
    world.start(1);
    append(&mut world, &[("d", Some("4"))]);
    world.until_ready(1);
    assert_exact(&world, 1);
    assert_eq!(world.rows(1, &ReadLevel::Local), world.rows(0, &ReadLevel::Local));
}

#[test]
fn a_rebuild_that_crashes_again_and_again_still_ends() {
    let mut world = world(1, 1);
    let keys: Vec<_> = (0..200).map(|number| format!("key {number:04}")).collect();
    for key in &keys {
        append(&mut world, &[(key, Some("value"))]);
    }
    for _ in 0..3 {
        world.start(0);
        world.crash(0, |_, steps| steps / 2);
    }
    world.start(0);
    world.until_ready(0);
    assert_exact(&world, 0);
}

#[test]
fn a_node_down_past_the_horizon_rebuilds_and_deleted_keys_stay_deleted() {
    let mut world = ready(1);
    append(&mut world, &[("gone", Some("1")), ("kept", Some("2"))]);
    world.advance(MINUTE);
    world.crash(0, EVERYTHING);
    append(&mut world, &[("gone", None)]);
    clean(&mut world);
    world.advance(RETENTION * 2);
    append(&mut world, &[("other", Some("3"))]);
    clean(&mut world);
    world.start(0);
    world.until_ready(0);
    assert_eq!(cause(&world, 0), Cause::PastHorizon);
    assert_eq!(get(&world, 0, &ReadLevel::Local, "gone"), None);
    assert_exact(&world, 0);
}

#[test]
fn a_node_paused_past_the_horizon_applies_nothing_it_should_not() {
    let mut world = ready(1);
    append(&mut world, &[("gone", Some("1"))]);
    world.advance(MINUTE);
    world.pause(0);
    append(&mut world, &[("gone", None)]);
    clean(&mut world);
    world.advance(RETENTION * 2);
    append(&mut world, &[("other", Some("2"))]);
    clean(&mut world);
    world.resume(0);
    world.until_ready(0);
    assert_eq!(cause(&world, 0), Cause::PastHorizon);
    assert_eq!(get(&world, 0, &ReadLevel::Local, "gone"), None);
    assert_exact(&world, 0);
}

#[test]
fn an_idle_node_stays_within_its_horizon() {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("1"))]);
    world.advance(RETENTION * 3);
    append(&mut world, &[("b", Some("2"))]);
    assert_eq!(cause(&world, 0), Cause::Empty, "nothing was rebuilt");
    restarted(&mut world, NOTHING);
    assert_eq!(
        cause(&world, 0),
        Cause::Resume,
        "the confirmation was stored although nothing was written"
    );
    assert_exact(&world, 0);
}

#[test]
fn while_rebuilding_the_old_copy_serves_stale_and_nothing_else() {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("old"))]);
    world.advance(MINUTE);
    world.crash(0, EVERYTHING);
    world.advance(RETENTION * 2);
    append(&mut world, &[("a", Some("new"))]);
    world.log.stall_fetches(0, true);
    world.start(0);
    world.advance(Duration::from_secs(1));
    assert_eq!(world.phase(0), Phase::Restoring(Cause::PastHorizon));
    assert_eq!(get(&world, 0, &ReadLevel::Stale, "a").as_deref(), Some("old"));
    assert!(matches!(world.view(0, &ReadLevel::Local), Err(Rejection::NotReady(_))));
    world.log.stall_fetches(0, false);
    world.until_ready(0);
    assert_eq!(get(&world, 0, &ReadLevel::Local, "a").as_deref(), Some("new"));
}

#[test]
fn a_log_that_lost_records_is_followed_and_the_old_copy_is_kept() {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
    world.advance(MINUTE);
    world.truncate(P0, Offset(1));
    world.until("quarantined", MINUTE, |world| {
        world.node(0).status().fed != Some(outrigger_core::offset::Generation(1))
    });
    world.until_ready(0);
    assert_eq!(cause(&world, 0), Cause::Truncated);
    assert_exact(&world, 0);
    assert_eq!(world.sim_node(0).disk.quarantined().len(), 1);
    assert!(
        world.sim_node(0).notices.iter().any(|notice| matches!(notice, Notice::Quarantined { .. }))
    );
}

#[test]
fn a_log_truncated_and_grown_again_is_another_history() {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
    world.advance(MINUTE);
    world.crash(0, EVERYTHING);
    world.truncate(P0, Offset(1));
    append(&mut world, &[("x", Some("7")), ("y", Some("8")), ("z", Some("9")), ("z", Some("10"))]);
    world.start(0);
    world.until("diverged", MINUTE, |world| cause_if_reading(world) == Some(Cause::Diverged));
    world.until_ready(0);
    assert_exact(&world, 0);
    assert_eq!(world.sim_node(0).disk.quarantined().len(), 1);
}

fn cause_if_reading(world: &World) -> Option<Cause> {
    world.node(0).status().progress.map(|progress| progress.cause)
}

#[test]
fn a_recreated_topic_is_refused_and_nothing_of_it_becomes_durable() {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("mine")), ("b", Some("mine"))]);
    world.advance(MINUTE);
    world.log.recreate(TopicId([2; 16]));
    append(&mut world, &[("x", Some("foreign")), ("y", Some("foreign")), ("z", Some("foreign"))]);
    world.until("refused", MINUTE, |world| {
        matches!(world.phase(0), Phase::Refused(Refusal::Identity { .. }))
    });
    assert!(matches!(world.view(0, &ReadLevel::Stale), Err(Rejection::NotReady(_))));
    world.crash(0, NOTHING);
    world.log.recreate(TopicId([1; 16]));
    append(&mut world, &[("a", Some("mine")), ("b", Some("mine"))]);
    world.start(0);
    world.until_ready(0);
    assert_eq!(
        cause(&world, 0),
        Cause::Resume,
        "the position on disk is still that of the old topic"
    );
    assert_exact(&world, 0);
}

#[test]
fn an_unsafe_policy_is_refused_while_running_and_the_node_goes_on_once_it_is_mended() {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("1"))]);
    world.advance(MINUTE);
    let safe = world.log.policy().clone();
    let mut unsafe_policy = safe.clone();
    unsafe_policy.cleanup = "compact,delete".to_owned();
    world.log.set_policy(unsafe_policy);
    let refused = |world: &World| {
        matches!(world.phase(0), Phase::Refused(Refusal::Policy(PolicyFault::Cleanup(_))))
    };
    world.until("refused", MINUTE * 2, refused);
    assert_eq!(get(&world, 0, &ReadLevel::Stale, "a").as_deref(), Some("1"));
    assert!(matches!(world.view(0, &ReadLevel::Local), Err(Rejection::Refused(_))));
    world.log.set_policy(safe);
    world.until_ready(0);
    assert_exact(&world, 0);
}

#[test]
fn records_deleted_from_the_log_stop_rebuilds_but_not_a_copy_that_has_them() {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("1")), ("b", Some("2"))]);
    world.advance(MINUTE);
    world.log.delete_records(P0, Offset(1));
    world.advance(MINUTE * 2);
    assert_eq!(world.phase(0), Phase::Ready);
    assert!(
        world
            .sim_node(0)
            .notices
            .iter()
            .any(|notice| matches!(notice, Notice::LogIncomplete { .. }))
    );
    restarted(&mut world, EVERYTHING);
    assert_eq!(get(&world, 0, &ReadLevel::Local, "a").as_deref(), Some("1"));
    world.crash(0, EVERYTHING);
    world.wipe(0);
    world.start(0);
    world.advance(Duration::from_secs(1));
    assert!(matches!(
        world.phase(0),
        Phase::Refused(Refusal::LogIncomplete { position: None, .. })
    ));
}

#[test]
fn a_deposed_leader_is_waited_out_by_name() {
    let mut world = world(1, 2);
    world.start(0);
    append(&mut world, &[("a", Some("1"))]);
    world.log.elect(P0);
    append(&mut world, &[("b", Some("2"))]);
    world.until_ready(0);
    world.advance(MINUTE);
    world.crash(0, EVERYTHING);
    // A new leader that the node learned of, then a node that reaches only the one before it.
    world.log.depose_leader(P0, [0]);
    append(&mut world, &[("c", Some("3"))]);
    world.start(0);
    world.advance(MINUTE);
    world.log.reunite(P0);
    world.until("the new end", MINUTE, |world| world.node(0).gate().positions == [Offset(3)]);
    world.until_ready(0);
    assert_exact(&world, 0);
}

#[test]
fn a_stale_answer_after_a_newer_one_is_named_and_not_acted_on() {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("1"))]);
    world.advance(MINUTE);
    // The node reads a record of the new leader, then loses it and reaches only the old one.
    world.log.depose_leader(P0, []);
    append(&mut world, &[("b", Some("2"))]);
    world.advance(MINUTE);
    assert_exact(&world, 0);
}

#[test]
fn an_open_transaction_is_named_and_the_restore_ends_with_it() {
    let mut world = world(1, 1);
    append(&mut world, &[("a", Some("1"))]);
    let producer = ProducerId(9);
    world.log.append_in_transaction(world.now, P0, producer, &[foreign("t", Some("2"))]);
    append(&mut world, &[("b", Some("3"))]);
    world.start(0);
    world.until("a named stall", MINUTE, |world| has_stall(world, StallKind::OpenTransaction));
    assert!(matches!(world.phase(0), Phase::Restoring(_)), "the end lies behind the transaction");
    world.log.end_transaction(world.now, producer, Verdict::Abort);
    world.until_ready(0);
    assert_exact(&world, 0);
    assert_eq!(get(&world, 0, &ReadLevel::Local, "t"), None);
    assert_eq!(get(&world, 0, &ReadLevel::Local, "b").as_deref(), Some("3"));
    assert!(!has_stall(&world, StallKind::OpenTransaction));
}

fn has_stall(world: &World, kind: StallKind) -> bool {
    world.node(0).status().stalls.iter().any(|stall| stall.kind == kind)
}

#[test]
fn an_end_of_markers_only_is_reached() {
    for verdict in [Verdict::Commit, Verdict::Abort] {
        let mut world = world(1, 1);
        for number in 0..3 {
            let producer = ProducerId(number);
            world.log.append_in_transaction(world.now, P0, producer, &[foreign("t", Some("1"))]);
            world.log.end_transaction(world.now, producer, verdict);
        }
        world.start(0);
        world.until_ready(0);
        assert_exact(&world, 0);
        assert_eq!(world.node(0).gate().positions, [Offset(6)]);
    }
}

#[test]
fn an_unreachable_log_is_named_at_start_and_the_node_comes_up_when_it_returns() {
    let mut world = world(1, 1);
    append(&mut world, &[("a", Some("1"))]);
    world.log.set_outage(Some(Outage::unreachable()));
    world.start(0);
    world.advance(MINUTE * 60);
    assert_eq!(world.phase(0), Phase::Opening);
    assert!(has_stall(&world, StallKind::LogUnreachable));
    world.log.set_outage(None);
    world.until_ready(0);
    assert!(!has_stall(&world, StallKind::LogUnreachable));
}

#[test]
fn an_unreachable_log_does_not_end_ready() {
    let mut world = ready(1);
    append(&mut world, &[("a", Some("1"))]);
    world.advance(Duration::from_secs(2));
    world.log.set_outage(Some(Outage::unreachable()));
    world.advance(Duration::from_secs(20));
    assert_eq!(world.phase(0), Phase::Ready);
    assert_eq!(get(&world, 0, &ReadLevel::Local, "a").as_deref(), Some("1"));
    assert!(
        world.node(0).gate().age_ms(world.now) >= 19_000,
        "the age says how old the copy may be"
    );
    world.log.set_outage(None);
    append(&mut world, &[("b", Some("2"))]);
    world.advance(Duration::from_secs(6));
    assert_exact(&world, 0);
    assert!(world.node(0).gate().age_ms(world.now) < 2_000);
}
