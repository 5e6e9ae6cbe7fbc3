//! Every metric, named once, with what it counts and its unit; and how each is recorded.
//!
//! Names and labels are a contract with dashboards and alerts. Those of a store are labelled by
//! `store`; none is labelled by key or request. Without a metrics endpoint recording costs next to nothing.

use std::time::Duration;

use ::metrics::{Counter, Unit, counter, describe_counter, describe_gauge, gauge};
use outrigger_core::node::{Notice, Outcome, Status};
use outrigger_core::phase::{Cause, Phase, Refusal};
use outrigger_core::stall::StallKind;
use outrigger_core::time::Now;
use outrigger_proto::v1::Reason;

struct Metric {
    name: &'static str,
    kind: Kind,
    unit: Unit,
    description: &'static str,
}

enum Kind {
    Counter,
    Gauge,
}

macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:ident, $unit:ident, $description:literal;)*) => {
        $(const $constant: &str = $name;)*
        const ALL: &[Metric] = &[$(Metric {
            name: $name,
            kind: Kind::$kind,
            unit: Unit::$unit,
            description: $description,
        }),*];
    };
}

metrics! {
    BUILD = "outrigger_build_info", Gauge, Count, "1, with the versions of the binary as labels";
    PHASE = "outrigger_phase", Gauge, Count, "1 for the phase that the store is in, 0 for the others";
    STALL = "outrigger_stall", Gauge, Count, "1 for the stall that holds the store up, 0 for the others";
    STALLS = "outrigger_stalls_total", Counter, Count, "stalls that began, by name";
    REFUSALS = "outrigger_refusals_total", Counter, Count, "times that the store began to refuse, by reason";
    POSITION = "outrigger_position", Gauge, Count, "position of the copy, by partition: everything below it is applied";
    DURABLE = "outrigger_position_durable", Gauge, Count, "position that survives a crash of the machine, by partition";
    LOG_END = "outrigger_log_end", Gauge, Count, "high watermark as last heard, by partition";
    LAG = "outrigger_lag_offsets", Gauge, Count, "offsets between the copy and the end of the log, all partitions";
    AGE = "outrigger_confirmed_age_seconds", Gauge, Seconds, "since the copy was last known to hold everything";
    EXACT = "outrigger_exact", Gauge, Count, "1 while the copy equals the log's state at its position, else 0";
    RESTORE_RECORDS = "outrigger_restore_records", Gauge, Count, "records read since the last restore began, what followed it included";
    RESTORE_BYTES = "outrigger_restore_bytes", Gauge, Bytes, "keys and values read since the last restore began, what followed it included";
    RESTORES = "outrigger_restores_total", Counter, Count, "restores that began, by cause";
    WRITES = "outrigger_writes_total", Counter, Count, "writes answered, by outcome";
    IN_FLIGHT = "outrigger_writes_in_flight", Gauge, Count, "writes accepted and not answered yet";
    FAILURES = "outrigger_failures_total", Counter, Count, "calls and items of streams answered with an error, by reason";
    MISPLACED = "outrigger_misplaced_records_total", Counter, Count, "records ignored: in another partition than their key's";
    KEYLESS = "outrigger_keyless_records_total", Counter, Count, "records ignored: without a key";
    QUARANTINED = "outrigger_quarantined_generations_total", Counter, Count, "damaged copies set aside";
    PEERS_FAILED = "outrigger_peers_failed_total", Counter, Count, "copies that were asked of peers, and none gave";
    PEER_TAKEN = "outrigger_peer_bytes_taken_total", Counter, Bytes, "bytes of copies that came from peers";
    PEER_GIVEN = "outrigger_peer_bytes_given_total", Counter, Bytes, "bytes of copies that peers were given";
    PEER_REFUSED = "outrigger_peer_refusals_total", Counter, Count, "callers who asked as peers without the peers' secret";
    READS_FORWARDED = "outrigger_reads_forwarded_total", Counter, Count, "reads that peers were asked because the copy was not READY, by store and whether one answered: yes, no";
    TOKENS_UNFIT = "outrigger_tokens_file_unfit", Gauge, Count, "1 while tokens_file cannot be used, and the tokens that it had last are good, else 0";
    CONNECTIONS = "outrigger_connections", Gauge, Count, "callers' connections that are open, by listener";
    CONNECTIONS_CLOSED = "outrigger_connections_closed_total", Counter, Count, "connections that this node ended, by listener and why: silent, idle, old, stuck, displaced, handshake, expired";
    LOG_LINES_DROPPED = "outrigger_log_lines_dropped_total", Counter, Count, "lines of the log that were not written: nobody read standard error, or not fast enough";
    ASIDE_BYTES = "outrigger_quarantined_bytes", Gauge, Bytes, "what the generations take that were set aside and not dropped";
    LOST_ROWS = "outrigger_lost_rows", Gauge, Count, "keys in the files that tell what the log lost";
    POSITIONS_LOST = "outrigger_positions_lost_total", Counter, Count, "times that the log had lost the copy's position";
    CERTIFICATE = "outrigger_kafka_certificate_expiry_timestamp_seconds", Gauge, Seconds, "when what this setting of [kafka] names ends, by setting, since the Unix epoch: of its own certificates the first, of authorities the last";
    TLS_CERTIFICATE = "outrigger_tls_certificate_expiry_timestamp_seconds", Gauge, Seconds, "when what this setting of TLS names ends, by setting, since the Unix epoch: of its own certificates the first, of authorities the last";
    TLS_REFUSED = "outrigger_tls_files_refused", Gauge, Count, "1 while the files of TLS of a listener are of no use and what they were before is used, else 0";
    HUNG = "outrigger_hung", Gauge, Count, "1 for a thread or a store's writes that do not go on, else 0: liveness goes by it";
}

