//! The log seam's suite on the embedded log, and what only it has: a disk, and being opened again.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use outrigger::embedded::{EmbeddedClient, EmbeddedConfig, EmbeddedLog, OpenLogError};
use outrigger::index::StoreIndex;
use outrigger::log::Log;
use outrigger_core::conformance::log::{
    Ability, CASES, Copies, FILLER, Foreign, LogUnderTest, MESSAGE_BYTES_MAX, Shape, Turn, Verdict,
    read_to,
};
use outrigger_core::log::{LogCall, LogEvent, Write};
use outrigger_core::offset::{Offset, Partition, RequestId};
use outrigger_core::topic::{LogFacts, TopicPolicy};
use outrigger_model::log::{CleanerPace, SegmentLimits};

const P0: Partition = Partition(0);
/// Speaks for "another client" and looks at the log on the runner's behalf.
const OTHER: u32 = 100;
const WITHIN: Duration = Duration::from_secs(20);
const STORE: StoreIndex = StoreIndex(0);

/// Nobody deletes records, recreates the topic or keeps it from us: it is in this process.
const ABILITIES: &[Ability] = &[Ability::Compaction];

struct Embedded {
    clients: BTreeMap<u32, (EmbeddedClient, Receiver<LogEvent>)>,
    log: EmbeddedLog,
}

fn config(shape: Shape) -> EmbeddedConfig {
    let policy = TopicPolicy {
        delete_retention_ms: shape.delete_retention_ms,
        min_compaction_lag_ms: 0,
        message_bytes_max: u64::try_from(MESSAGE_BYTES_MAX).expect("64 bits hold it"),
        ..TopicPolicy::safe(1)
    };
    let mut config = EmbeddedConfig::new(shape.partitions, policy);
    if shape.eager_cleaner {
        config.segments = SegmentLimits { offsets_max: 1, age_ms: 60_000 };
        config.cleaner = CleanerPace { every: Duration::from_millis(10), dirty_percent_min: 0 };
    }
    config
}

fn plain() -> EmbeddedConfig {
    config(Shape {
        partitions: 1,
        delete_retention_ms: 60_000,
        eager_cleaner: false,
        copies: Copies::Usual,
    })
}

impl Embedded {
    fn open(dir: &Path, config: EmbeddedConfig) -> Embedded {
        let log = EmbeddedLog::open(dir, config).expect("the directory is good");
        Embedded { clients: BTreeMap::new(), log }
    }

    fn client(&mut self, number: u32) -> &(EmbeddedClient, Receiver<LogEvent>) {
        let log = &self.log;
        self.clients.entry(number).or_insert_with(|| {
            let (told, events) = channel();
            // A client that is gone has nobody to tell.
            let sink = Arc::new(move |_, event| drop(told.send(event)));
            (log.client(STORE, sink), events)
        })
    }

    fn facts(&mut self) -> LogFacts {
        self.call(OTHER, LogCall::Describe);
        match self.next_event(OTHER, WITHIN) {
            Some(LogEvent::Facts(facts)) => facts,
            other => panic!("{other:?}"),
        }
    }

    fn put(&mut self, keys: &[&str]) -> Vec<Offset> {
        let bytes = |key: &&str| Some(bytes::Bytes::copy_from_slice(key.as_bytes()));
        let record = |key| Foreign { key: bytes(key), value: bytes(key) };
        self.append(P0, &keys.iter().map(record).collect::<Vec<_>>())
    }

    fn offsets(&mut self) -> Vec<u64> {
        let end = self.facts().partitions[0].high_watermark;
        read_to(self, OTHER, P0, Offset(0), end).offsets()
    }
}

impl LogUnderTest for Embedded {
    fn call(&mut self, client: u32, call: LogCall) {
        self.client(client).0.call(STORE, call);
    }

    fn next_event(&mut self, client: u32, within: Duration) -> Option<LogEvent> {
        self.client(client).1.recv_timeout(within).ok()
    }

