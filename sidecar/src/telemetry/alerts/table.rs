//! Every alert, with its expression and its words.

use outrigger_core::stall::StallKind;

use super::{Alert, Severity};

/// The alerts that are no stalls: name, minutes, severity, expression, what is the matter, what to do.
const OTHERS: &[(&str, u32, Severity, &str, &str, &str)] = &[
    (
        "OutriggerGone",
        5,
        Severity::Critical,
        // One that was replaced by another, or is not wanted any more, is no target: it has no `up`.
        "up == 0 and on (job, instance) max_over_time(outrigger_build_info[1d])",
        "{{ $labels.instance }} does not answer any more",
        "no other alert sees a node that is not scraped: look at its process, its log and the network. It ends when the \
         node is no target of Prometheus any more, or a day after the last answer",
    ),
    (
        "OutriggerNotReady",
        10,
        Severity::Warning,
        r#"outrigger_phase{phase="READY"} == 0"#,
        "{{ $labels.store }} on {{ $labels.instance }} is not READY",
        "Status says what it waits for and what to do (`outrigger status`, or the page at / of the metrics' port)",
    ),
    (
        "OutriggerRefused",
        1,
        Severity::Critical,
        r#"outrigger_phase{phase="REFUSED"} == 1"#,
        "{{ $labels.store }} on {{ $labels.instance }} refuses to go on",
        "a person must decide: Status says why and what to do",
    ),
    (
        "OutriggerCopyOld",
        1,
        Severity::Warning,
        "outrigger_confirmed_age_seconds > 300",
        "{{ $labels.store }} on {{ $labels.instance }} was last known to hold everything {{ $value | humanizeDuration }} ago",
        "answers at STALE and LOCAL may be that old (`max_staleness_ms` refuses older ones): Status says what holds it up",
    ),
    (
        "OutriggerHorizonNear",
        1,
        Severity::Critical,
        "outrigger_horizon_seconds < 0.25 * outrigger_horizon_max_seconds",
        "{{ $labels.store }} on {{ $labels.instance }} has to be rebuilt in {{ $value | humanizeDuration }}",
        "the log may remove tombstones that this copy has not seen: end what holds it up (Status), or raise \
         `delete.retention.ms` of the topic, which counts for tombstones that are still there",
    ),
    (
        "OutriggerLagGrows",
        10,
        Severity::Warning,
        r#"outrigger_lag_offsets > 10000 and deriv(outrigger_lag_offsets[10m]) > 0 and ignoring (phase) outrigger_phase{phase="READY"} == 1"#,
        "{{ $labels.store }} on {{ $labels.instance }} is {{ $value }} offsets behind the log, and falls back further",
        "more is written than this node takes: look at its disk, its processor and the brokers' throttling",
    ),
    (
        "OutriggerRestoreTooSlow",
        5,
        Severity::Critical,
        "outrigger_restore_time_to_go_seconds > outrigger_horizon_seconds",
        "the restore of {{ $labels.store }} on {{ $labels.instance }} takes {{ $value | humanizeDuration }} more, longer than tombstones live: it will begin again",
        "raise its rate (`outrigger throttle off`), configure peers, or raise `delete.retention.ms` of the topic",
    ),
    (
        "OutriggerCopySetAside",
        0,
        Severity::Warning,
        "outrigger_quarantined_bytes > 0",
        "a copy of {{ $labels.store }} on {{ $labels.instance }} was set aside",
        "`outrigger drop-quarantine` lists what was set aside and why, and deletes it when you have decided",
    ),
    (
        "OutriggerLogLostRecords",
        0,
        Severity::Critical,
        r#"sum without (cause) (outrigger_restores_total{cause=~"truncated|diverged"}) > 0 or outrigger_positions_lost_total > 0"#,
        "the log of {{ $labels.store }} did not go on where {{ $labels.instance }} had read it to",
        "it has lost records, or they were deleted before this node had read them: look at the brokers (unclean \
         elections, lost disks, deleted records). lost-g<N>.jsonl in the store's directory tells what the log lost of \
         this copy. Where outrigger_restores_total has counted neither truncated nor diverged, the disk's copy had not come \
         as far, or a leader said so that was none any more. The alert lasts until the node is started again; there is no \
         need to do that",
    ),
    (
        "OutriggerLostRows",
        0,
        Severity::Warning,
        "outrigger_lost_rows > 0",
        "{{ $value }} keys of {{ $labels.store }} are in the files of {{ $labels.instance }} that tell what the log lost",
        "decide which of them to write again (lost-g<N>.jsonl), and move the file away",
    ),
    (
        "OutriggerWritesUnknown",
        0,
        Severity::Warning,
        r#"increase(outrigger_writes_total{outcome="unknown"}[15m]) > 0"#,
        "writes to {{ $labels.store }} through {{ $labels.instance }} have an unknown outcome",
        "their callers have to read before they write again; look at the brokers and the network to them",
    ),
    (
        "OutriggerCopiesDiffer",
        0,
        Severity::Critical,
        "outrigger_verify_peers_differ > 0",
        "{{ $labels.store }} on {{ $labels.instance }} is not the same as on {{ $value }} of its peers",
        "the log names the peer, and one of the two copies is wrong: `outrigger verify --from-log --server ... --server ...` \
         names the keys and tells which. Let that one rebuild (`outrigger reset`), and keep what it has for a report. The \
         alert ends when both were compared again (`verify_every`) and are equal",
    ),
    (
        "OutriggerDiskFullSoon",
        30,
        Severity::Warning,
        "predict_linear(outrigger_disk_free_bytes[6h], 86400) < 0 and outrigger_disk_free_bytes < 0.5 * outrigger_disk_size_bytes and outrigger_disk_free_bytes offset 2h > 0",
        "the data directory's file system on {{ $labels.instance }} is full within a day",
        "free disk space, or make it larger; a rebuild needs as much as the copy that it replaces",
    ),
    (
        // The prediction takes hours: this is for what fills faster, and for a node that is younger.
        "OutriggerDiskAlmostFull",
        1,
        Severity::Warning,
        "outrigger_disk_free_bytes < 0.1 * outrigger_disk_size_bytes",
        "the data directory's file system on {{ $labels.instance }} has {{ $value | humanize1024 }}B left, less than a tenth",
        "free disk space, or make it larger, before the node takes no records any more (`store_full`)",
    ),
    (
        "OutriggerNoRoomForRebuild",
        10,
        Severity::Warning,
        r#"outrigger_store_in_use_bytes > on (job, instance) group_left () outrigger_disk_free_bytes and ignoring (phase) outrigger_phase{phase="READY"} == 1"#,
        "the copy of {{ $labels.store }} on {{ $labels.instance }} takes {{ $value | humanize1024 }}B, more than is free",
        "free disk space: a rebuild does not begin without as much room as the copy that it replaces takes. \
         `outrigger drop-quarantine` lists what was set aside",
    ),
    (
        "OutriggerStoreHeldUp",
        5,
        Severity::Warning,
        "outrigger_rocksdb_write_stopped == 1",
        "the database of {{ $labels.store }} on {{ $labels.instance }} takes no writes until it has compacted",
        "the disk is too slow for what is written: look at what else uses it",
    ),
    (
        "OutriggerKafkaThrottles",
        10,
        Severity::Warning,
        "outrigger_kafka_throttle_seconds > 0.1",
        "broker {{ $labels.broker }} has {{ $labels.instance }} wait for {{ $value | humanizeDuration }}",
        "raise the quota of this principal, or lower the rate of restores (`outrigger throttle`)",
    ),
    (
        "OutriggerCertificateEnds",
        10,
        Severity::Critical,
        "(outrigger_tls_certificate_expiry_timestamp_seconds or outrigger_kafka_certificate_expiry_timestamp_seconds) - time() \
         < clamp_max(((outrigger_tls_certificate_expiry_timestamp_seconds - outrigger_tls_certificate_start_timestamp_seconds) \
         or (outrigger_kafka_certificate_expiry_timestamp_seconds - outrigger_kafka_certificate_start_timestamp_seconds)) / 3, 14 * 86400)",
        "what {{ $labels.setting }} names on {{ $labels.instance }} ends in {{ $value | humanizeDuration }}",
        "renew it: the node takes new files without a restart (`outrigger doctor`). Whatever renews it \
         has not done so in two thirds of its life",
    ),
    (
        "OutriggerTlsFilesRefused",
        5,
        Severity::Warning,
        "outrigger_tls_files_refused == 1",
        "the TLS files of {{ $labels.listen }} on {{ $labels.instance }} are of no use, and what they were before is used",
        "the log says what is wrong with them",
    ),
    (
        "OutriggerTokensUnfit",
        5,
        Severity::Warning,
        "outrigger_tokens_file_unfit == 1",
        "`tokens_file` on {{ $labels.instance }} cannot be used, and the tokens that it had last are good",
        "the log says what is wrong with it",
    ),
    (
        "OutriggerRecordsMisplaced",
        0,
        Severity::Warning,
        "outrigger_misplaced_records_total > 0",
        "{{ $value }} records of {{ $labels.store }} are ignored on every node: they are in another partition than their key's",
        "another tool writes with another partitioner: let it use murmur2 (librdkafka: partitioner=murmur2_random), and \
         write those keys again",
    ),
    (
        "OutriggerHung",
        0,
        Severity::Critical,
        "outrigger_hung == 1",
        "{{ $labels.work }} on {{ $labels.instance }} does not go on",
        "restart the process, if the liveness probe has not done so (`kill -9` loses nothing that was acknowledged); the log \
         names the work: keep it",
    ),
];

