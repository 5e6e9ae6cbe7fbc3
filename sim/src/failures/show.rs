//! Operations and faults of a plan in words.

use serde_json::Value;

use crate::plan::{Act, Fault, FaultKind, ForeignKey, Level, Operation};

/// Milliseconds as seconds.
pub(super) fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1_000, ms % 1_000)
}

pub(super) fn operation(operation: &Operation) -> String {
    match &operation.act {
        Act::Put { node, key } => format!("put k{key} at node {node}"),
        Act::Delete { node, key } => format!("delete k{key} at node {node}"),
        Act::Batch { node, changes } => {
            let change = |(key, deletes): &(u32, bool)| {
                if *deletes { format!("delete k{key}") } else { format!("put k{key}") }
            };
            let changes: Vec<_> = changes.iter().map(change).collect();
            format!("one call with {} at node {node}", changes.join(", "))
        }
        Act::Get { node, key, level, wait_ms, max_staleness_ms } => {
            let how = how(*level, *wait_ms, *max_staleness_ms);
            format!("get k{key} at node {node}, {how}")
        }
        Act::Scan { node, level, wait_ms, max_staleness_ms } => {
            format!("scan at node {node}, {}", how(*level, *wait_ms, *max_staleness_ms))
        }
        Act::Foreign { records } => {
            let records: Vec<_> = records.iter().map(foreign).collect();
            format!("another tool: {}", records.join(", "))
        }
        Act::Transaction { keys, commit, lasts_ms } => {
            let keys: Vec<_> = keys.iter().map(|key| format!("k{key}")).collect();
            let ends = if *commit { "committed" } else { "aborted" };
            let keys = keys.join(" ");
            format!("another tool's transaction of {keys}, {ends} after {}", seconds(*lasts_ms))
        }
    }
}

fn how(level: Level, wait_ms: u64, max_staleness_ms: Option<u64>) -> String {
    let old = max_staleness_ms.map(|ms| format!(", at most {} old", seconds(ms)));
    format!("{}{}, waits {}", name(level), old.unwrap_or_default(), seconds(wait_ms))
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Stale => "STALE",
        Level::Local => "LOCAL",
        Level::AtLeast => "AT_LEAST",
        Level::Latest => "LATEST",
    }
}

fn foreign(record: &ForeignKey) -> String {
    match record {
        ForeignKey::Put(key) => format!("put k{key}"),
        ForeignKey::Empty(key) => format!("put nothing under k{key}"),
        ForeignKey::Delete(key) => format!("delete k{key}"),
        ForeignKey::Misplaced(key) => format!("put k{key} in a wrong partition"),
        ForeignKey::Keyless => "a record without a key".to_owned(),
    }
}

/// A fault in the words of the plan's JSON, so that a new one needs no words here.
pub(super) fn fault(what: &FaultKind) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(what) else {
        return what.id().to_owned();
    };
    let name = fields.get("fault").and_then(Value::as_str).unwrap_or_default().replace('_', " ");
    let facts = fields.iter().filter(|(field, _)| *field != "fault");
    let facts =
        facts.map(|(field, value)| format!(", {} {}", field.replace('_', " "), plain(value)));
    format!("{} {name}{}", what.id(), facts.collect::<String>())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace('_', " "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string().replace(['"', '{', '}'], "")
        }
    }
}

pub(super) fn lasts(fault: &Fault) -> String {
    if fault.lasts_ms == 0 { "a moment".to_owned() } else { seconds(fault.lasts_ms) }
}
