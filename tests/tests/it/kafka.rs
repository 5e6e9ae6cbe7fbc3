//! The Kafka of the tests does what the other tests rely on.

use std::time::{Duration, Instant};

use anyhow::Result;
use outrigger_core::offset::{Offset, Partition};
use outrigger_tests::kafka::{Cluster, Isolation, Record, TopicSpec};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

const P0: Partition = Partition(0);

fn offsets(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.offset.0).collect()
}

fn code(outcome: Result<Offset>) -> Option<RDKafkaErrorCode> {
    outcome.err()?.downcast_ref::<KafkaError>()?.rdkafka_error_code()
}

#[test]
fn a_topic_holds_what_was_put_into_it() -> Result<()> {
    let topic = Cluster::shared()?.topic("holds", TopicSpec::store().partitions(2))?;

    let last = Partition(1);
    let put = topic.put_all([
        (last, &b"a"[..], Some(&b"1"[..])),
        (last, &b""[..], Some(&b""[..])),
        (last, &b"a"[..], None),
    ])?;

    assert_eq!(put, [Offset(0), Offset(1), Offset(2)]);
    let records = topic.read(last, Offset::ZERO, Isolation::Committed)?;
    let contents: Vec<_> =
        records.iter().map(|record| (record.key.as_deref(), record.value.as_deref())).collect();
    let (a, one, empty) = (Some(&b"a"[..]), Some(&b"1"[..]), Some(&b""[..]));
    assert_eq!(contents, [(a, one), (empty, empty), (a, None)]);
    assert_eq!(topic.ends(last)?, (Offset(0), Offset(3)));
    assert_eq!(topic.ends(P0)?, (Offset(0), Offset(0)));
    Ok(())
}

#[test]
fn a_compacted_topic_refuses_a_record_without_key() -> Result<()> {
    let topic = Cluster::shared()?.topic("keyless", TopicSpec::store())?;

    let refused = topic.put_keyless(P0, Some(b"value"));

    assert_eq!(code(refused), Some(RDKafkaErrorCode::InvalidRecord));
    assert_eq!(topic.ends(P0)?, (Offset(0), Offset(0)));
    Ok(())
}

#[test]
fn compaction_takes_superseded_records_then_tombstones() -> Result<()> {
    let topic = Cluster::shared()?.topic("compaction", TopicSpec::fast_compaction())?;
    let old = topic.put(P0, b"kept", Some(b"old"))?;
    let new = topic.put(P0, b"kept", Some(b"new"))?;
    topic.put(P0, b"deleted", Some(b"value"))?;
    let tombstone = topic.put(P0, b"deleted", None)?;

    topic.await_compacted(P0, old)?;
    topic.await_compacted(P0, tombstone)?;

    let left = topic.read(P0, Offset::ZERO, Isolation::Committed)?;
    assert_eq!(left[0].offset, new);
    assert!(left.iter().all(|record| record.key.as_deref() != Some(b"deleted")), "{left:?}");
    assert_eq!(topic.ends(P0)?.0, Offset(0), "compaction does not move the log start");
    Ok(())
}

#[test]
fn an_open_transaction_holds_the_last_stable_offset() -> Result<()> {
    let topic = Cluster::shared()?.topic("transaction", TopicSpec::store())?;
    topic.put(P0, b"before", Some(b"1"))?;

    let open = topic.begin(topic.name(), Duration::from_secs(60))?;
    let undecided = open.put(P0, b"undecided", Some(b"2"))?;
    topic.put(P0, b"after", Some(b"3"))?;

    assert_eq!(topic.last_stable(P0)?, undecided);
    assert_eq!(topic.ends(P0)?.1, Offset(3));
    assert_eq!(offsets(&topic.read(P0, Offset::ZERO, Isolation::Committed)?), [0]);
    assert_eq!(offsets(&topic.read(P0, Offset::ZERO, Isolation::Uncommitted)?), [0, 1, 2]);

    open.commit()?;

    assert_eq!(offsets(&topic.read(P0, Offset::ZERO, Isolation::Committed)?), [0, 1, 2]);
    Ok(())
}

