//! What Prometheus reads after something was recorded.

use std::collections::BTreeSet;

use metrics_exporter_prometheus::PrometheusBuilder;
use outrigger_core::horizon::Horizon;
use outrigger_core::node::{PartitionStatus, Stall};
use outrigger_core::offset::{Generation, Offset, Partition, Revision};
use outrigger_core::phase::PolicyFault;
use outrigger_core::store::Why;

use super::*;

/// Returns what Prometheus would read after `record`.
fn scraped(record: impl FnOnce()) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    ::metrics::with_local_recorder(&recorder, record);
    handle.render()
}

fn assert_has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line} in\n{text}");
    }
}

fn restoring() -> Status {
    let partition = PartitionStatus {
        applied: Offset(70),
        durable: Offset(60),
        target: Offset(90),
        log_start: Offset(0),
        high_watermark: Offset(100),
        exact_from: Offset(90),
        epoch: None,
    };
    let stall = Stall { kind: StallKind::StoreFull, detail: String::new(), since: Duration::ZERO };
    Status {
        store: "s".to_owned(),
        phase: Phase::Restoring(Cause::Empty),
        stalls: vec![stall],
        identity: None,
        policy: None,
        served: None,
        fed: None,
        exact: false,
        confirmed_at_ms: 1_000,
        partitions: vec![partition.clone(), partition],
        progress: None,
        restore_rate: None,
        horizon: Some(Horizon { left: Duration::from_secs(90), of: Duration::from_secs(100) }),
        writes_in_flight: 3,
        awaits: 0,
        pins: 0,
        ignored: 0,
        misplaced: 0,
        mono: Duration::ZERO,
    }
}

#[test]
fn a_status_becomes_gauges() {
    let now = Now { mono: Duration::ZERO, wall_ms: 3_500 };
    let text = scraped(|| status(&restoring(), now));
    assert_has(
        &text,
        &[
            r#"outrigger_phase{store="s",phase="RESTORING"} 1"#,
            r#"outrigger_phase{store="s",phase="READY"} 0"#,
            r#"outrigger_stall{store="s",stall="store_full"} 1"#,
            r#"outrigger_stall{store="s",stall="log_unreachable"} 0"#,
            r#"outrigger_position{store="s",partition="1"} 70"#,
            r#"outrigger_position_durable{store="s",partition="0"} 60"#,
            r#"outrigger_log_end{store="s",partition="0"} 100"#,
            r#"outrigger_lag_offsets{store="s"} 60"#,
            r#"outrigger_confirmed_age_seconds{store="s"} 2.5"#,
            r#"outrigger_exact{store="s"} 0"#,
            r#"outrigger_writes_in_flight{store="s"} 3"#,
            r#"outrigger_horizon_seconds{store="s"} 90"#,
            r#"outrigger_horizon_max_seconds{store="s"} 100"#,
        ],
    );
}

#[test]
fn every_phase_has_its_gauge() {
    let refused = Refusal::Policy(PolicyFault::Cleanup("delete".to_owned()));
    let phases = [
        Phase::Opening,
        Phase::Restoring(Cause::Resume),
        Phase::CatchingUp,
        Phase::Ready,
        Phase::Refused(refused),
        Phase::Stopped,
    ];
    let names: BTreeSet<&str> = phases.iter().map(Phase::name).collect();
    assert_eq!(names, BTreeSet::from(PHASES));
}

#[test]
fn what_happens_is_counted_by_name() {
    let why = String::new();
    let lost = Notice::PositionLost { partition: Partition(0), position: Offset(1) };
    let notices = [
        Notice::Phase(Phase::Restoring(Cause::PastHorizon)),
        Notice::Phase(Phase::Refused(Refusal::Policy(PolicyFault::Cleanup(why.clone())))),
        Notice::StallBegan { kind: StallKind::TopicGone, detail: why.clone() },
        Notice::Ignored { partition: Partition(0), misplaced: 2, keyless: 1 },
        Notice::Quarantined { generation: Generation(1), why: Why::Damaged(why) },
        lost,
    ];
    let appended = Outcome::Appended(Revision { partition: Partition(0), offset: Offset(0) });
    let text = scraped(|| {
        for each in &notices {
            notice("s", each);
        }
        Writes::of("s").answered(&[appended.clone(), appended], Instant::now());
        failed(Reason::KeyTooLarge);
        set_aside("s", 4_096);
        lost_rows("s", 3);
        taken_from_peer("s", 10);
        given_to_peers("s", 5);
        given_to_peers("s", 6);
        refused_to_peer();
        read_forwarded("s", true);
        tokens_unfit(true);
        hung("core", true);
        log_lines_dropped(7);
        connections("tcp", 2);
        connection_closed("socket", "silent");
    });
    assert_has(
        &text,
        &[
            r#"outrigger_restores_total{store="s",cause="past_horizon"} 1"#,
            r#"outrigger_refusals_total{store="s",reason="policy"} 1"#,
            r#"outrigger_stalls_total{store="s",stall="topic_gone"} 1"#,
            r#"outrigger_misplaced_records_total{store="s"} 2"#,
            r#"outrigger_keyless_records_total{store="s"} 1"#,
            r#"outrigger_quarantined_generations_total{store="s"} 1"#,
            r#"outrigger_positions_lost_total{store="s"} 1"#,
            r#"outrigger_writes_total{store="s",outcome="appended"} 2"#,
            r#"outrigger_writes_total{store="s",outcome="unknown"} 0"#,
            r#"outrigger_failures_total{reason="key_too_large"} 1"#,
            r#"outrigger_quarantined_bytes{store="s"} 4096"#,
            r#"outrigger_lost_rows{store="s"} 3"#,
            r#"outrigger_peer_bytes_taken_total{store="s"} 10"#,
            r#"outrigger_peer_bytes_given_total{store="s"} 11"#,
            "outrigger_peer_refusals_total 1",
            r#"outrigger_hung{work="core"} 1"#,
            "outrigger_log_lines_dropped_total 7",
            r#"outrigger_connections{listener="tcp"} 2"#,
            r#"outrigger_connections_closed_total{listener="socket",why="silent"} 1"#,
        ],
    );
}

#[test]
fn names_are_unique_and_counters_say_total() {
    let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
    for Metric { name, kind, .. } in ALL {
        let counter = matches!(kind, Kind::Counter);
        assert_eq!(name.ends_with("_total"), counter, "{name}");
    }
}

#[test]
fn large_numbers_keep_their_value() {
    for number in [0, 1, u64::from(u32::MAX) + 1, (1 << 53) - 1] {
        assert_eq!(format!("{}", float(number)), number.to_string());
    }
}