/// How long a stall may last: what passes by itself has passed.
const STALL_MINUTES: u32 = 2;

pub(super) fn alerts() -> Vec<Alert> {
    let others =
        OTHERS.iter().map(|&(name, minutes, severity, expression, summary, what_to_do)| {
            let (name, expression) = (name.to_owned(), expression.to_owned());
            let (summary, what_to_do) = (summary.to_owned(), what_to_do.to_owned());
            Alert { name, expression, minutes, severity, summary, what_to_do }
        });
    others.chain(StallKind::ALL.map(stall)).collect()
}

fn stall(kind: StallKind) -> Alert {
    let label = kind.name();
    let words = label.split('_').map(|word| word[..1].to_ascii_uppercase() + &word[1..]);
    Alert {
        name: format!("OutriggerStall{}", words.collect::<String>()),
        expression: format!(r#"outrigger_stall{{stall="{label}"}} == 1"#),
        minutes: STALL_MINUTES,
        severity: severity(kind),
        summary: format!("{{{{ $labels.store }}}} on {{{{ $labels.instance }}}} waits: {label}"),
        what_to_do: kind.what_to_do().to_owned(),
    }
}

fn severity(kind: StallKind) -> Severity {
    match kind {
        StallKind::LogUnreachable
        | StallKind::LeaderUnavailable
        | StallKind::Authorisation
        | StallKind::TopicGone
        | StallKind::StaleLeader
        | StallKind::PoisonBatch
        | StallKind::StoreFull
        | StallKind::StoreFailed => Severity::Critical,
        StallKind::OpenTransaction
        | StallKind::StoreSlow
        | StallKind::Inexact
        | StallKind::NoProgress
        | StallKind::PeerSilent => Severity::Warning,
    }
}
