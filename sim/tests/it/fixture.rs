//! A small world and the words that the scenarios are told in.

use std::time::Duration;

use bytes::Bytes;
use outrigger_core::gate::ReadLevel;
use outrigger_core::limits::Limits;
use outrigger_core::node::{Change, Command, Outcome, Reply};
use outrigger_core::offset::{Offset, Partition};
use outrigger_core::phase::{Cause, Phase};
use outrigger_core::topic::{TopicId, TopicPolicy};
use outrigger_model::log::{BrokerConfig, Foreign, LogConfig, SegmentLimits};
use outrigger_sim::world::World;

pub(crate) const P0: Partition = Partition(0);
pub(crate) const RETENTION: Duration = Duration::from_secs(100);

pub(crate) fn config(partitions: u32) -> LogConfig {
    LogConfig {
        cluster: "cluster".to_owned(),
        topic: TopicId([1; 16]),
        partitions,
        policy: TopicPolicy {
            delete_retention_ms: u64::try_from(RETENTION.as_millis()).expect("a short time"),
            min_compaction_lag_ms: 0,
            ..TopicPolicy::safe(3)
        },
        segments: SegmentLimits { offsets_max: 1_000_000, age_ms: u64::MAX },
        brokers: BrokerConfig { count: 3, ..BrokerConfig::single() },
        transaction_timeout: None,
        cleaner: None,
        delivery_timeout: Duration::from_secs(10),
        ask_timeout: Duration::from_secs(5),
        end_with_records: true,
    }
}

/// Batches of a few records, so that a restore takes many steps.
pub(crate) fn limits() -> Limits {
    Limits { fetch_bytes_max: 64, ..Limits::PRODUCTION }
}

pub(crate) fn world(partitions: u32, nodes: usize) -> World {
    World::new(config(partitions), nodes, limits())
}

/// A world with one READY node.
pub(crate) fn ready(partitions: u32) -> World {
    let mut world = world(partitions, 1);
    world.start(0);
    world.until_ready(0);
    world
}

pub(crate) fn change(key: &str, value: Option<&str>) -> Change {
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    Change { key: Bytes::copy_from_slice(key.as_bytes()), value }
}

pub(crate) fn foreign(key: &str, value: Option<&str>) -> Foreign {
    let Change { key, value } = change(key, value);
    Foreign { key: Some(key), value }
}

/// Another tool writes; the node reads on.
pub(crate) fn append(world: &mut World, records: &[(&str, Option<&str>)]) -> Vec<Offset> {
    let records: Vec<_> = records.iter().map(|(key, value)| foreign(key, *value)).collect();
    let offsets = records
        .iter()
        .map(|record| world.log.append(world.now, P0, std::slice::from_ref(record))[0]);
    let offsets = offsets.collect();
    world.settle();
    offsets
}

/// Rolls the active segment, lets `age` pass, cleans once.
pub(crate) fn clean(world: &mut World) {
    world.log.roll(P0);
    world.log.clean(world.now);
    world.settle();
}

pub(crate) fn write(world: &mut World, index: usize, key: &str, value: Option<&str>) -> Outcome {
    let id = world.command(index, Command::Write(vec![change(key, value)]));
    match world.reply(index, id) {
        Some(Reply::Written { mut outcomes, .. }) => outcomes.remove(0),
        other => panic!("expected an outcome: {other:?}"),
    }
}

pub(crate) fn get(world: &World, index: usize, level: &ReadLevel, key: &str) -> Option<String> {
    let rows = world.rows(index, level);
    rows.get(key.as_bytes())
        .map(|(_, value)| String::from_utf8(value.clone()).expect("tests write text"))
}

/// Asserts that the READY copy holds exactly what the log says.
pub(crate) fn assert_exact(world: &World, index: usize) {
    assert_eq!(world.phase(index), Phase::Ready);
    assert_eq!(world.rows(index, &ReadLevel::Local), world.expected(index));
}

pub(crate) fn cause(world: &World, index: usize) -> Cause {
    world.node(index).status().progress.expect("the node reads").cause
}

pub(crate) const EVERYTHING: fn(Partition, usize) -> usize = |_, steps| steps;
pub(crate) const NOTHING: fn(Partition, usize) -> usize = |_, _| 0;
