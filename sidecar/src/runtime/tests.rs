//! A whole runtime on real disks and the embedded log.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use outrigger_core::gate::{ReadLevel, Rejection};
use outrigger_core::limits::Limits;
use outrigger_core::log::LogCall;
use outrigger_core::node::{Change, Outcome};
use outrigger_core::phase::Phase;
use outrigger_core::read::Demand;
use outrigger_core::store::View;
use outrigger_core::token::Token;
use outrigger_core::topic::TopicPolicy;

use super::{
    Drained, Inbox, LogHome, Read, ReadError, Runtime, RuntimeConfig, StoreHandle, StoreSpec,
    TopicNews, Written,
};
use crate::embedded::{EmbeddedClient, EmbeddedConfig, EmbeddedLog};
use crate::index::StoreIndex;
use crate::log::Log;
use crate::rocks::{DataDir, Resources};
use crate::watchdog::Patience;

const SOON: Duration = Duration::from_secs(20);

pub(crate) fn log(dir: &Path) -> EmbeddedLog {
    let policy = TopicPolicy::safe(1);
    EmbeddedLog::open(dir, EmbeddedConfig::new(1, policy)).unwrap()
}

pub(crate) fn runtime(log: &EmbeddedLog, data: &Path) -> (Runtime, StoreHandle) {
    let (inbox, sink) = Inbox::new();
    let client = log.client(StoreIndex(0), sink);
    start(data, Limits::PRODUCTION, inbox, Box::new(client))
}

fn start(data: &Path, limits: Limits, inbox: Inbox, log: Box<dyn Log>) -> (Runtime, StoreHandle) {
    let config = RuntimeConfig {
        stores: vec![StoreSpec {
            name: "notes".to_owned(),
            topic: "notes".to_owned(),
            news: TopicNews::default(),
            home: LogHome::Embedded,
        }],
        limits,
        resources: Resources {
            block_cache_bytes: 1 << 20,
            load_bytes: 1 << 20,
            background_threads: 2,
        },
        restore_rate: None,
        taker: None,
        patience: Patience::PRODUCTION,
    };
    let runtime = Runtime::start(config, DataDir::lock(data).unwrap(), inbox, log).unwrap();
    let handle = runtime.handles().remove(0);
    (runtime, handle)
}

/// Stops telling the topic's id, without which nothing becomes durable.
struct Unconfirming {
    client: EmbeddedClient,
    stopped: Arc<AtomicBool>,
}

impl Log for Unconfirming {
    fn call(&self, store: StoreIndex, call: LogCall) {
        if call != LogCall::TopicId || !self.stopped.load(Ordering::Relaxed) {
            self.client.call(store, call);
        }
    }
}

pub(crate) async fn ready(store: &StoreHandle) {
    let mut changes = store.status_changes();
    let ready = changes.wait_for(|status| status.phase == Phase::Ready);
    tokio::time::timeout(SOON, ready).await.expect("READY in time").unwrap();
}

fn put(key: &'static str, value: &'static str) -> Change {
    Change { key: key.into(), value: Some(value.into()) }
}

fn token(written: &Written) -> Token {
    let Outcome::Appended(revision) = written.outcomes[0] else { panic!("{written:?}") };
    Token::of_write(written.topic, written.partitions, revision)
}

fn at_least(token: Token) -> Demand {
    ReadLevel::AtLeast(token).into()
}

fn value(read: &Read, key: &str) -> Option<Bytes> {
    read.view.get(key.as_bytes()).unwrap().map(|row| row.value.into())
}

#[tokio::test]
async fn a_write_is_read_after_its_token() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(&dir.path().join("log"));
    let (runtime, store) = runtime(&log, &dir.path().join("data"));
    ready(&store).await;
    let written = store.write(vec![put("k", "v")]).await.unwrap();
    let read = store.read(at_least(token(&written)), SOON).await.unwrap();
    assert_eq!(value(&read, "k"), Some(Bytes::from("v")));
    assert_eq!(read.answer.token.topic, log.topic());
    drop(read);
    assert_eq!(runtime.drain().await, Drained::Flushed);
}

#[tokio::test]
async fn latest_waits_for_everything_that_is_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(&dir.path().join("log"));
    let (writer, writes) = runtime(&log, &dir.path().join("one"));
    let (reader, reads) = runtime(&log, &dir.path().join("two"));
    ready(&writes).await;
    ready(&reads).await;
    for number in 0..50 {
        let expected = Bytes::from(format!("{number}"));
        writes
            .write(vec![Change { key: "k".into(), value: Some(expected.clone()) }])
            .await
            .unwrap();
        let read = reads.read(ReadLevel::Latest.into(), SOON).await.unwrap();
        assert_eq!(value(&read, "k"), Some(expected));
    }
    writer.crash().await;
    reader.crash().await;
}