/// Tells the recorder what each metric is. It is called once, after the recorder is installed.
pub(super) fn describe() {
    for Metric { name, kind, unit, description } in ALL {
        match kind {
            Kind::Counter => describe_counter!(*name, *unit, *description),
            Kind::Gauge => describe_gauge!(*name, *unit, *description),
        }
    }
    let (_number, librdkafka) = rdkafka::util::get_rdkafka_version();
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION"), "librdkafka" => librdkafka).set(1.0);
}

/// Sets the bytes that what was set aside of a store takes.
pub fn set_aside(store: &str, bytes: u64) {
    gauge!(ASIDE_BYTES, "store" => store.to_owned()).set(float(bytes));
}

/// Sets how many keys are in the files that tell what the log of a store lost.
pub fn lost_rows(store: &str, rows: u64) {
    gauge!(LOST_ROWS, "store" => store.to_owned()).set(float(rows));
}

/// Counts bytes of a store's copy that came from a peer.
pub fn taken_from_peer(store: &str, bytes: usize) {
    let bytes = u64::try_from(bytes).expect("lengths fit 64 bits");
    counter!(PEER_TAKEN, "store" => store.to_owned()).increment(bytes);
}

/// Counts bytes of a store's copy that are on their way to a peer.
pub fn given_to_peers(store: &str, bytes: usize) {
    let bytes = u64::try_from(bytes).expect("lengths fit 64 bits");
    counter!(PEER_GIVEN, "store" => store.to_owned()).increment(bytes);
}

/// Counts somebody who asked for a copy and may have none.
pub fn refused_to_peer() {
    counter!(PEER_REFUSED).increment(1);
}

/// Counts a read of a store that peers were asked.
pub fn read_forwarded(store: &str, answered: bool) {
    let answered = if answered { "yes" } else { "no" };
    counter!(READS_FORWARDED, "store" => store.to_owned(), "answered" => answered).increment(1);
}

/// Sets whether the file of tokens cannot be used.
pub fn tokens_unfit(unfit: bool) {
    gauge!(TOKENS_UNFIT).set(one_if(unfit));
}

/// Sets whether a thread, or a store's oldest write, hangs.
pub fn hung(work: &str, hangs: bool) {
    gauge!(HUNG, "work" => work.to_owned()).set(one_if(hangs));
}

