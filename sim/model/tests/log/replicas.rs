//! What several replicas make of transactions, cleaning and deletion, and what clients see of brokers.

use std::time::Duration;

use outrigger_core::conformance::log::LogUnderTest;
use outrigger_core::log::{LogCall, LogCallKind, LogEvent};
use outrigger_core::offset::{Offset, Partition};
use outrigger_model::log::{BrokerId, ProducerId, Stop, Verdict};

use crate::brokers::{keys, written};
use crate::world::{World, config, foreign, three_brokers};

const P0: Partition = Partition(0);
const B0: BrokerId = BrokerId(0);
const B1: BrokerId = BrokerId(1);
const B2: BrokerId = BrokerId(2);
const SOON: Duration = Duration::from_secs(1);
const FENCED: Duration = Duration::from_secs(4);

#[test]
fn a_marker_that_was_lost_with_its_leader_is_written_again() {
    let mut world = written();
    let (now, writer) = (world.now, ProducerId(7));
    world.model.append_in_transaction(now, P0, writer, &[foreign("t", Some("1"))]);
    world.advance(SOON);
    world.model.end_transaction(world.now, writer, Verdict::Commit);
    world.model.stop_broker(B0, Stop::Crash);
    assert_eq!(world.model.last_stable(P0), Offset(5));
    world.advance(FENCED + SOON);
    assert_eq!(world.model.last_stable(P0), Offset(7));
    assert_eq!(keys(&mut world).last().map(String::as_str), Some("t"));
}

#[test]
fn an_ended_transaction_is_undecided_until_its_marker_is_replicated() {
    let mut world = written();
    let writer = ProducerId(7);
    world.model.append_in_transaction(world.now, P0, writer, &[foreign("t", Some("1"))]);
    world.advance(SOON);
    world.model.end_transaction(world.now, writer, Verdict::Abort);
    world.tick();
    assert_eq!(
        (world.model.high_watermark(P0), world.model.last_stable(P0)),
        (Offset(6), Offset(5))
    );
    world.advance(SOON);
    assert_eq!(world.model.last_stable(P0), Offset(7));
    assert!(!keys(&mut world).contains(&"t".to_owned()));
}

#[test]
fn a_hung_transaction_is_aborted_at_its_timeout() {
    let mut config = three_brokers();
    config.transaction_timeout = Some(Duration::from_secs(60));
    let mut world = World::new(config);
    world.model.append_in_transaction(world.now, P0, ProducerId(7), &[foreign("t", Some("1"))]);
    world.put("behind", Some("1"));
    world.advance(Duration::from_secs(59));
    assert_eq!(world.model.last_stable(P0), Offset(0));
    world.advance(SOON * 2);
    assert_eq!(world.model.last_stable(P0), Offset(3));
    assert_eq!(keys(&mut world), ["behind"]);
}

#[test]
fn aborted_records_stay_hidden_under_every_leader() {
    let mut world = written();
    world.model.append_in_transaction(world.now, P0, ProducerId(7), &[foreign("t", Some("1"))]);
    world.advance(SOON);
    world.model.end_transaction(world.now, ProducerId(7), Verdict::Abort);
    world.advance(SOON);
    for _ in 0..3 {
        world.model.elect(P0);
        world.advance(SOON);
        assert!(!keys(&mut world).contains(&"t".to_owned()));
    }
}

#[test]
fn every_broker_cleans_for_itself() {
    let mut world = World::new(three_brokers());
    world.put("a", Some("1"));
    world.put("a", Some("2"));
    world.advance(SOON);
    world.model.roll(P0);
    world.model.clean_replica(world.now, B1);
    assert_eq!(keys(&mut world), ["a", "a"]);
    world.model.elect(P0);
    world.advance(SOON);
    assert_eq!((world.model.leader(P0), keys(&mut world).len()), (Some(B1), 1));
}