#[tokio::test]
async fn submitted_writes_are_appended_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(&dir.path().join("log"));
    let (runtime, store) = runtime(&log, &dir.path().join("data"));
    ready(&store).await;
    let mut pending = Vec::new();
    for _ in 0..100 {
        pending.push(store.submit(vec![put("k", "v"), put("l", "w")]).await);
    }
    let mut offsets = Vec::new();
    for write in pending {
        let Written { outcomes, .. } = write.await.unwrap();
        offsets.extend(outcomes.into_iter().map(|outcome| match outcome {
            Outcome::Appended(revision) => revision.offset,
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(offsets.len(), 200);
    assert!(offsets.is_sorted(), "{offsets:?}");
    runtime.crash().await;
}

#[tokio::test]
async fn a_write_whose_caller_left_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(&dir.path().join("log"));
    let (runtime, store) = runtime(&log, &dir.path().join("data"));
    ready(&store).await;
    drop(store.submit(vec![put("k", "left")]).await);
    let after = store.write(vec![put("other", "v")]).await.unwrap();
    let read = store.read(at_least(token(&after)), SOON).await.unwrap();
    assert_eq!(value(&read, "k"), Some(Bytes::from("left")));
    runtime.crash().await;
}

#[tokio::test]
async fn a_token_that_is_not_reached_ends_at_the_deadline_and_frees_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(&dir.path().join("log"));
    let (runtime, store) = runtime(&log, &dir.path().join("data"));
    ready(&store).await;
    let written = store.write(vec![put("k", "v")]).await.unwrap();
    let mut future = token(&written);
    future.positions[0].0.0 += 1_000;
    let late = store.read(at_least(future.clone()), Duration::from_millis(10)).await;
    assert!(
        matches!(late, Err(ReadError::Rejected(Rejection::Deadline { .. }))),
        "{:?}",
        late.err()
    );
    // A caller that leaves is forgotten: the core does not keep its await until the deadline.
    let abandoned = tokio::time::timeout(
        Duration::from_millis(10),
        store.read(at_least(future), Duration::from_secs(3600)),
    );
    assert!(abandoned.await.is_err());
    let mut changes = store.status_changes();
    let free = changes.wait_for(|status| status.awaits == 0);
    tokio::time::timeout(SOON, free).await.expect("forgotten in time").unwrap();
    runtime.crash().await;
}

#[tokio::test]
async fn a_crash_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(&dir.path().join("log"));
    let data = dir.path().join("data");
    for round in 0..3 {
        let (runtime, store) = runtime(&log, &data);
        ready(&store).await;
        let read = store.read(ReadLevel::Local.into(), SOON).await.unwrap();
        for earlier in 0..round {
            assert!(value(&read, &format!("key-{earlier}")).is_some(), "round {round}: {earlier}");
        }
        drop(read);
        let key = Bytes::from(format!("key-{round}"));
        store.write(vec![Change { key, value: Some("v".into()) }]).await.unwrap();
        runtime.crash().await;
    }
}

#[tokio::test]
async fn a_pin_is_kept_until_its_lease_ends_and_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(&dir.path().join("log"));
    let (inbox, sink) = Inbox::new();
    let client = Box::new(log.client(StoreIndex(0), sink));
    let limits = Limits { pin_lease: Duration::from_secs(2), ..Limits::PRODUCTION };
    let (runtime, store) = start(&dir.path().join("data"), limits, inbox, client);
    ready(&store).await;
    let written = store.write(vec![put("k", "v")]).await.unwrap();
    let pin = store.pin(token(&written), SOON).await.unwrap();
    let (_, _, view) = pin.view().expect("its lease has just begun");
    store.write(vec![put("k", "w")]).await.unwrap();
    assert_eq!(view.get(b"k").unwrap().unwrap().value, b"v");
    let over = async {
        while pin.view().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, over).await.expect("the lease ends");
    drop(view);
    let read = store.read(ReadLevel::Latest.into(), SOON).await.unwrap();
    let now = read.answer.token;
    drop(read.view);
    let pin = store.pin(now, SOON).await.unwrap();
    assert_eq!(runtime.drain().await, Drained::Flushed);
    assert!(pin.view().is_none());
}

#[tokio::test]
async fn a_drained_store_turns_everything_away_and_resumes_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(&dir.path().join("log"));
    let data = dir.path().join("data");
    let (first, store) = runtime(&log, &data);
    ready(&store).await;
    let written = store.write(vec![put("k", "v")]).await.unwrap();
    drop(store.read(at_least(token(&written)), SOON).await.unwrap());
    assert_eq!(first.drain().await, Drained::Flushed);
    assert_eq!(store.write(vec![put("k", "w")]).await, Err(Rejection::Draining));
    let late = store.read(ReadLevel::Local.into(), SOON).await;
    assert!(matches!(late, Err(ReadError::Rejected(Rejection::Draining))), "{:?}", late.err());
    let (second, store) = runtime(&log, &data);
    ready(&store).await;
    let status = store.status();
    assert!(status.partitions[0].durable.0 >= 1, "{status:?}");
    second.crash().await;
}

#[tokio::test]
async fn a_drain_that_could_not_flush_says_so_when_its_time_is_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(&dir.path().join("log"));
    let (inbox, sink) = Inbox::new();
    let stopped = Arc::new(AtomicBool::new(false));
    let client = Unconfirming { client: log.client(StoreIndex(0), sink), stopped: stopped.clone() };
    let limits = Limits { drain_max: Duration::from_millis(50), ..Limits::PRODUCTION };
    let (runtime, store) = start(&dir.path().join("data"), limits, inbox, Box::new(client));
    ready(&store).await;
    stopped.store(true, Ordering::Relaxed);
    let written = store.write(vec![put("k", "v")]).await.unwrap();
    drop(store.read(at_least(token(&written)), SOON).await.unwrap());
    assert_eq!(runtime.drain().await, Drained::TimeUp);
}
