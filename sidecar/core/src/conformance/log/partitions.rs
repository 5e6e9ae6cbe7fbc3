//! Several partitions, and records that do not belong where they are.

use bytes::Bytes;

use super::fixture::{
    CREDIT, ONE, appended, assign, describe, ends, foreign, next, put, read_on, read_to, texts,
    write,
};
use super::{Foreign, LogUnderTest};
use crate::log::{LogCall, LogEvent, Write};
use crate::offset::{Offset, Partition};
use crate::partitioner::partition_of;

const PARTITIONS: u32 = 3;

/// A key that belongs to `partition`.
fn key_of(partition: Partition) -> String {
    keys_of(partition).next().expect("every partition has keys")
}

fn keys_of(partition: Partition) -> impl Iterator<Item = String> {
    let belongs = move |key: &String| partition_of(key.as_bytes(), PARTITIONS) == partition;
    (0..1_000).map(|n: u32| format!("key-{n}")).filter(belongs)
}

fn one_each() -> Vec<Write> {
    let own = |partition| write(partition, &key_of(partition), Some("value"));
    Partition::all(PARTITIONS).map(own).collect()
}

pub(super) fn writes_go_to_the_partitions_they_name(log: &mut dyn LogUnderTest) {
    let twice: Vec<Write> = one_each().into_iter().chain(one_each()).collect();
    let offsets = appended(log, &twice);
    assert_eq!(offsets, [0, 0, 0, 1, 1, 1].map(Offset));
    for partition in Partition::all(PARTITIONS) {
        let seen = read_to(log, ONE, partition, Offset(0), Offset(2));
        assert_eq!(seen.offsets(), [0, 1]);
        assert!(seen.records.iter().all(|(_, key, _)| *key == key_of(partition).into_bytes()));
    }
    let ends: Vec<Offset> = ends(log, ONE).iter().map(|end| end.high_watermark).collect();
    assert_eq!(ends, [2, 2, 2].map(Offset));
}

pub(super) fn partitions_are_read_side_by_side(log: &mut dyn LogUnderTest) {
    for partition in Partition::all(PARTITIONS) {
        assign(log, ONE, partition, Offset(0), None);
    }
    appended(log, &one_each());
    let mut positions = [Offset(0); 3];
    for partition in Partition::all(PARTITIONS) {
        log.call(ONE, LogCall::Fetch { partition, bytes_max: CREDIT });
    }
    while positions.iter().any(|position| *position < Offset(1)) {
        match next(log, ONE) {
            LogEvent::Fetched(batch) => {
                assert_eq!(positions[batch.partition.index()], batch.range.start);
                positions[batch.partition.index()] = batch.range.end;
                let partition = batch.partition;
                log.call(ONE, LogCall::Fetch { partition, bytes_max: CREDIT });
            }
            other => panic!("a fetch was answered by {other:?}"),
        }
    }
}

pub(super) fn another_partitions_key_is_left_out_and_counted(log: &mut dyn LogUnderTest) {
    let (here, there) = (Partition(0), Partition(1));
    let records = [foreign(&key_of(there), "strays"), foreign(&key_of(here), "belongs")];
    log.append(here, &records);
    let seen = read_to(log, ONE, here, Offset(0), Offset(2));
    assert_eq!(seen.offsets(), [1]);
    assert_eq!((seen.misplaced, seen.keyless, seen.gap), (1, 0, false));
    let seen = read_to(log, ONE, there, Offset(0), Offset(0));
    assert!(seen.records.is_empty());
}

pub(super) fn a_record_without_a_key_is_left_out_and_counted(log: &mut dyn LogUnderTest) {
    let here = Partition(0);
    let keyless = Foreign { key: None, value: Some(Bytes::from_static(b"whose?")) };
    log.append(here, &[keyless]);
    appended(log, &[put(&key_of(here), "mine")]);
    let seen = read_to(log, ONE, here, Offset(0), Offset(2));
    assert_eq!(texts(&seen), [(1, key_of(here), Some("mine".to_owned()))]);
    assert_eq!((seen.misplaced, seen.keyless, seen.gap), (0, 1, false));
}

/// The number of partitions, if one is told before the topic's id.
fn partition_count(log: &mut dyn LogUnderTest, client: u32) -> Option<u32> {
    log.call(client, LogCall::TopicId);
    match next(log, client) {
        LogEvent::PartitionCount(count) => {
            assert!(matches!(next(log, client), LogEvent::TopicId(_)));
            Some(count)
        }
        LogEvent::TopicId(_) => None,
        other => panic!("no topic id: {other:?}"),
    }
}

/// A reader goes on as it was assigned: where keys belong is what its copy says, until somebody decides anew.
pub(super) fn an_added_partition_shows_in_the_facts_alone(log: &mut dyn LogUnderTest) {
    let before = describe(log, ONE);
    appended(log, &one_each());
    for partition in Partition::all(PARTITIONS) {
        read_to(log, ONE, partition, Offset(0), Offset(1));
    }
    log.add_partition();
    // A metadata request may still be answered by a broker that does not know of it.
    let mut counts = (0..100).filter_map(|_| partition_count(log, ONE));
    assert_eq!(counts.next(), Some(PARTITIONS + 1), "told beside the topic's id");
    let after = describe(log, ONE);
    assert_eq!(partition_count(log, ONE), None, "it is what the last description told");
    assert_eq!((after.topic, after.partitions.len()), (before.topic, 4));
    let ends: Vec<Offset> = after.partitions.iter().map(|facts| facts.high_watermark).collect();
    assert_eq!(ends, [1, 1, 1, 0].map(Offset));
    for partition in Partition::all(PARTITIONS) {
        let moves = |key: &String| partition_of(key.as_bytes(), PARTITIONS + 1) != partition;
        let key = keys_of(partition).find(moves).expect("some keys would move");
        log.append(partition, &[foreign(&key, "stays")]);
        let seen = read_on(log, ONE, partition, Offset(1), Offset(2));
        assert_eq!((seen.offsets(), seen.misplaced), (vec![1], 0));
    }
}
