//! Leaders: elected, deposed, unclean; and what readers notice of it.

use std::time::Duration;

use outrigger_core::conformance::log::{LogUnderTest, read_to};
use outrigger_core::log::{LogCall, LogEvent, Loss};
use outrigger_core::offset::{Epoch, Offset, Partition};
use outrigger_core::topic::{TopicId, TopicPolicy};
use outrigger_model::log::{BrokerConfig, LogConfig, Role};

use crate::world::{World, config, writes};

const P0: Partition = Partition(0);
const CREDIT: u32 = 1_000_000;
const SOON: Duration = Duration::from_secs(1);
/// The client that reaches only the old leader.
const CUT_OFF: u32 = 1;
const FREE: u32 = 2;

fn world() -> World {
    let mut world = World::new(config(1));
    for n in 0..5 {
        world.put(&format!("k{n}"), Some("1"));
    }
    world
}

fn end(world: &mut World, client: u32) -> (Offset, Option<Epoch>) {
    world.call(client, LogCall::Ends);
    match world.next_event(client, SOON) {
        Some(LogEvent::Ends(ends)) => {
            let end = ends[0].as_ref().expect("the leader answers");
            (end.high_watermark, end.epoch)
        }
        other => panic!("{other:?}"),
    }
}

/// Reads to the end and leaves a fetch waiting there.
fn waiting_reader(world: &mut World, client: u32) {
    read_to(world, client, P0, Offset(0), Offset(5));
    world.call(client, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    assert_eq!(world.next_event(client, SOON), None);
}

#[test]
fn a_deposed_leader_answers_its_old_end_with_its_old_epoch() {
    let mut world = world();
    world.model.depose_leader(P0, [CUT_OFF]);
    world.put("new", Some("1"));
    assert_eq!(end(&mut world, CUT_OFF), (Offset(5), Some(Epoch(0))));
    assert_eq!(end(&mut world, FREE), (Offset(6), Some(Epoch(1))));
    let seen = read_to(&mut world, CUT_OFF, P0, Offset(0), Offset(5));
    assert_eq!(seen.position, Offset(5), "it tells its own end as the end");
    world.model.reunite(P0);
    assert_eq!(end(&mut world, CUT_OFF), (Offset(6), Some(Epoch(1))));
    assert_eq!(read_to(&mut world, CUT_OFF, P0, Offset(5), Offset(6)).offsets(), [5]);
}

#[test]
fn a_client_may_come_to_a_deposed_leader_after_it_saw_the_new_one() {
    let config = config(1);
    let brokers = BrokerConfig { count: 3, ..config.brokers };
    let policy = TopicPolicy { replication: 3, ..config.policy.clone() };
    let mut world = World::new(LogConfig { brokers, policy, ..config });
    world.put("k", Some("1"));
    let (old, none) = (world.model.leader(P0).expect("a leader"), []);
    world.model.isolate_broker(old, none);
    world.put("new", Some("1"));
    assert_eq!(end(&mut world, CUT_OFF), (Offset(2), Some(Epoch(1))));
    world.model.isolate_broker(old, [CUT_OFF]);
    assert_eq!(end(&mut world, CUT_OFF), (Offset(1), Some(Epoch(0))));
    assert_eq!(end(&mut world, FREE), (Offset(2), Some(Epoch(1))));
    world.model.rejoin_broker(old);
    assert_eq!(end(&mut world, CUT_OFF), (Offset(2), Some(Epoch(1))));
}

#[test]
fn an_append_to_a_deposed_leader_is_unknown_and_did_not_happen() {
    let mut world = world();
    world.model.depose_leader(P0, [CUT_OFF]);
    world.call(CUT_OFF, writes(1, &["lost"]));
    assert_eq!(world.next_event(CUT_OFF, Duration::from_secs(29)), None, "it is retried");
    let event = world.next_event(CUT_OFF, Duration::from_secs(2));
    let Some(LogEvent::Appended { results, .. }) = event else { panic!("{event:?}") };
    assert!(!results[0].as_ref().unwrap_err().not_persisted, "nobody can promise that");
    world.model.reunite(P0);
    assert_eq!(end(&mut world, CUT_OFF).0, Offset(5));
}

/// A reader has metadata of its own: it asks the deposed leader, with an epoch that another client of the node has
/// heard of.
#[test]
fn a_deposed_leader_refuses_an_epoch_that_it_has_not_heard_of() {
    let mut world = world();
    world.model.elect(P0);
    world.model.depose_leader_for(P0, [(CUT_OFF, Role::Reads)]);
    let later = end(&mut world, CUT_OFF).1;
    assert_eq!(later, Some(Epoch(2)), "who asks reaches the new one");
    world.call(CUT_OFF, LogCall::Assign { partition: P0, at: Offset(2), epoch: later });
    world.call(CUT_OFF, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    assert_eq!(world.next_event(CUT_OFF, SOON), Some(LogEvent::Assigned { partition: P0 }));
    let lost = LogEvent::Lost { partition: P0, loss: Loss::UnknownEpoch };
    assert_eq!(world.next_event(CUT_OFF, SOON), Some(lost));
    world.model.reunite(P0);
    world.call(CUT_OFF, LogCall::Assign { partition: P0, at: Offset(2), epoch: later });
    world.call(CUT_OFF, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    assert_eq!(world.next_event(CUT_OFF, SOON), Some(LogEvent::Assigned { partition: P0 }));
    assert!(matches!(world.next_event(CUT_OFF, SOON), Some(LogEvent::Fetched(_))));
}

#[test]
fn a_reader_that_has_heard_of_the_new_leader_gets_nothing_from_the_deposed_one() {
    let config = config(1);
    let brokers = BrokerConfig { count: 3, ..config.brokers };
    let policy = TopicPolicy { replication: 3, ..config.policy.clone() };
    let mut world = World::new(LogConfig { brokers, policy, ..config });
    world.put("k", Some("1"));
    let old = world.model.leader(P0).expect("a leader");
    world.model.isolate_broker(old, []);
    world.put("new", Some("1"));
    let later = read_to(&mut world, CUT_OFF, P0, Offset(0), Offset(2)).epochs.last().copied();
    world.model.isolate_broker(old, [CUT_OFF]);
    let epoch = later.map(|(epoch, _)| epoch);
    world.call(CUT_OFF, LogCall::Assign { partition: P0, at: Offset(1), epoch });
    world.call(CUT_OFF, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    assert_eq!(world.next_event(CUT_OFF, SOON), Some(LogEvent::Assigned { partition: P0 }));
    assert_eq!(world.next_event(CUT_OFF, SOON), None, "its client asks again");
    world.model.rejoin_broker(old);
    assert!(matches!(world.next_event(CUT_OFF, SOON), Some(LogEvent::Fetched(_))));
}

#[test]
fn a_clean_election_disturbs_no_reader() {
    let mut world = world();
    waiting_reader(&mut world, FREE);
    world.model.elect(P0);
    world.put("new", Some("1"));
    match world.next_event(FREE, SOON) {
        Some(LogEvent::Fetched(batch)) => {
            assert_eq!(batch.range, Offset(5)..Offset(6));
            assert_eq!(batch.epochs, [(Epoch(1), Offset(5))]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_running_reader_notices_a_truncation_also_when_the_log_grew_again() {
    let mut world = world();
    waiting_reader(&mut world, FREE);
    assert_eq!(world.model.truncate(P0, Offset(3)), Offset(3));
    for n in 0..4 {
        world.put(&format!("other{n}"), Some("1"));
    }
    let lost = LogEvent::Lost { partition: P0, loss: Loss::Diverged };
    assert_eq!(world.next_event(FREE, SOON), Some(lost));
}

#[test]
fn a_truncation_above_the_position_loses_the_reader_nothing() {
    let mut world = world();
    read_to(&mut world, FREE, P0, Offset(0), Offset(5));
    world.put("unread", Some("1"));
    world.model.truncate(P0, Offset(5));
    world.put("other", Some("1"));
    world.call(FREE, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    match world.next_event(FREE, SOON) {
        Some(LogEvent::Fetched(batch)) => assert_eq!(batch.range.start, Offset(5)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_truncation_ends_between_batches() {
    let mut world = world();
    let three: Vec<_> = ["x", "y", "z"].map(|key| crate::world::foreign(key, None)).into();
    world.model.append(world.now, P0, &three);
    assert_eq!(world.model.truncate(P0, Offset(7)), Offset(5));
}

#[test]
fn a_transaction_that_was_cut_off_holds_nobody_back() {
    let mut world = world();
    let open = [crate::world::foreign("open", None)];
    world.model.append_in_transaction(world.now, P0, crate::world::WRITER, &open);
    world.model.truncate(P0, Offset(5));
    world.put("after", Some("1"));
    assert_eq!(world.model.last_stable(P0), Offset(6));
}

#[test]
fn a_term_without_records_leaves_no_trace() {
    let mut world = world();
    world.model.elect(P0);
    world.model.elect(P0);
    world.put("new", Some("1"));
    let starts = world.model.state(P0).epochs;
    assert_eq!(starts, [(Epoch(0), Offset(0)), (Epoch(2), Offset(5))]);
}

/// Tried on Kafka: a consumer at offset 5 is given the new topic's 5..8.
#[test]
fn a_running_reader_does_not_notice_a_recreated_topic() {
    let mut world = world();
    waiting_reader(&mut world, FREE);
    world.model.recreate(TopicId([9; 16]));
    for n in 0..8 {
        world.put(&format!("foreign{n}"), Some("1"));
    }
    match world.next_event(FREE, SOON) {
        Some(LogEvent::Fetched(batch)) => assert_eq!(batch.range, Offset(5)..Offset(8)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_epoch_that_no_leader_has_had_yet_is_unknown() {
    let mut world = world();
    world.call(FREE, LogCall::Assign { partition: P0, at: Offset(2), epoch: Some(Epoch(7)) });
    world.call(FREE, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    assert_eq!(world.next_event(FREE, SOON), Some(LogEvent::Assigned { partition: P0 }));
    let lost = LogEvent::Lost { partition: P0, loss: Loss::UnknownEpoch };
    assert_eq!(world.next_event(FREE, SOON), Some(lost));
}

/// That nothing is fetched does not say that the log ends there.
#[test]
fn a_stalled_fetch_tells_neither_records_nor_the_end() {
    let mut world = world();
    world.model.stall_fetches(FREE, true);
    world.call(FREE, LogCall::Assign { partition: P0, at: Offset(0), epoch: None });
    world.call(FREE, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    assert_eq!(world.next_event(FREE, SOON), Some(LogEvent::Assigned { partition: P0 }));
    assert_eq!(world.next_event(FREE, SOON), None);
    world.model.stall_fetches(FREE, false);
    assert!(matches!(world.next_event(FREE, SOON), Some(LogEvent::Fetched(_))));
}
