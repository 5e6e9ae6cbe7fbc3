//! Every metric that the documentation names is in a scrape of a real node, and so is every one of the dashboard.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use outrigger_client::{Watch, WatchEvent};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::free_port;
use serde_json::Value;

use super::promtool;
use super::scrape::{Samples, names, scrape, until};
use crate::e2e::{Place, run};

/// What only nodes have that have TLS, rules or peers, or that something happened to.
const ELSEWHERE: [&str; 16] = [
    "outrigger_connections_closed_total",
    "outrigger_hung",
    "outrigger_kafka_certificate_expiry_timestamp_seconds",
    "outrigger_kafka_certificate_start_timestamp_seconds",
    "outrigger_peer_bytes_given_total",
    "outrigger_peer_bytes_taken_total",
    "outrigger_peer_refusals_total",
    "outrigger_reads_forwarded_total",
    "outrigger_tls_certificate_expiry_timestamp_seconds",
    "outrigger_tls_certificate_start_timestamp_seconds",
    "outrigger_tls_files_refused",
    "outrigger_tokens_file_unfit",
    "outrigger_trace_spans_total",
    "outrigger_verify_last_success_timestamp_seconds",
    "outrigger_verify_peers_differ",
    "outrigger_verify_total",
];

/// The metrics of `docs/operating.md`.
fn documented() -> Result<BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let page = fs::read_to_string(path)?;
    let (_, section) = page.split_once("\n## Metrics\n").context("the section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `outrigger_"));
    let name = |row: &str| format!("outrigger_{}", row.split('`').next().unwrap_or_default());
    Ok(rows.map(name).collect())
}

/// Every expression of the dashboard, with values for what Grafana puts in.
fn expressions(panel: &Value, into: &mut BTreeSet<String>) {
    match panel {
        Value::Object(fields) => {
            if let Some(Value::String(expression)) = fields.get("expr") {
                let filled = expression.replace("$__rate_interval", "1m");
                into.insert(filled.replace("$instance", ".*").replace("$store", ".*"));
            }
            fields.values().for_each(|field| expressions(field, into));
        }
        Value::Array(panels) => panels.iter().for_each(|panel| expressions(panel, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn metrics_of(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let ours = words.filter(|word| word.starts_with("outrigger_") || word.starts_with("process_"));
    ours.map(|word| {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
        histogram.filter(|name| name.ends_with("_seconds")).unwrap_or(word)
    })
}

#[test]
fn a_node_has_every_metric_that_is_documented_and_the_dashboard_shows_no_other() -> Result<()> {
    run(async {
        let (place, port) = (Place::new("metrics", TopicSpec::store())?, free_port()?);
        let address = format!("127.0.0.1:{port}");
        let mut node = place.node("one")?.with_args(&["--metrics", &address]);
        node.start().await?;
        node.until_ready().await?;
        let store = node.store().await?;
        for number in 0..20 {
            store.put(format!("key {number}"), "value").await?;
        }
        store.get("key 1").await?;
        let mut watch = store.watch(Watch::all()).await?;
        while !matches!(watch.next().await.context("no end")??, WatchEvent::StateEnd(_)) {}
        store.put("key 1", "another").await?;
        ensure!(store.put(vec![b'k'; 40_000], "value").await.is_err(), "no key is so large");
        let done = |name: &'static str, least: f64| {
            until(port, name, move |seen| seen.get(name).is_some_and(|value| *value >= least))
        };
        // Statistics of the Kafka client come after ten seconds, the disk is looked at as often.
        done(r#"outrigger_kafka_brokers_connected{client="consumer"}"#, 1.0).await?;
        done(r#"outrigger_rocksdb_block_cache_capacity_bytes"#, 1.0).await?;
        done(r#"outrigger_store_bytes{store="state"}"#, 1.0).await?;
        done(r#"outrigger_write_acknowledgement_seconds_count{store="state"}"#, 20.0).await?;
        done(r#"outrigger_write_visible_seconds_count{store="state"}"#, 1.0).await?;
        done(r#"outrigger_call_duration_seconds_count{rpc="Put",code="OK"}"#, 20.0).await?;
        done(r#"outrigger_call_duration_seconds_count{rpc="Get",code="OK"}"#, 1.0).await?;
        done(r#"outrigger_call_duration_seconds_count{rpc="Put",code="INVALID_ARGUMENT"}"#, 1.0)
            .await?;
        done(r#"outrigger_restore_fraction{store="state"}"#, 1.0).await?;
        done(r#"outrigger_watches{store="state"}"#, 1.0).await?;
        done(r#"outrigger_watch_states_total{store="state",why="asked"}"#, 1.0).await?;
        done(r#"outrigger_watch_changes_total{store="state"}"#, 1.0).await?;
        drop(watch);
        let closed = |seen: &Samples| seen[r#"outrigger_watches{store="state"}"#] == 0.0;
        until(port, "the watch is closed", closed).await?;
        let text = scrape(port)?;
        let seen = until(port, "a scrape", |_| true).await?;

        // A week's retention, less a tenth; a READY node confirms all the time.
        let horizon = seen[r#"outrigger_horizon_seconds{store="state"}"#];
        let longest = seen[r#"outrigger_horizon_max_seconds{store="state"}"#];
        ensure!(longest == 544_320.0 && horizon > longest - 60.0, "{horizon} of {longest}");
        ensure!(
            seen["outrigger_disk_free_bytes"] < seen["outrigger_disk_size_bytes"],
            "a part of the disk is free"
        );
        ensure!(seen["process_resident_memory_bytes"] > 1e6 && seen["process_open_fds"] > 10.0);

        let there = names(&text)?;
        let elsewhere: BTreeSet<String> = ELSEWHERE.map(str::to_owned).into();
        let missing: Vec<_> = documented()?.difference(&there).cloned().collect();
        let missing: Vec<_> =
            missing.into_iter().filter(|name| !elsewhere.contains(name)).collect();
        ensure!(missing.is_empty(), "not in a scrape: {missing:?}\n{text}");
        promtool::check_metrics(&text)?;

        let dashboard = fs::read_to_string(promtool::deployed("grafana/outrigger.json"))?;
        let mut shown = BTreeSet::new();
        expressions(&serde_json::from_str(&dashboard)?, &mut shown);
        ensure!(shown.len() > 30, "it is a dashboard");
        for expression in &shown {
            ensure!(metrics_of(expression).next().is_some(), "{expression}");
            for name in metrics_of(expression) {
                ensure!(there.contains(name) || elsewhere.contains(name), "{name}: {expression}");
            }
        }
        promtool::check_expressions(&shown)
    })
}