/// Sets when what a setting of this node's own TLS names ends, in seconds since the Unix epoch.
pub fn tls_certificate(setting: &'static str, ends: i64) {
    // No certificate ends before 1970.
    let ends = u64::try_from(ends).unwrap_or_default();
    gauge!(TLS_CERTIFICATE, "setting" => setting).set(float(ends));
}

/// Sets whether the files of TLS of a listener are of no use.
pub fn tls_refused(listen: &'static str, refused: bool) {
    gauge!(TLS_REFUSED, "listen" => listen).set(one_if(refused));
}

/// Sets when the certificate of a setting ends, in seconds since the Unix epoch.
pub fn certificate(setting: &'static str, ends: i64) {
    // No certificate ends before 1970.
    gauge!(CERTIFICATE, "setting" => setting).set(float(u64::try_from(ends).unwrap_or(0)));
}

/// Sets how many lines of the log were not written since the process began.
pub fn log_lines_dropped(lines: u64) {
    counter!(LOG_LINES_DROPPED).absolute(lines);
}

/// Sets how many callers are connected through a listener.
pub fn connections(listener: &'static str, open: usize) {
    let open = u64::try_from(open).expect("a count fits 64 bits");
    gauge!(CONNECTIONS, "listener" => listener).set(float(open));
}

/// Counts a connection that this node has ended.
pub fn connection_closed(listener: &'static str, why: &'static str) {
    counter!(CONNECTIONS_CLOSED, "listener" => listener, "why" => why).increment(1);
}

/// Records the state of a store; to be called after changes and every second, for ages grow without one.
pub fn status(status: &Status, now: Now) {
    let store = &status.store;
    for phase in PHASES {
        gauge!(PHASE, "store" => store.clone(), "phase" => phase)
            .set(one_if(status.phase.name() == phase));
    }
    for kind in StallKind::ALL {
        let stalled = status.stalls.iter().any(|stall| stall.kind == kind);
        gauge!(STALL, "store" => store.clone(), "stall" => kind.name()).set(one_if(stalled));
    }
    for (number, partition) in status.partitions.iter().enumerate() {
        let labels = [("store", store.clone()), ("partition", number.to_string())];
        gauge!(POSITION, &labels).set(float(partition.applied.0));
        gauge!(DURABLE, &labels).set(float(partition.durable.0));
        gauge!(LOG_END, &labels).set(float(partition.high_watermark.0));
    }
    let lag = status.partitions.iter().map(|each| each.high_watermark.since(each.applied)).sum();
    gauge!(LAG, "store" => store.clone()).set(float(lag));
    // 0 is never: an age since 1970 would only alarm.
    if status.confirmed_at_ms > 0 {
        let age = Duration::from_millis(now.wall_ms.saturating_sub(status.confirmed_at_ms));
        gauge!(AGE, "store" => store.clone()).set(age.as_secs_f64());
    }
    gauge!(EXACT, "store" => store.clone()).set(one_if(status.exact));
    let in_flight = u64::try_from(status.writes_in_flight).expect("a count fits 64 bits");
    gauge!(IN_FLIGHT, "store" => store.clone()).set(float(in_flight));
    if let Some(progress) = &status.progress {
        gauge!(RESTORE_RECORDS, "store" => store.clone()).set(float(progress.records));
        gauge!(RESTORE_BYTES, "store" => store.clone()).set(float(progress.bytes));
    }
}