/// Replicas are cleaned independently: no reader can tell, and no rule of Kafka forbids it.
#[test]
fn a_replica_that_missed_a_tombstone_brings_its_key_back() {
    let mut config = three_brokers();
    config.policy.delete_retention_ms = 1_000;
    let mut world = World::new(config);
    world.put("a", Some("1"));
    world.advance(SOON);
    world.model.stop_broker(B2, Stop::Clean);
    world.put("a", None);
    world.put("b", Some("1"));
    for _ in 0..3 {
        world.advance(SOON * 2);
        world.clean();
    }
    assert_eq!(keys(&mut world), ["b"]);
    world.model.start_broker(B2);
    world.advance(SOON);
    let missed =
        |world: &World| world.model.replicas(P0).iter().map(|r| r.missed).collect::<Vec<_>>();
    assert_eq!(missed(&world), [false, false, true]);
    world.model.elect(P0);
    world.model.elect(P0);
    world.advance(SOON);
    assert_eq!(
        (world.model.leader(P0), keys(&mut world)),
        (Some(B2), vec!["a".into(), "b".into()])
    );
}

#[test]
fn the_last_batch_of_a_log_stays_to_say_where_it_ends() {
    let mut world = World::new(config(1));
    world.model.append_in_transaction(world.now, P0, ProducerId(7), &[foreign("t", Some("1"))]);
    world.model.end_transaction(world.now, ProducerId(7), Verdict::Abort);
    for _ in 0..4 {
        world.pass(Duration::from_hours(48));
        world.clean();
    }
    let batches: Vec<_> =
        world.model.batches(P0).map(|batch| (batch.base, batch.is_marker())).collect();
    assert_eq!(batches, [(Offset(1), false)], "its marker became an empty batch (KAFKA-17076)");
    assert_eq!(world.put("a", None), Offset(2));
}

#[test]
fn a_cluster_without_a_broker_is_told_as_trouble() {
    let mut world = written();
    world.call(1, LogCall::TopicId);
    assert!(matches!(world.next_event(1, SOON), Some(LogEvent::TopicId(_))));
    for broker in [B0, B1, B2] {
        world.model.stop_broker(broker, Stop::Crash);
    }
    let told = world.next_event(1, SOON);
    assert!(matches!(&told, Some(LogEvent::Trouble(error)) if error.code == -187), "{told:?}");
    world.call(1, LogCall::TopicId);
    let told = world.next_event(1, SOON * 6);
    assert!(matches!(told, Some(LogEvent::Failed { call: LogCallKind::TopicId, .. })));
}

#[test]
fn a_fetch_gap_ends_by_itself() {
    let mut world = written();
    world.model.fetch_gap(world.now, 3, SOON);
    world.call(3, LogCall::Assign { partition: P0, at: Offset(0), epoch: None });
    world.call(3, LogCall::Fetch { partition: P0, bytes_max: 1_000 });
    assert_eq!(world.next_event(3, SOON / 2), Some(LogEvent::Assigned { partition: P0 }));
    assert_eq!(world.next_event(3, SOON / 2), None);
    assert!(matches!(world.next_event(3, SOON), Some(LogEvent::Fetched(_))));
}

#[test]
fn other_clients_are_refused_where_nodes_are() {
    let mut world = written();
    world.model.stop_broker(B1, Stop::Clean);
    world.model.stop_broker(B2, Stop::Clean);
    assert!(world.model.append(world.now, P0, &[foreign("a", None)]).is_empty());
    assert!(!world.model.delete_records(P0, Offset(6)), "above the high watermark");
    assert!(world.model.delete_records(P0, Offset(3)));
    world.model.start_broker(B1);
    world.advance(SOON);
    let starts: Vec<_> = world.model.replicas(P0).iter().map(|replica| replica.log_start).collect();
    assert_eq!(starts, [Offset(3), Offset(3), Offset(0)], "every live replica follows");
}