#[test]
fn an_aborted_transaction_is_hidden_from_committed_readers() -> Result<()> {
    let topic = Cluster::shared()?.topic("abort", TopicSpec::store())?;

    let doomed = topic.begin(topic.name(), Duration::from_secs(60))?;
    doomed.put(P0, b"key", Some(b"value"))?;
    doomed.abort()?;

    assert_eq!(topic.read(P0, Offset::ZERO, Isolation::Committed)?, []);
    assert_eq!(offsets(&topic.read(P0, Offset::ZERO, Isolation::Uncommitted)?), [0]);
    Ok(())
}

#[test]
fn a_dropped_transaction_stays_open_until_its_id_is_used_again() -> Result<()> {
    let topic = Cluster::shared()?.topic("dropped", TopicSpec::store())?;
    let left = topic.begin(topic.name(), Duration::from_secs(60))?;
    left.put(P0, b"key", Some(b"value"))?;
    drop(left);
    assert_eq!(topic.last_stable(P0)?, Offset(0));

    let successor = topic.begin(topic.name(), Duration::from_secs(60))?;

    assert_eq!(topic.last_stable(P0)?, topic.ends(P0)?.1);
    successor.abort()
}

#[test]
fn deleted_records_move_the_log_start() -> Result<()> {
    let topic = Cluster::shared()?.topic("start", TopicSpec::store())?;
    for _ in 0..4 {
        topic.put(P0, b"key", Some(b"value"))?;
    }

    topic.delete_records(P0, Offset(3))?;

    assert_eq!(topic.ends(P0)?, (Offset(3), Offset(4)));
    assert_eq!(offsets(&topic.read(P0, Offset(3), Isolation::Committed)?), [3]);
    Ok(())
}

#[test]
fn a_recreated_topic_is_empty() -> Result<()> {
    let topic = Cluster::shared()?.topic("recreated", TopicSpec::store())?;
    topic.put(P0, b"key", Some(b"value"))?;

    topic.delete()?;
    topic.create_again()?;

    assert_eq!(topic.ends(P0)?, (Offset(0), Offset(0)));
    Ok(())
}

#[test]
fn an_altered_setting_takes_effect_and_the_others_stay() -> Result<()> {
    let mut topic = Cluster::shared()?.topic("altered", TopicSpec::store())?;

    topic.alter("max.message.bytes", "1000")?;

    let deadline = Instant::now() + Duration::from_secs(20);
    while code(topic.put(P0, b"key", Some(&[0; 2000])))
        != Some(RDKafkaErrorCode::MessageSizeTooLarge)
    {
        assert!(Instant::now() < deadline, "large records are taken still");
    }
    let keyless = topic.put_keyless(P0, None);
    assert_eq!(code(keyless), Some(RDKafkaErrorCode::InvalidRecord), "it is compacted still");
    Ok(())
}

#[test]
fn a_killed_broker_returns_with_its_data_and_a_wiped_one_without() -> Result<()> {
    let mut cluster = Cluster::start(1, &[])?;
    let topic = cluster.topic("killed", TopicSpec::store())?;
    topic.put(P0, b"key", Some(b"value"))?;

    cluster.kill(1)?;
    cluster.start_broker(1)?;
    assert_eq!(offsets(&topic.read(P0, Offset::ZERO, Isolation::Committed)?), [0]);

    cluster.kill(1)?;
    cluster.wipe_partition(1, topic.name(), P0)?;
    cluster.start_broker(1)?;
    assert_eq!(topic.ends(P0)?, (Offset(0), Offset(0)));
    Ok(())
}

#[test]
fn three_brokers_lose_one_and_go_on_and_return_after_losing_all() -> Result<()> {
    let mut cluster = Cluster::start(3, &[])?;
    let topic = cluster.topic("leader", TopicSpec::store())?;
    topic.put(P0, b"first", Some(b"1"))?;
    let leader = topic.leader(P0)?;

    cluster.kill(leader)?;
    topic.put(P0, b"second", Some(b"2"))?;
    assert_ne!(topic.leader(P0)?, leader);
    cluster.start_broker(leader)?;
    topic.await_in_sync(P0, 3)?;

    let paused = topic.leader(P0)?;
    cluster.pause(paused)?;
    topic.put(P0, b"third", Some(b"3"))?;
    cluster.resume(paused)?;

    cluster.kill_all()?;
    cluster.start_all()?;
    assert_eq!(offsets(&topic.read(P0, Offset::ZERO, Isolation::Committed)?), [0, 1, 2]);
    Ok(())
}