    fn append(&mut self, partition: Partition, records: &[Foreign]) -> Vec<Offset> {
        let write = |record: &Foreign| Write {
            partition,
            key: record.key.clone().expect("every client's records have keys here"),
            value: record.value.clone(),
        };
        let writes = records.iter().map(write).collect();
        self.call(OTHER, LogCall::Append { id: RequestId(0), writes });
        match self.next_event(OTHER, WITHIN) {
            Some(LogEvent::Appended { results, .. }) => {
                results.into_iter().map(|result| result.expect("appended").offset).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn compact(&mut self, partition: Partition, gone: &[Offset]) {
        let deadline = Instant::now() + WITHIN;
        loop {
            // Each filler rolls a segment and is new: the cleaner has a reason to pass again.
            let filler = Foreign { key: Some(FILLER.into()), value: Some(FILLER.into()) };
            let end = self.append(partition, &[filler])[0].next();
            let left = read_to(self, OTHER, partition, Offset(0), end).offsets();
            if gone.iter().all(|gone| !left.contains(&gone.0)) {
                return;
            }
            assert!(Instant::now() < deadline, "{gone:?} are not cleaned away: {left:?}");
        }
    }

    fn open_transaction(&mut self, _: Partition, _: &[Foreign]) -> Vec<Offset> {
        unreachable!("not among the abilities")
    }

    fn end_transaction(&mut self, _: Verdict) {
        unreachable!("not among the abilities")
    }

    fn delete_records(&mut self, _: Partition, _: Offset) {
        unreachable!("not among the abilities")
    }

    fn lose_log(&mut self, _: Partition) {
        unreachable!("not among the abilities")
    }

    fn recreate(&mut self) {
        unreachable!("not among the abilities")
    }

    fn add_partition(&mut self) {
        unreachable!("not among the abilities")
    }

    fn set_delete_retention(&mut self, _: u64) {
        unreachable!("not among the abilities")
    }

    fn set_outage(&mut self, _: bool) {
        unreachable!("not among the abilities")
    }

    fn turn_broker(&mut self, _: Partition, _: Turn) {
        unreachable!("not among the abilities")
    }
}

#[test]
fn the_embedded_log_conforms() {
    let able = |needs: &[Ability]| needs.iter().all(|need| ABILITIES.contains(need));
    for case in CASES.iter().filter(|case| able(case.needs)) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Embedded::open(dir.path(), config(case.shape));
        let passed = catch_unwind(AssertUnwindSafe(|| (case.run)(&mut log))).is_ok();
        assert!(passed, "case {}", case.name);
    }
}

#[test]
fn an_embedded_log_opened_again_has_kept_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Embedded::open(dir.path(), plain());
    log.put(&["a", "b"]);
    log.put(&["a"]);
    let before = log.facts();
    drop(log);
    let mut log = Embedded::open(dir.path(), plain());
    let after = log.facts();
    assert_eq!((after.topic, &after.cluster), (before.topic, &before.cluster));
    assert_eq!(after.partitions[0].high_watermark, Offset(3));
    assert!(after.partitions[0].epoch > before.partitions[0].epoch, "it leads in a new term");
    let epoch = before.partitions[0].epoch;
    log.call(1, LogCall::Assign { partition: P0, at: Offset(2), epoch });
    log.call(1, LogCall::Fetch { partition: P0, bytes_max: 1_000 });
    assert_eq!(log.next_event(1, WITHIN), Some(LogEvent::Assigned { partition: P0 }));
    match log.next_event(1, WITHIN) {
        Some(LogEvent::Fetched(batch)) => assert_eq!(batch.range, Offset(2)..Offset(3)),
        other => panic!("a reader's position is as good as before: {other:?}"),
    }
    assert_eq!(log.put(&["c"]), [Offset(3)]);
    assert_eq!(log.offsets(), [0, 1, 2, 3]);
}

/// The journal as a kill would have left it, at every moment while it is written: what was acknowledged by
/// then is in it.
#[test]
fn an_embedded_log_killed_at_any_moment_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Embedded::open(dir.path(), plain());
    let mut copies: Vec<(usize, Vec<u8>)> = Vec::new();
    for round in 0..30 {
        log.put(&[&format!("k{}", round % 5)]);
        copies.push((round + 1, fs::read(journal(dir.path())).unwrap()));
    }
    for (acknowledged, bytes) in copies {
        let killed = tempfile::tempdir().unwrap();
        fs::write(journal(killed.path()), &bytes).unwrap();
        let mut log = Embedded::open(killed.path(), plain());
        assert_eq!(log.offsets().len(), acknowledged);
    }
}

fn journal(dir: &Path) -> PathBuf {
    dir.join("log.journal")
}

#[test]
fn an_embedded_logs_directory_belongs_to_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = Embedded::open(dir.path(), plain());
    let refused = EmbeddedLog::open(dir.path(), plain()).err().expect("it is in use");
    assert!(matches!(refused, OpenLogError::InUse(_)), "{refused}");
    drop(log);
    Embedded::open(dir.path(), plain());
}

#[test]
fn an_embedded_log_that_cannot_be_opened_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    drop(Embedded::open(dir.path(), plain()));
    let two = EmbeddedConfig { partitions: 2, ..plain() };
    let refused = EmbeddedLog::open(dir.path(), two).err().expect("it has one partition");
    assert!(matches!(refused, OpenLogError::Partitions { found: 1, asked: 2, .. }), "{refused}");

    fs::write(journal(dir.path()), "not a journal").unwrap();
    let refused = EmbeddedLog::open(dir.path(), plain()).err().expect("it is no journal");
    assert!(matches!(refused, OpenLogError::Foreign(_)), "{refused}");

    let file = dir.path().join("a file");
    fs::write(&file, "").unwrap();
    let refused = EmbeddedLog::open(&file, plain()).err().expect("it is no directory");
    assert!(matches!(refused, OpenLogError::Io { .. }), "{refused}");
}

#[test]
fn an_embedded_client_that_was_dropped_is_told_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Embedded::open(dir.path(), plain());
    log.put(&["a"]);
    log.call(1, LogCall::Assign { partition: P0, at: Offset(1), epoch: None });
    log.call(1, LogCall::Fetch { partition: P0, bytes_max: 1_000 });
    assert_eq!(log.next_event(1, WITHIN), Some(LogEvent::Assigned { partition: P0 }));
    let (client, events) = log.clients.remove(&1).expect("it was made above");
    drop(client);
    log.put(&["b"]);
    let told_of_b = |event: LogEvent| match event {
        LogEvent::Fetched(batch) => batch.range.end > Offset(1),
        _ => false,
    };
    assert!(!events.iter().any(told_of_b), "its sink is gone, and the channel with it");
}
