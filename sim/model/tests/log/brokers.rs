//! Several brokers, rule by rule: replication, the in-sync set, elections, what is lost and what is not.

use std::time::Duration;

use outrigger_core::conformance::log::{LogUnderTest, read_to};
use outrigger_core::log::{KafkaError, LogCall, LogCallKind, LogEvent, Loss};
use outrigger_core::offset::{Offset, Partition, Revision};
use outrigger_model::log::{BrokerId, LogChange, Stop, Truncation};

use crate::world::{World, three_brokers, writes};

const P0: Partition = Partition(0);
const B0: BrokerId = BrokerId(0);
const B1: BrokerId = BrokerId(1);
const B2: BrokerId = BrokerId(2);
const ROUND: Duration = Duration::from_millis(10);
const SOON: Duration = Duration::from_secs(1);
const FENCED: Duration = Duration::from_secs(4);

/// A world with five committed records, at offsets 0 to 4.
pub(crate) fn written() -> World {
    let mut world = World::new(three_brokers());
    world.model.keep_history();
    for n in 0..5 {
        world.put(&format!("k{n}"), Some("1"));
    }
    world.advance(SOON);
    assert_eq!(world.model.high_watermark(P0), Offset(5));
    world.model.take_history();
    world
}

fn outcome(world: &mut World, within: Duration) -> Option<Result<Revision, KafkaError>> {
    match world.next_event(1, within)? {
        LogEvent::Appended { mut results, .. } => results.pop(),
        LogEvent::Trouble(_) => outcome(world, within),
        other => panic!("{other:?}"),
    }
}

fn truncations(world: &mut World) -> Vec<Truncation> {
    let history = world.model.take_history().into_iter();
    let lost = |change| match change {
        LogChange::Truncated(lost) => Some(lost),
        LogChange::Appended { .. }
        | LogChange::Recreated { .. }
        | LogChange::StartMoved { .. }
        | LogChange::Cleaned(_) => None,
    };
    history.filter_map(lost).collect()
}

pub(crate) fn keys(world: &mut World) -> Vec<String> {
    let end = world.model.last_stable(P0);
    let records = read_to(world, 9, P0, Offset(0), end).records.into_iter();
    records.map(|(_, key, _)| String::from_utf8(key).expect("keys here are text")).collect()
}

fn end_of(world: &World, broker: BrokerId) -> Offset {
    let replicas = world.model.replicas(P0);
    replicas.iter().find(|replica| replica.broker == broker).expect("a replica").log_end
}

#[test]
fn the_high_watermark_passes_a_record_in_the_second_round() {
    let mut world = written();
    world.call(1, writes(1, &["it"]));
    world.advance(ROUND + ROUND / 2);
    assert_eq!((end_of(&world, B1), world.model.high_watermark(P0)), (Offset(6), Offset(5)));
    assert_eq!(outcome(&mut world, Duration::ZERO), None);
    world.advance(ROUND * 2);
    assert_eq!(outcome(&mut world, Duration::ZERO).unwrap().unwrap().offset, Offset(5));
    world.advance(SOON);
    assert_eq!(world.model.next_timer(), None, "then nothing goes on");
}

#[test]
fn a_clean_stop_moves_the_leadership_first() {
    let mut world = written();
    world.model.stop_broker(B0, Stop::Clean);
    assert_eq!(world.model.leader(P0), Some(B1));
    assert_eq!(world.model.in_sync(P0), [B1, B2]);
    world.call(1, writes(1, &["it"]));
    assert!(outcome(&mut world, SOON).unwrap().is_ok(), "without waiting for a session to end");
    world.model.start_broker(B0);
    world.advance(SOON);
    assert_eq!(world.model.in_sync(P0), [B0, B1, B2]);
    assert_eq!(end_of(&world, B0), Offset(6));
}

#[test]
fn what_only_a_dead_leader_had_lands_again() {
    let mut world = written();
    world.call(1, writes(1, &["it"]));
    world.model.stop_broker(B0, Stop::Crash);
    assert_eq!(outcome(&mut world, SOON * 2), None, "nobody has noticed yet");
    assert!(outcome(&mut world, FENCED).unwrap().is_ok());
    let lost = truncations(&mut world);
    assert!(matches!(lost[..], [Truncation { from: Offset(5), committed: false, .. }]), "{lost:?}");
    world.model.start_broker(B0);
    world.advance(SOON);
    assert_eq!(keys(&mut world).iter().filter(|key| *key == "it").count(), 1);
    assert_eq!(end_of(&world, B0), Offset(6), "it dropped what only it had");
}

