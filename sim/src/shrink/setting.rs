//! A smaller and plainer world: fewer nodes, partitions, brokers and clients, and Kafka's usual numbers.

use serde_json::Value;

use super::numbers::{json, rounder, set, with};
use super::trial::Trial;
use crate::plan::{Kafka, Latencies, License, NodeLimits, Plan, Policy, Setting};

/// What nobody wonders about.
fn usual() -> Setting {
    Setting {
        nodes: 1,
        partitions: 1,
        kafka: Kafka {
            brokers: 1,
            pace_ms: 0,
            lag_max_ms: 30_000,
            session_ms: 0,
            transaction_timeout_ms: 60_000,
            segment_offsets: 64,
            segment_ms: 604_800_000,
            cleaner_ms: 0,
            dirty_percent: 50,
            delivery_timeout_ms: 30_000,
            ask_timeout_ms: 5_000,
            end_with_records: true,
        },
        policy: Policy {
            cleanup: "compact".to_owned(),
            delete_retention_ms: 86_400_000,
            min_compaction_lag_ms: 0,
            log_append_time: true,
            min_insync_replicas: 1,
            replication: 1,
            unclean_election: false,
        },
        limits: NodeLimits {
            fetch_bytes: 1 << 20,
            applying_batches: 4,
            flush_bytes: 64 << 20,
            flush_ms: 5_000,
            ends_ms: 1_000,
            describe_ms: 60_000,
            retry_min_ms: 250,
            retry_max_ms: 5_000,
            stall_ms: 3_000,
            confirm_ms: 120_000,
            awaits: 10_000,
        },
        latencies: Latencies { log_call_us: 0, log_answer_us: 0, disk_us: 0 },
        peers: None,
    }
}

/// Tries whole groups of numbers at once; without latencies, what is removed later shifts nothing else.
pub(super) fn calm(trial: &mut Trial<'_>) {
    let usual = usual();
    change(trial, |plan| plan.setting.latencies = usual.latencies);
    change(trial, |plan| plan.setting.limits = usual.limits);
    change(trial, |plan| plan.setting.peers = usual.peers);
    change(trial, |plan| {
        let own = std::mem::replace(&mut plan.setting.kafka, usual.kafka);
        plan.setting.kafka.brokers = own.brokers;
    });
    change(trial, |plan| {
        let own = std::mem::replace(&mut plan.setting.policy, usual.policy);
        plan.setting.policy.replication = own.replication;
        plan.setting.policy.min_insync_replicas = own.min_insync_replicas;
        plan.setting.policy.unclean_election = own.unclean_election;
    });
    change(trial, |plan| {
        plan.license = License::NoLoss;
        plan.setting.policy.unclean_election = false;
    });
}

pub(super) fn smaller(trial: &mut Trial<'_>) {
    change(trial, |plan| {
        for operation in &mut plan.operations {
            operation.client = 0;
        }
    });
    for node in (0..trial.best().setting.nodes).rev() {
        let number = u64::try_from(node).expect("a world has few nodes");
        trial.take_first(without(trial.best(), "nodes", "node", number));
    }
    for partition in (0..trial.best().setting.partitions).rev() {
        trial.take_first(without(trial.best(), "partitions", "partition", u64::from(partition)));
    }
    change(trial, |plan| {
        plan.setting.policy.replication = 1;
        plan.setting.policy.min_insync_replicas = 1;
    });
    for broker in (0..trial.best().setting.kafka.brokers).rev() {
        let least = trial.best().setting.policy.replication;
        if trial.best().setting.kafka.brokers > least {
            trial.take_first(without(trial.best(), "kafka/brokers", "broker", u64::from(broker)));
        }
    }
}

/// Tries for each number the usual one, else a rounder one.
pub(super) fn plain(trial: &mut Trial<'_>) {
    let usual = serde_json::json!({ "setting": usual() });
    for group in ["/setting/kafka", "/setting/policy", "/setting/limits", "/setting/latencies"] {
        for place in fields(&usual, group) {
            let is = json(trial.best());
            if is.pointer(&place) == usual.pointer(&place) || place.ends_with("/brokers") {
                continue;
            }
            let value = usual.pointer(&place).cloned().expect("a place of the usual setting");
            if trial.take_first(with(&is, &place, value)).is_none() {
                set(trial, &place, rounder);
            }
        }
    }
}

fn fields(all: &Value, under: &str) -> Vec<String> {
    let fields = all.pointer(under).and_then(Value::as_object).expect("a group of the setting");
    fields.keys().map(|name| format!("{under}/{name}")).collect()
}

fn change(trial: &mut Trial<'_>, change: impl FnOnce(&mut Plan)) {
    let mut plan = trial.best().clone();
    change(&mut plan);
    trial.take(plan);
}

/// The plan with one less of something that `setting` counts: what concerns that one goes, those above it move down.
/// None: it is the last one.
fn without(plan: &Plan, counted: &str, field: &str, gone: u64) -> Option<Plan> {
    let mut all = json(plan);
    let count = all.pointer_mut(&format!("/setting/{counted}"))?;
    let left = count.as_u64()?.checked_sub(1).filter(|left| *left > 0)?;
    *count = left.into();
    for part in ["operations", "faults"] {
        let items = all.get_mut(part)?.as_array_mut()?;
        items.retain(|item| item.get(field).and_then(Value::as_u64) != Some(gone));
        for item in items.iter_mut() {
            renumber(item, field, gone);
        }
    }
    serde_json::from_value(all).ok()
}

fn renumber(item: &mut Value, field: &str, gone: u64) {
    let down = |number: u64| Value::from(if number > gone { number - 1 } else { number });
    if let Some(number) = item.get_mut(field)
        && let Some(is) = number.as_u64()
    {
        *number = down(is);
    }
    // A fault may name several nodes.
    if field == "node"
        && let Some(Value::Array(nodes)) = item.get_mut("nodes")
    {
        nodes.retain(|node| node.as_u64() != Some(gone));
        for node in nodes.iter_mut() {
            *node = down(node.as_u64().expect("nodes have numbers"));
        }
    }
}
