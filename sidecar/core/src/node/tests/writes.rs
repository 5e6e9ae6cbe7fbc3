//! What becomes of a write and what its caller is told.

use bytes::Bytes;

use super::*;
use crate::gate::Rejection;
use crate::log::KafkaError;
use crate::offset::Revision;
use crate::partitioner::partition_of;

const PARTITIONS: u32 = 3;

fn three_partitions() -> LogFacts {
    facts().of_partitions(3)
}

fn change(key: &'static str) -> Change {
    Change { key: Bytes::from_static(key.as_bytes()), value: Some(Bytes::from_static(b"v")) }
}

fn command(id: u64, changes: Vec<Change>) -> Event {
    Event::Command(RequestId(id), Command::Write(changes))
}

#[test]
fn each_change_goes_to_the_partition_of_its_key_in_the_order_of_the_call() {
    let mut driven = Driven::rebuilding(three_partitions(), Limits::PRODUCTION);
    driven.effects();
    let keys = ["a", "b", "c", "d", "e", "a"];
    driven.event(command(7, keys.map(change).to_vec()));
    let effects = driven.effects();
    let [Effect::Log(LogCall::Append { id: RequestId(7), writes })] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(writes.len(), keys.len());
    for (key, write) in keys.iter().zip(writes.iter()) {
        assert_eq!(write.key, key.as_bytes());
        assert_eq!(write.partition, partition_of(key.as_bytes(), PARTITIONS));
    }
    assert!(writes.iter().any(|write| write.partition != writes[0].partition), "keys spread");
}

/// An error code alone lies: one try may have landed before the next was refused.
#[test]
fn only_what_was_not_persisted_did_not_happen() {
    let refused = |not_persisted| KafkaError {
        code: 19,
        name: "NOT_ENOUGH_REPLICAS".to_owned(),
        not_persisted,
    };
    let revision = Revision { partition: P0, offset: Offset(5) };
    let mut driven = Driven::rebuilding(three_partitions(), Limits::PRODUCTION);
    driven.event(command(7, vec![change("a"), change("b"), change("c")]));
    assert_eq!(driven.node.status().writes_in_flight, 1);
    driven.effects();
    let results = vec![Ok(revision), Err(refused(true)), Err(refused(false))];
    driven.log(LogEvent::Appended { id: RequestId(7), results });
    let written = Reply::Written {
        topic: TOPIC,
        partitions: PARTITIONS,
        outcomes: vec![
            Outcome::Appended(revision),
            Outcome::DidNotHappen(refused(true)),
            Outcome::Unknown(refused(false)),
        ],
    };
    assert_eq!(driven.effects(), [Effect::Reply(RequestId(7), written)]);
    assert_eq!(driven.node.status().writes_in_flight, 0);
}

#[test]
fn a_withdrawn_write_is_withdrawn_from_the_log_and_answered_by_it() {
    let withdrawn = Effect::Log(LogCall::Withdraw { id: RequestId(7) });
    let mut driven = Driven::rebuilding(three_partitions(), Limits::PRODUCTION);
    driven.event(command(7, vec![change("a")]));
    driven.effects();
    driven.event(Event::Withdraw(RequestId(7)));
    assert_eq!(driven.effects(), [withdrawn]);
    assert_eq!(driven.node.status().writes_in_flight, 1, "the log has the last word");
    let revision = Revision { partition: P0, offset: Offset(5) };
    driven.log(LogEvent::Appended { id: RequestId(7), results: vec![Ok(revision)] });
    assert!(matches!(&driven.effects()[..], [Effect::Reply(RequestId(7), Reply::Written { .. })]));
    driven.event(Event::Withdraw(RequestId(7)));
    assert_eq!(driven.effects(), [], "what was answered is no longer asked about");
}

#[test]
fn a_node_that_does_not_know_its_topic_yet_takes_no_write() {
    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.effects();
    driven.event(command(7, vec![change("a")]));
    let rejected = Reply::Rejected(Rejection::NotReady(Phase::Opening));
    assert_eq!(driven.effects(), [Effect::Reply(RequestId(7), rejected)]);
}

#[test]
fn a_drain_ends_as_soon_as_what_was_applied_is_flushed() {
    let mut driven = Driven::reading();
    driven.takes(batch(0, b"a"));
    driven.effects();
    driven.event(Event::Command(RequestId(2), Command::Drain));
    for more in [true, false] {
        let before = driven.effects();
        driven.log(LogEvent::TopicId(TOPIC));
        let after = driven.effects();
        assert!(!flushes(&before) && flushes(&after), "the topic is asked for first");
        assert!(
            !ends_or_takes_more(&before) && !ends_or_takes_more(&after),
            "{before:?} {after:?}"
        );
        if more {
            driven.log(LogEvent::Fetched(batch(1, b"b")));
        }
        driven.done(StoreCallKind::Flush);
        if more {
            let position = Offset(2);
            driven.store(StoreEvent::Applied { generation: G1, partition: P0, position });
        }
    }
    let closes = Effect::Store(StoreCall::Close { generation: G1 });
    assert!(driven.effects().contains(&closes), "at once, not when time is up");
}

fn ends_or_takes_more(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| {
        matches!(
            effect,
            Effect::Store(StoreCall::Close { .. }) | Effect::Log(LogCall::Fetch { .. })
        )
    })
}

/// Its revision is an offset of the old topic's log: with the new topic's id it would be another record's.
#[test]
fn a_write_is_answered_for_the_topic_that_it_was_sent_to() {
    let mut driven = Driven::reading();
    let change = Change { key: Bytes::from_static(b"k"), value: None };
    driven.event(Event::Command(RequestId(1), Command::Write(vec![change])));
    driven.pass(Limits::PRODUCTION.describe_interval);
    let facts = three_partitions();
    driven.log(LogEvent::Facts(LogFacts { topic: OTHER_TOPIC, ..facts }));
    driven.effects();
    let revision = Revision { partition: P0, offset: Offset(77) };
    driven.log(LogEvent::Appended { id: RequestId(1), results: vec![Ok(revision)] });
    let outcomes = vec![Outcome::Appended(revision)];
    let reply = Reply::Written { topic: TOPIC, partitions: 1, outcomes };
    assert!(driven.effects().contains(&Effect::Reply(RequestId(1), reply)));
}