#[test]
fn what_a_dead_leader_passed_on_is_not_written_again() {
    let mut world = written();
    world.call(1, writes(1, &["it"]));
    world.advance(ROUND * 3 / 2);
    world.model.stop_broker(B0, Stop::Crash);
    assert_eq!(outcome(&mut world, SOON * 5).unwrap().unwrap().offset, Offset(5));
    assert!(truncations(&mut world).is_empty());
    assert_eq!(world.model.state(P0).log_end, Offset(6));
}

#[test]
fn an_isolated_leader_never_acknowledges_and_drops_what_it_took() {
    let mut world = written();
    world.model.isolate_broker(B0, [1]);
    world.call(1, writes(1, &["it"]));
    world.advance(FENCED);
    assert_eq!(world.model.leader(P0), Some(B1));
    assert_eq!(end_of(&world, B0), Offset(6));
    world.call(2, writes(1, &["other"]));
    world.advance(SOON);
    assert_eq!(read_to(&mut world, 1, P0, Offset(0), Offset(5)).position, Offset(5));
    assert_eq!(outcome(&mut world, Duration::from_secs(10)), None);
    world.model.rejoin_broker(B0);
    assert_eq!(outcome(&mut world, SOON).unwrap().unwrap().offset, Offset(6), "it lands once more");
    assert_eq!(keys(&mut world)[5..], ["other", "it"]);
}

#[test]
fn a_new_leader_tells_no_end_before_it_knows_what_is_committed() {
    let mut world = written();
    world.call(1, writes(1, &["it"]));
    world.advance(ROUND * 5 / 2);
    assert!(outcome(&mut world, Duration::ZERO).unwrap().is_ok());
    world.model.elect(P0);
    assert_eq!(world.model.high_watermark(P0), Offset(5), "it has not heard of the last round");
    world.call(1, LogCall::Ends);
    world.tick();
    assert_eq!(world.heard(1), [], "not less than what was told before (KIP-207)");
    match world.next_event(1, SOON) {
        Some(LogEvent::Ends(ends)) => {
            assert_eq!(ends[0].as_ref().expect("the leader answers").high_watermark, Offset(6));
        }
        other => panic!("{other:?}"),
    }
}

/// It goes by its own term, like any leader, so what it tells is never less than what an earlier one told.
#[test]
fn a_leader_that_is_deposed_before_it_knows_what_is_committed_tells_no_end() {
    let mut world = written();
    world.call(1, writes(1, &["it"]));
    world.advance(ROUND * 5 / 2);
    assert!(outcome(&mut world, Duration::ZERO).unwrap().is_ok());
    world.model.elect(P0);
    assert_eq!(world.model.high_watermark(P0), Offset(5), "it has not heard of the last round");
    let leader = world.model.leader(P0).expect("it was elected");
    world.model.isolate_broker(leader, [1]);
    world.advance(FENCED);
    assert_ne!(world.model.leader(P0), Some(leader));
    world.call(2, LogCall::Ends);
    assert!(matches!(world.next_event(2, SOON), Some(LogEvent::Ends(_))));
    for call in [LogCall::Ends, LogCall::Describe] {
        world.call(1, call.clone());
        let Some(LogEvent::Failed { error, .. }) = world.next_event(1, SOON * 6) else {
            panic!("{call:?} was answered (KIP-207)");
        };
        assert_eq!(error.name, "OFFSET_NOT_AVAILABLE");
    }
}

#[test]
fn a_follower_that_lags_leaves_the_in_sync_set_and_comes_back() {
    let mut world = written();
    world.model.lag_replica(B2, true);
    world.advance(Duration::from_secs(60));
    assert_eq!(world.model.in_sync(P0).len(), 3, "there was nothing to be late with");
    world.call(1, writes(1, &["it"]));
    assert_eq!(outcome(&mut world, Duration::from_millis(2_900)), None);
    assert!(outcome(&mut world, SOON).unwrap().is_ok());
    assert_eq!(world.model.in_sync(P0), [B0, B1]);
    world.model.lag_replica(B2, false);
    world.advance(SOON);
    assert_eq!(world.model.in_sync(P0).len(), 3);
}