/// Records what a node noticed.
pub fn notice(store: &str, notice: &Notice) {
    let store = store.to_owned();
    match notice {
        Notice::Phase(Phase::Restoring(cause)) => {
            counter!(RESTORES, "store" => store, "cause" => cause_label(*cause)).increment(1);
        }
        Notice::Phase(Phase::Refused(refusal)) => {
            counter!(REFUSALS, "store" => store, "reason" => refusal_label(refusal)).increment(1);
        }
        Notice::StallBegan { kind, .. } => {
            counter!(STALLS, "store" => store, "stall" => kind.name()).increment(1);
        }
        Notice::Ignored { misplaced, keyless, .. } => {
            counter!(MISPLACED, "store" => store.clone()).increment(u64::from(*misplaced));
            counter!(KEYLESS, "store" => store).increment(u64::from(*keyless));
        }
        Notice::Quarantined { .. } => counter!(QUARANTINED, "store" => store).increment(1),
        Notice::PositionLost { .. } => counter!(POSITIONS_LOST, "store" => store).increment(1),
        Notice::PeerFailed { .. } => counter!(PEERS_FAILED, "store" => store).increment(1),
        Notice::Phase(Phase::Opening | Phase::CatchingUp | Phase::Ready | Phase::Stopped)
        | Notice::StallEnded { .. }
        | Notice::LogIncomplete { .. }
        | Notice::Policy(_) => {}
    }
}

/// What became of the writes that a store accepted. It is found by name once: a write costs too little for a search
/// each time.
pub struct Writes {
    appended: Counter,
    did_not_happen: Counter,
    unknown: Counter,
}

impl Writes {
    /// Finds the counters of a store. It is called after the recorder is installed.
    pub fn of(store: &str) -> Writes {
        let outcome = |outcome: &'static str| counter!(WRITES, "store" => store.to_owned(), "outcome" => outcome);
        Writes {
            appended: outcome("appended"),
            did_not_happen: outcome("did_not_happen"),
            unknown: outcome("unknown"),
        }
    }

    pub fn answered(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            match outcome {
                Outcome::Appended(_) => self.appended.increment(1),
                Outcome::DidNotHappen(_) => self.did_not_happen.increment(1),
                Outcome::Unknown(_) => self.unknown.increment(1),
            }
        }
    }
}

/// Counts a call, or an item of a stream, that is answered with an error. The store is not a label: its name may be
/// anything.
pub fn failed(reason: Reason) {
    let reason = reason.as_str_name().trim_start_matches("REASON_").to_ascii_lowercase();
    counter!(FAILURES, "reason" => reason).increment(1);
}

/// The names of every phase, as `Phase::name` gives them.
const PHASES: [&str; 6] = ["OPENING", "RESTORING", "CATCHING_UP", "READY", "REFUSED", "STOPPED"];

fn cause_label(cause: Cause) -> &'static str {
    match cause {
        Cause::Resume => "resume",
        Cause::Unfinished => "unfinished",
        Cause::Empty => "empty",
        Cause::PastHorizon => "past_horizon",
        Cause::Truncated => "truncated",
        Cause::Diverged => "diverged",
        Cause::Corrupt => "corrupt",
        Cause::UnknownFormat => "unknown_format",
    }
}

fn refusal_label(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Identity { .. } => "identity",
        Refusal::Policy(_) => "policy",
        Refusal::LogIncomplete { .. } => "log_incomplete",
        Refusal::Cancelled => "cancelled",
    }
}

fn one_if(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

/// Returns the nearest float: exact below 2^53, which no log reaches. It is made of halves, for `From` is lossless
/// only.
fn float(number: u64) -> f64 {
    const HALF: f64 = 4_294_967_296.0;
    let halves = [number >> 32, number & 0xffff_ffff]
        .map(|half| u32::try_from(half).expect("32 bits of 64"));
    f64::from(halves[0]) * HALF + f64::from(halves[1])
}

#[cfg(test)]
mod documented_tests;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use metrics_exporter_prometheus::PrometheusBuilder;
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
        let stall =
            Stall { kind: StallKind::StoreFull, detail: String::new(), since: Duration::ZERO };
        Status {
            store: "s".to_owned(),
            phase: Phase::Restoring(Cause::Empty),
            stalls: vec![stall],
            identity: None,
            policy: None,
            served: None,
            live: None,
            exact: false,
            confirmed_at_ms: 1_000,
            partitions: vec![partition.clone(), partition],
            progress: None,
            restore_rate: None,
            horizon_in: None,
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
            Writes::of("s").answered(&[appended.clone(), appended]);
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
}
