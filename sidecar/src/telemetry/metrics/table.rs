//! Every metric, named once, with what it counts and its unit.

use ::metrics::{Unit, describe_counter, describe_gauge, gauge};

pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) description: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telemetry) enum Kind {
    Counter,
    Gauge,
    /// It is no metric of the recorder.
    Histogram,
}

macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:ident, $unit:ident, $description:literal;)*) => {
        $(pub(super) const $constant: &str = $name;)*
        pub(super) const ALL: &[Metric] = &[$(Metric {
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
    HORIZON = "outrigger_horizon_seconds", Gauge, Seconds, "until this copy would have to be rebuilt, unless the end of the log is confirmed before; NaN while nobody knows";
    HORIZON_MAX = "outrigger_horizon_max_seconds", Gauge, Seconds, "what outrigger_horizon_seconds is for a copy that is confirmed this moment";
    AGE = "outrigger_confirmed_age_seconds", Gauge, Seconds, "since the copy was last known to hold everything; NaN while there is none";
    EXACT = "outrigger_exact", Gauge, Count, "1 while the copy equals the log's state at its position, else 0";
    RESTORE_RECORDS = "outrigger_restore_records", Gauge, Count, "records read since the last restore began, what followed it included";
    RESTORE_BYTES = "outrigger_restore_bytes", Gauge, Bytes, "keys and values read since the last restore began, what followed it included";
    RESTORES = "outrigger_restores_total", Counter, Count, "restores that began, by cause";
    RESTORE_FRACTION = "outrigger_restore_fraction", Gauge, Count, "fraction of its bytes that the restore has done, 1 while READY; NaN while nobody knows";
    RESTORE_TO_GO = "outrigger_restore_time_to_go_seconds", Gauge, Seconds, "until the restore is done at its present rate, 0 while READY; NaN while nobody knows";
    CALLS = "outrigger_call_duration_seconds", Histogram, Seconds, "from the head of a call to the end of its answer, by rpc and code; whoever left before it is CANCELLED";
    ACKNOWLEDGED = "outrigger_write_acknowledgement_seconds", Histogram, Seconds, "from the acceptance of a call's writes to the log's answer, where it has all of them";
    VISIBLE = "outrigger_write_visible_seconds", Histogram, Seconds, "from the acceptance of a write to the moment when reads of this node show it; one write at a time is watched";
    STORE_CALLS = "outrigger_store_call_seconds", Histogram, Seconds, "what the disk of the store takes for a call of its node, by call: apply, flush and others";
    WAITING = "outrigger_reads_waiting", Gauge, Count, "reads that wait for a position or for the end of the log";
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
    WATCHES = "outrigger_watches", Gauge, Count, "watches that are open";
    WATCH_CHANGES = "outrigger_watch_changes_total", Counter, Count, "changes that watches were sent";
    WATCH_STATES = "outrigger_watch_states_total", Counter, Count, "states that watches were begun to be sent, by why: asked, or what could not be proven complete: topic, history, horizon, ring, snapshot";
    VERIFIED = "outrigger_verify_total", Counter, Count, "comparisons of the copy with a peer's that verify_every makes, by outcome: equal, differs, failed";
    VERIFY_EQUAL_AT = "outrigger_verify_last_success_timestamp_seconds", Gauge, Seconds, "when the copy was last found equal to a peer's, since the Unix epoch; NaN before that";
    VERIFY_DIFFER = "outrigger_verify_peers_differ", Gauge, Count, "peers whose copies differed from this one when they were last compared";
    TOKENS_UNFIT = "outrigger_tokens_file_unfit", Gauge, Count, "1 while tokens_file cannot be used, and the tokens that it had last are good, else 0";
    CONNECTIONS = "outrigger_connections", Gauge, Count, "callers' connections that are open, by listener";
    CONNECTIONS_CLOSED = "outrigger_connections_closed_total", Counter, Count, "connections that this node ended, by listener and why: silent, idle, old, stuck, displaced, handshake, expired";
    LOG_LINES_DROPPED = "outrigger_log_lines_dropped_total", Counter, Count, "lines of the log that were not written: nobody read standard error, or not fast enough";
    TRACE_SPANS = "outrigger_trace_spans_total", Counter, Count, "spans of traces by outcome: sent, dropped because too many waited, failed to be sent";
    ASIDE_BYTES = "outrigger_quarantined_bytes", Gauge, Bytes, "what the generations take that were set aside and not dropped";
    DISK_FREE = "outrigger_disk_free_bytes", Gauge, Bytes, "what this user may still write to the file system of the data directory";
    DISK_SIZE = "outrigger_disk_size_bytes", Gauge, Bytes, "size of the file system of the data directory";
    STORE_BYTES = "outrigger_store_bytes", Gauge, Bytes, "what the store takes on disk, whatever was set aside included; a file with two names counts once";
    STORE_IN_USE_BYTES = "outrigger_store_in_use_bytes", Gauge, Bytes, "what the copy in use takes on disk; NaN while there is none";
    LEVEL_0 = "outrigger_rocksdb_level0_files", Gauge, Count, "files of level 0 of the open databases, the most of any partition";
    PENDING = "outrigger_rocksdb_pending_compaction_bytes", Gauge, Bytes, "estimate of what compaction has to rewrite";
    STOPPED = "outrigger_rocksdb_write_stopped", Gauge, Count, "1 while RocksDB takes no writes until it has compacted, else 0";
    DELAYED = "outrigger_rocksdb_delayed_write_bytes_per_second", Gauge, Bytes, "rate to which RocksDB slows writes down, 0 while it does not";
    CACHE = "outrigger_rocksdb_block_cache_bytes", Gauge, Bytes, "what blocks, indexes and filters take in the cache of all stores";
    CACHE_MAX = "outrigger_rocksdb_block_cache_capacity_bytes", Gauge, Bytes, "what they may take";
    ROUND_TRIP = "outrigger_kafka_round_trip_seconds", Gauge, Seconds, "99th percentile of a broker's answers in the last 10 s, by client and broker; of a consumer that includes what a fetch waits for records";
    THROTTLE = "outrigger_kafka_throttle_seconds", Gauge, Seconds, "longest time in the last 10 s for which a broker told this node to wait, by client and broker";
    DISCONNECTS = "outrigger_kafka_disconnects_total", Counter, Count, "connections to a broker that ended, by client and broker";
    BROKERS_UP = "outrigger_kafka_brokers_connected", Gauge, Count, "brokers that a client is connected to, by client";
    QUEUE = "outrigger_kafka_queue_messages", Gauge, Count, "records that wait in a client: of a producer to be acknowledged, of the consumer to be taken";
    LOST_ROWS = "outrigger_lost_rows", Gauge, Count, "keys in the files that tell what the log lost";
    POSITIONS_LOST = "outrigger_positions_lost_total", Counter, Count, "times that the log had lost the copy's position";
    CERTIFICATE = "outrigger_kafka_certificate_expiry_timestamp_seconds", Gauge, Seconds, "when what this setting of [kafka] names ends, by setting, since the Unix epoch: of its own certificates the first, of authorities the last";
    CERTIFICATE_START = "outrigger_kafka_certificate_start_timestamp_seconds", Gauge, Seconds, "when that certificate began to hold, by setting, since the Unix epoch";
    TLS_CERTIFICATE = "outrigger_tls_certificate_expiry_timestamp_seconds", Gauge, Seconds, "when what this setting of TLS names ends, by setting, since the Unix epoch: of its own certificates the first, of authorities the last";
    TLS_CERTIFICATE_START = "outrigger_tls_certificate_start_timestamp_seconds", Gauge, Seconds, "when that certificate began to hold, by setting, since the Unix epoch";
    TLS_REFUSED = "outrigger_tls_files_refused", Gauge, Count, "1 while the files of TLS of a listener are of no use and what they were before is used, else 0";
    STATE_AGE = "outrigger_state_age_seconds", Gauge, Seconds, "since the core thread last went on: so old is what is said of the stores. It goes on twice a second";
    HUNG = "outrigger_hung", Gauge, Count, "1 for a thread or a store's writes that do not go on, else 0: liveness goes by it";
}

/// Tells the recorder what each metric is. It is called once, after the recorder is installed.
pub(in crate::telemetry) fn describe() {
    for Metric { name, kind, unit, description } in ALL {
        match kind {
            Kind::Counter => describe_counter!(*name, *unit, *description),
            Kind::Gauge => describe_gauge!(*name, *unit, *description),
            Kind::Histogram => {}
        }
    }
    let (_number, librdkafka) = rdkafka::util::get_rdkafka_version();
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION"), "librdkafka" => librdkafka).set(1.0);
}