#[test]
fn too_few_in_sync_refuse_an_append_and_nothing_of_it_was_written() {
    let mut world = written();
    world.model.stop_broker(B1, Stop::Clean);
    world.model.stop_broker(B2, Stop::Clean);
    world.call(1, writes(1, &["it"]));
    let error = outcome(&mut world, SOON * 31).unwrap().unwrap_err();
    assert!(error.not_persisted, "no try left it in a log");
    assert_eq!(world.model.state(P0).log_end, Offset(5));
}

#[test]
fn an_append_that_lost_its_replicas_is_unknown() {
    let mut world = written();
    world.call(1, writes(1, &["it"]));
    world.model.stop_broker(B1, Stop::Clean);
    world.model.stop_broker(B2, Stop::Clean);
    let error = outcome(&mut world, SOON * 31).unwrap().unwrap_err();
    assert!(!error.not_persisted, "it is in the leader's log");
    world.model.start_broker(B1);
    world.advance(SOON);
    assert_eq!(keys(&mut world).last().map(String::as_str), Some("it"));
}

#[test]
fn without_an_in_sync_replica_nobody_leads() {
    let mut world = written();
    for broker in [B0, B1, B2] {
        world.model.stop_broker(broker, Stop::Clean);
    }
    world.model.start_broker(B0);
    world.advance(SOON);
    assert_eq!(world.model.leader(P0), None, "the last one in sync was another");
    world.call(1, writes(1, &["it"]));
    world.call(2, LogCall::Ends);
    let Some(LogEvent::Failed { call: LogCallKind::Ends, error }) = world.next_event(2, SOON * 6)
    else {
        panic!("nobody could have answered");
    };
    assert_eq!(error.name, "LEADER_NOT_AVAILABLE");
    assert!(outcome(&mut world, SOON * 30).unwrap().unwrap_err().not_persisted);
    world.model.start_broker(B2);
    assert_eq!(world.model.leader(P0), Some(B2));
    assert!(truncations(&mut world).is_empty());
}

#[test]
fn an_unclean_election_loses_what_its_replica_lacks_and_says_so() {
    let mut world = written();
    assert_eq!(world.model.elect_unclean(P0), None, "an in-sync replica leads");
    world.model.stop_broker(B2, Stop::Crash);
    world.advance(FENCED);
    world.call(1, writes(1, &["lost"]));
    assert!(outcome(&mut world, SOON).unwrap().is_ok());
    world.model.stop_broker(B0, Stop::Clean);
    world.model.stop_broker(B1, Stop::Clean);
    world.model.start_broker(B2);
    assert_eq!(
        world.model.elect_unclean(P0).map(|lost| (lost.from, lost.until)),
        Some((Offset(5), Offset(6)))
    );
    let lost = truncations(&mut world);
    assert!(
        matches!(lost[..], [Truncation { committed: true, acknowledged: true, .. }]),
        "{lost:?}"
    );
    world.model.start_broker(B0);
    world.model.start_broker(B1);
    world.advance(SOON);
    assert_eq!(world.model.in_sync(P0).len(), 3);
    assert!(!keys(&mut world).contains(&"lost".to_owned()), "the others follow");
}

#[test]
fn a_reader_of_what_an_unclean_leader_lacks_is_told() {
    let mut world = written();
    world.model.stop_broker(B2, Stop::Crash);
    world.advance(FENCED);
    world.put("lost", Some("1"));
    world.advance(SOON);
    read_to(&mut world, 3, P0, Offset(0), Offset(6));
    world.call(3, LogCall::Fetch { partition: P0, bytes_max: 1_000 });
    world.model.stop_broker(B0, Stop::Clean);
    world.model.stop_broker(B1, Stop::Clean);
    world.model.start_broker(B2);
    world.model.elect_unclean(P0);
    let told = world.next_event(3, SOON);
    assert_eq!(told, Some(LogEvent::Lost { partition: P0, loss: Loss::OutOfRange }));
}

#[test]
fn a_power_loss_loses_only_what_nobody_else_has() {
    for (others_live, lost) in [(true, 5), (false, 3)] {
        let mut world = written();
        if !others_live {
            world.model.stop_broker(B1, Stop::Clean);
            world.model.stop_broker(B2, Stop::Clean);
        }
        world.model.stop_broker(B0, Stop::PowerLoss { batches: 2 });
        world.advance(FENCED);
        world.model.start_broker(B0);
        world.advance(SOON);
        assert_eq!(world.model.state(P0).log_end, Offset(lost));
        let told = truncations(&mut world);
        assert_eq!(told.iter().any(|lost| lost.committed), !others_live, "{told:?}");
    }
}
