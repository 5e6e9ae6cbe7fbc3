//! The stores of a node: from the file's tables or the flags of a single one.

use std::collections::BTreeMap;

use super::names::{StoreName, TopicName};
use super::problem::Problem;
use super::settings::{SingleStore, StoreTable};
use super::{Creation, StoreConfig};

/// Stores of a node at most. Each has its own databases, readers and buffers; beyond this, memory is the bound to look
/// at.
pub(super) const STORES_MAX: usize = 64;

/// Partitions of a store at most. Each is a column family with its own memtable in each generation.
pub const PARTITIONS_MAX: u32 = 256;

/// Replicas at most: Kafka's own bound.
pub(super) const REPLICATION_MAX: u32 = 32_767;

/// Returns the stores, and adds everything that is wrong about them to `problems`.
pub(super) fn resolve(
    single: SingleStore,
    tables: Vec<StoreTable>,
    problems: &mut Vec<Problem>,
) -> Vec<StoreConfig> {
    let tables = gather(single, tables, problems);
    if tables.len() > STORES_MAX {
        problems.push(Problem::TooManyStores { count: tables.len() });
    }
    let stores: Vec<StoreConfig> =
        tables.iter().filter_map(|table| store(table, problems)).collect();
    report_duplicates(&stores, problems);
    stores
}

fn gather(
    single: SingleStore,
    tables: Vec<StoreTable>,
    problems: &mut Vec<Problem>,
) -> Vec<StoreTable> {
    let SingleStore { store, topic, create, partitions, replication } = single;
    let Some(name) = store else {
        let alone = [
            ("--topic", topic.is_some()),
            ("--create", create),
            ("--partitions", partitions.is_some()),
            ("--replication", replication.is_some()),
        ];
        let alone = alone.into_iter().filter(|(_, given)| *given);
        problems.extend(alone.map(|(flag, _)| Problem::StoreFlagAlone { flag }));
        if tables.is_empty() {
            problems.push(Problem::NoStore);
        }
        return tables;
    };
    if !tables.is_empty() {
        problems.push(Problem::StoresTwice { flag: name });
        return tables;
    }
    vec![StoreTable { name, topic, create, partitions, replication }]
}

fn store(table: &StoreTable, problems: &mut Vec<Problem>) -> Option<StoreConfig> {
    let StoreTable { name, topic, create, partitions, replication } = table;
    let before = problems.len();
    let parsed_name = StoreName::parse(name)
        .map_err(|error| problems.push(Problem::StoreName { name: name.clone(), error }))
        .ok();
    // Where no topic is given, a bad name would be reported twice.
    let parsed_topic = match topic {
        None => TopicName::parse(name).ok(),
        Some(topic) => TopicName::parse(topic)
            .map_err(|error| {
                problems.push(Problem::TopicName {
                    store: name.clone(),
                    topic: topic.clone(),
                    error,
                });
            })
            .ok(),
    };
    if let Some(partitions) = *partitions {
        if !create {
            problems.push(Problem::PartitionsWithoutCreate { store: name.clone() });
        }
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            problems.push(Problem::Partitions { store: name.clone(), partitions });
        }
    }
    if let Some(replication) = *replication {
        if !create {
            problems.push(Problem::ReplicationWithoutCreate { store: name.clone() });
        }
        if !(1..=REPLICATION_MAX).contains(&replication) {
            problems.push(Problem::Replication { store: name.clone(), replication });
        }
    }
    if problems.len() > before {
        return None;
    }
    // With one partition revisions are a total order, which most applications want.
    let (partitions, replication) = (partitions.unwrap_or(1), *replication);
    let create = create.then_some(Creation { partitions, replication });
    Some(StoreConfig { name: parsed_name?, topic: parsed_topic?, create })
}

fn report_duplicates(stores: &[StoreConfig], problems: &mut Vec<Problem>) {
    let mut names: BTreeMap<String, &StoreName> = BTreeMap::new();
    let mut topics: BTreeMap<&TopicName, &StoreName> = BTreeMap::new();
    for StoreConfig { name, topic, .. } in stores {
        match names.insert(name.as_str().to_ascii_lowercase(), name) {
            None => {}
            // Its topic is usually the same too: one problem says it.
            Some(other) if other == name => {
                problems.push(Problem::DuplicateStore { name: name.to_string() });
                continue;
            }
            Some(other) => {
                problems.push(Problem::AlikeStores {
                    name: name.to_string(),
                    other: other.to_string(),
                });
            }
        }
        if let Some(first) = topics.insert(topic, name) {
            problems.push(Problem::DuplicateTopic {
                topic: topic.to_string(),
                first: first.to_string(),
                second: name.to_string(),
            });
        }
    }
}
