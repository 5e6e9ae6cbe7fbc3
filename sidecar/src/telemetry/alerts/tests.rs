//! The rules are those of the files in `deploy/prometheus/`, and each of them fires and stays silent where it should: promtool
//! plays that (`alerts_test.yml`).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::*;
use crate::documented::{assert_rows, deployed};
use crate::telemetry::metrics::names;

/// A series, its samples while all is well and while something is wrong: a minute apart, for hours.
type Example = (&'static str, &'static str, &'static str);

/// Another node: its name, whether the rule has to fire for it, and its series with their samples.
type Other = (&'static str, bool, &'static [(&'static str, &'static str)]);

const BUILD: &str = r#"outrigger_build_info{version="1"}"#;
const READY: &str = r#"outrigger_phase{phase="READY",store="s"}"#;

/// Samples are kept for so long, and looked at in the end.
const MINUTES: u32 = 180;

fn examples(alert: &Alert) -> Vec<Example> {
    match alert.name.as_str() {
        "OutriggerGone" => vec![(BUILD, "1x180", "1x160 _x20"), ("up", "1x180", "1x160 0x20")],
        "OutriggerNotReady" => vec![(READY, "1x180", "1x150 0x30")],
        "OutriggerRefused" => {
            vec![(r#"outrigger_phase{phase="REFUSED",store="s"}"#, "0x180", "0x170 1x10")]
        }
        "OutriggerCopyOld" => {
            vec![(r#"outrigger_confirmed_age_seconds{store="s"}"#, "1x180", "1x170 30+60x10")]
        }
        "OutriggerHorizonNear" => vec![
            (r#"outrigger_horizon_max_seconds{store="s"}"#, "1000x180", "1000x180"),
            (r#"outrigger_horizon_seconds{store="s"}"#, "999x180", "999x170 249x10"),
        ],
        "OutriggerLagGrows" => vec![
            (READY, "1x180", "1x180"),
            (r#"outrigger_lag_offsets{store="s"}"#, "900000-1000x180", "0+1000x180"),
        ],
        "OutriggerRestoreTooSlow" => vec![
            (r#"outrigger_horizon_seconds{store="s"}"#, "9000x180", "9000x180"),
            (r#"outrigger_restore_time_to_go_seconds{store="s"}"#, "0x180", "9001x180"),
        ],
        "OutriggerCopySetAside" => {
            vec![(r#"outrigger_quarantined_bytes{store="s"}"#, "0x180", "0x179 1")]
        }
        "OutriggerLogLostRecords" => {
            vec![(r#"outrigger_positions_lost_total{store="s"}"#, "0x180", "0x179 1")]
        }
        "OutriggerLostRows" => vec![(r#"outrigger_lost_rows{store="s"}"#, "0x180", "0x179 3")],
        "OutriggerWritesUnknown" => {
            vec![(r#"outrigger_writes_total{outcome="unknown",store="s"}"#, "7x180", "7x170 8x10")]
        }
        "OutriggerCopiesDiffer" => {
            vec![(r#"outrigger_verify_peers_differ{store="s"}"#, "0x180", "0x179 1")]
        }
        "OutriggerDiskFullSoon" => vec![
            ("outrigger_disk_size_bytes", "1000000x180", "1000000x180"),
            ("outrigger_disk_free_bytes", "400000-1x180", "400000-500x180"),
        ],
        "OutriggerDiskAlmostFull" => vec![
            ("outrigger_disk_size_bytes", "1000000x180", "1000000x180"),
            ("outrigger_disk_free_bytes", "100000x180", "100000x170 99999x10"),
        ],
        "OutriggerNoRoomForRebuild" => vec![
            (READY, "1x180", "1x180"),
            ("outrigger_disk_free_bytes", "10x180", "10x180"),
            (r#"outrigger_store_in_use_bytes{store="s"}"#, "9x180", "11x180"),
            (r#"outrigger_store_bytes{store="s"}"#, "18x180", "22x180"),
        ],
        "OutriggerStoreHeldUp" => {
            vec![(r#"outrigger_rocksdb_write_stopped{store="s"}"#, "0x180", "0x170 1x10")]
        }
        "OutriggerKafkaThrottles" => vec![(
            r#"outrigger_kafka_throttle_seconds{broker="1",client="consumer"}"#,
            "0.05x180",
            "1x180",
        )],
        "OutriggerCertificateEnds" => vec![
            (
                // Of a day two thirds and more are left; of four hours less than one.
                r#"outrigger_tls_certificate_expiry_timestamp_seconds{setting="tls_certificate"}"#,
                "86400x180",
                "14400x180",
            ),
            (
                r#"outrigger_tls_certificate_start_timestamp_seconds{setting="tls_certificate"}"#,
                "0x180",
                "0x180",
            ),
        ],
        "OutriggerTlsFilesRefused" => {
            vec![(r#"outrigger_tls_files_refused{listen="listen"}"#, "0x180", "1x180")]
        }
        "OutriggerTokensUnfit" => vec![("outrigger_tokens_file_unfit", "0x180", "1x180")],
        "OutriggerRecordsMisplaced" => {
            vec![(r#"outrigger_misplaced_records_total{store="s"}"#, "0x180", "2x180")]
        }
        "OutriggerHung" => vec![(r#"outrigger_hung{work="core"}"#, "0x180", "0x179 1")],
        stall => {
            let kind = alert.expression.split('"').nth(1).expect(stall);
            let series = format!(r#"outrigger_stall{{stall="{kind}",store="s"}}"#);
            // What lasts for a minute is nobody's business.
            vec![(series.leak(), "0x150 1x1 0x60", "0x170 1x10")]
        }
    }
}

fn others(alert: &Alert) -> &'static [Other] {
    match alert.name.as_str() {
        "OutriggerGone" => &[
            // Of a Deployment each rollout replaces nodes by others, which have addresses of their own.
            ("replaced", false, &[(BUILD, "1x150 stale"), ("up", "1x150 stale")]),
            ("successor", false, &[(BUILD, "_x150 1x30"), ("up", "_x148 0x2 1x30")]),
            // It is scraped until it has ended, and is no target from then on.
            ("scaled-in", false, &[(BUILD, "1x150 stale"), ("up", "1x150 0x2 stale")]),
            // What has never said that it is one of ours is somebody else's business.
            ("stranger", false, &[("up", "0x180")]),
            // It is down for longer than an hour, and still a target.
            ("long-down", true, &[(BUILD, "1x60 stale"), ("up", "1x60 0x120")]),
        ],
        "OutriggerDiskAlmostFull" => {
            &[("filled-within-an-hour", true, FILLED_WITHIN_AN_HOUR), ("young", true, YOUNG)]
        }
        _ => &[],
    }
}

const FILLED_WITHIN_AN_HOUR: &[(&str, &str)] = &[
    ("outrigger_disk_size_bytes", "1000000x180"),
    ("outrigger_disk_free_bytes", "900000x130 880000-20000x42 30000x10"),
];

const YOUNG: &[(&str, &str)] = &[
    ("outrigger_disk_size_bytes", "_x160 1000000x20"),
    ("outrigger_disk_free_bytes", "_x160 90000x20"),
];

/// Returns promtool's tests: of each rule, that it fires for one node and is silent about another, and what it says of others.
fn played() -> String {
    let mut text = String::from(
        "# Made from sidecar/src/telemetry/alerts/tests.rs: `promtool test rules` plays it.\n\
         rule_files: [alerts.yml]\nevaluation_interval: 1m\ntests:\n",
    );
    for alert in table::alerts() {
        writeln!(text, "  - name: {}\n    interval: 1m\n    input_series:", alert.name).unwrap();
        for (series, well, wrong) in examples(&alert) {
            input(&mut text, "well", series, well);
            input(&mut text, "wrong", series, wrong);
        }
        let mut fires_for = vec!["wrong"];
        for (instance, fires, all_series) in others(&alert) {
            for (series, values) in *all_series {
                input(&mut text, instance, series, values);
            }
            fires_for.extend(fires.then_some(instance));
        }
        let expression = format!(
            "sum by (instance, alertname, alertstate) (ALERTS{{alertname=\"{}\"}})",
            alert.name
        );
        writeln!(
            text,
            "    promql_expr_test:\n      - expr: {}\n        eval_time: {MINUTES}m\n        exp_samples:",
            quoted(&expression),
        )
        .unwrap();
        for instance in fires_for {
            let labels = format!(
                "{{instance=\"{instance}\",alertname=\"{}\",alertstate=\"firing\"}}",
                alert.name
            );
            writeln!(text, "          - labels: {}\n            value: 1", quoted(&labels))
                .unwrap();
        }
    }
    text
}

/// A series of this node, with its samples.
fn input(text: &mut String, instance: &str, series: &str, values: &str) {
    let with = match series.split_once('{') {
        Some((name, labels)) => format!("{name}{{instance=\"{instance}\",{labels}"),
        None => format!("{series}{{instance=\"{instance}\"}}"),
    };
    let (series, values) = (quoted(&with), quoted(values));
    writeln!(text, "      - series: {series}\n        values: {values}").unwrap();
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[test]
fn the_rules_for_prometheus_are_those_of_the_table() {
    deployed("prometheus/alerts.yml", &rules());
}

#[test]
fn the_component_of_kustomize_has_the_same_rules() {
    let rules = rules();
    let (_, groups) = rules.split_once('\n').expect("it begins with a line of its own");
    let mut text = String::from(
        "# Made with alerts.yml: change sidecar/src/telemetry/alerts/table.rs instead.\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: outrigger\nspec:\n",
    );
    for line in groups.lines() {
        writeln!(text, "  {line}").unwrap();
    }
    deployed("kustomize/outrigger-monitoring/rule.yaml", &text);
}

#[test]
fn what_promtool_plays_is_made_of_the_examples() {
    deployed("prometheus/alerts_test.yml", &played());
}

#[test]
fn every_alert_has_a_row() {
    assert_rows("Alerts", table::alerts().into_iter().map(|alert| alert.name));
}

#[test]
fn every_metric_of_an_alert_exists() {
    let known: BTreeSet<&str> = names().collect();
    for alert in table::alerts() {
        let words =
            alert.expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for word in words.filter(|word| word.starts_with("outrigger_")) {
            assert!(known.contains(word), "{}: {word}", alert.name);
        }
    }
}
