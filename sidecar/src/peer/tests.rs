//! A READY node in this process, its gRPC server, and another that takes its copy.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outrigger_core::node::{Change, Outcome};
use outrigger_core::offset::Generation;
use outrigger_core::phase::Phase;
use outrigger_core::store::{Found, GenerationState, StoreCall, StoreEvent};
use outrigger_core::topic::{Identity, TopicId};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Ack;
use crate::embedded::EmbeddedLog;
use crate::giver::{GiveError, Giver};
use crate::grpc::{self, Listener, Server};
use crate::probes::Probes;
use crate::release::Release;
use crate::rocks::{Resources, RocksStore, Shared};
use crate::runtime::tests::{log, ready, runtime};
use crate::runtime::{Runtime, StoreHandle};

const SOON: Duration = Duration::from_secs(20);
const SECRET: &str = "of-all-nodes-of-the-test";
const G1: Generation = Generation(1);

/// A node that gives.
struct Node {
    address: PeerAddress,
    store: StoreHandle,
    data: PathBuf,
    stop: CancellationToken,
    server: JoinHandle<Result<(), grpc::ServeError>>,
    runtime: Runtime,
    _log: EmbeddedLog,
    _dir: TempDir,
}

impl Node {
    /// A node with rows that are on disk.
    async fn start(rows: usize, rate: Option<u64>) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let log = log(&dir.path().join("log"));
        let (runtime, store) = runtime(&log, &data);
        ready(&store).await;
        write(&store, rows).await;
        let config = PeerConfig { rate: rate.and_then(NonZeroU64::new), ..config(SECRET) };
        let stop = CancellationToken::new();
        let giver = Giver::new(&config, vec![store.clone()]);
        let (address, server) = serve(&runtime, giver, &stop).await;
        Node { address, store, data, stop, server, runtime, _log: log, _dir: dir }
    }

    /// Serves from now on with `giver` instead of the one before.
    async fn serve(&mut self, giver: Option<Giver>) {
        self.stop.cancel();
        self.stop = CancellationToken::new();
        let (address, server) = serve(&self.runtime, giver, &self.stop).await;
        self.address = address;
        std::mem::replace(&mut self.server, server).await.unwrap().unwrap();
    }

    fn identity(&self) -> Identity {
        self.store.status().identity.clone().expect("it is READY")
    }

    /// Names of checkpoints in its store's directory.
    fn giving(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.data.join("notes")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("giving-")).collect()
    }

    async fn end(self) {
        self.stop.cancel();
        self.server.await.unwrap().unwrap();
        self.runtime.crash().await;
    }
}

async fn serve(
    runtime: &Runtime,
    giver: Option<Giver>,
    stop: &CancellationToken,
) -> (PeerAddress, JoinHandle<Result<(), grpc::ServeError>>) {
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = PeerAddress::parse(&format!("http://{}", tcp.local_addr().unwrap())).unwrap();
    let server = Server {
        forwarder: None,
        digests: None,
        peer_listener: None,
        listeners: vec![Listener::Tcp(tcp)],
        stores: runtime.handles(),
        throttle: runtime.throttle(),
        sampler: None,
        ready_lag_max: None,
        ack: Ack::default(),
        access: None,
        giver,
        signs: runtime.signs(),
        probes: Probes::untold(),
        leaving: CancellationToken::new(),
        release: Release::default(),
    };
    (address, tokio::spawn(grpc::serve(server, stop.clone())))
}

/// Writes values that do not shrink on disk; returns when they are durable.
async fn write(store: &StoreHandle, rows: usize) {
    let mut last = 0;
    for number in 0..rows {
        let mut value = Vec::new();
        for word in 0_u64..32 * 1024 {
            let seed = (number, word);
            value.extend(xxhash_rust::xxh3::xxh3_64(format!("{seed:?}").as_bytes()).to_le_bytes());
        }
        let change = Change { key: format!("key-{number}").into(), value: Some(value.into()) };
        match store.write(vec![change]).await.unwrap().outcomes[0] {
            Outcome::Appended(revision) => last = revision.offset.0,
            ref other => panic!("{other:?}"),
        }
    }
    let mut changes = store.status_changes();
    let durable = changes.wait_for(|status| status.partitions[0].durable.0 > last || rows == 0);
    tokio::time::timeout(SOON, durable).await.expect("durable in time").unwrap();
}

fn config(secret: &str) -> PeerConfig {
    PeerConfig { secret: Some(Secret::new(secret).unwrap()), ..PeerConfig::default() }
}

fn taker(data: &Path, secret: &str, addresses: Vec<PeerAddress>) -> Taker {
    let config = PeerConfig { addresses, ..config(secret) };
    Taker::new(&config, data).unwrap()
}

fn silent() -> Report {
    Arc::new(|_| {})
}

fn wanted(identity: &Identity) -> Wanted {
    Wanted { generation: G1, identity: identity.clone(), suspects: vec![] }
}

async fn take(taker: &Taker, identity: &Identity) -> Result<String, TakeError> {
    let taken = taker.take(wanted(identity), silent(), &CancellationToken::new()).await;
    taken.map(|taken| taken.peer)
}

/// Rows and lineages of what was taken, as a node that starts would find it.
fn adopted(data: &Path, identity: &Identity) -> (Vec<outrigger_core::lineage::Lineage>, usize) {
    let resources =
        Resources { block_cache_bytes: 1 << 20, load_bytes: 1 << 20, background_threads: 2 };
    let mut store = RocksStore::new(data, &identity.store, Arc::new(Shared::new(resources)));
    let (identity_of_it, delete_retention_ms_min) = (identity.clone(), u64::MAX);
    let adopt =
        StoreCall::Adopt { generation: G1, identity: identity_of_it, delete_retention_ms_min };
    assert!(matches!(store.handle(adopt), StoreEvent::Done { .. }));
    let opened = store.handle(StoreCall::Open { expected: identity.clone() });
    let StoreEvent::Found(Found::Copy(copy)) = opened else { panic!("{opened:?}") };
    let building = copy.building.expect("it is a copy that is not in use");
    let GenerationState::Intact(lineages) = building.state else { panic!("{building:?}") };
    let view = store.views().view(G1).expect("it is open");
    let mut rows = 0;
    use outrigger_core::store::{Scan, View};
    view.scan(b"", None, false, &mut |_, _, _| {
        rows += 1;
        Scan::Continue
    })
    .unwrap();
    (lineages, rows)
}

/// Name of the checkpoint that came.
fn landed(data: &Path) -> String {
    std::fs::read_to_string(data.join("notes/fetching-g1/TRANSFER")).unwrap()
}

fn reason(error: TakeError) -> String {
    match error {
        TakeError::Peers(reasons) => reasons.into_iter().map(|(_, why)| why).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_copy_is_taken_whole_and_no_checkpoint_stays() {
    let node = Node::start(12, None).await;
    let here = tempfile::tempdir().unwrap();
    let taker = taker(here.path(), SECRET, vec![node.address.clone()]);
    let identity = node.identity();
    let taken = taker.take(wanted(&identity), silent(), &CancellationToken::new()).await.unwrap();
    assert_eq!(node.giving(), Vec::<String>::new());
    let (lineages, rows) = adopted(here.path(), &identity);
    assert_eq!((rows, lineages[0].position), (12, node.store.status().partitions[0].durable));
    assert_eq!(taken.delete_retention_ms_min, lineages[0].delete_retention_ms_min);
    node.end().await;
}

#[tokio::test]
async fn what_is_not_durable_is_not_given() {
    let node = Node::start(3, None).await;
    // It is applied and not flushed: a flush follows in seconds, and the checkpoint is made now.
    let change = Change { key: "late".into(), value: Some("v".into()) };
    node.store.write(vec![change]).await.unwrap();
    let mut changes = node.store.status_changes();
    let applied = changes.wait_for(|status| status.partitions[0].applied.0 > 3);
    let durable = applied.await.unwrap().partitions[0].durable;
    let checkpoint = node.store.checkpoint("of-the-test").expect("it is READY").unwrap();
    assert_eq!(node.store.status().partitions[0].durable, durable, "nothing was flushed");
    let here = tempfile::tempdir().unwrap();
    let identity = node.identity();
    let fetched = crate::rocks::begin_fetch(here.path(), "notes", G1, &identity).unwrap();
    for file in checkpoint.files() {
        std::fs::copy(checkpoint.file_path(file), fetched.join(&file.name)).unwrap();
    }
    drop(checkpoint);
    assert_eq!(node.giving(), Vec::<String>::new());
    let (lineages, rows) = adopted(here.path(), &identity);
    assert_eq!((rows, lineages[0].position), (3, durable));
    node.end().await;
}

#[tokio::test]
async fn a_wrong_secret_a_dead_peer_and_another_topic_are_told_apart() {
    let node = Node::start(1, None).await;
    let here = tempfile::tempdir().unwrap();
    let dead = PeerAddress::parse("http://127.0.0.1:1").unwrap();
    let identity = node.identity();

    let stranger = taker(here.path(), "another-secret-of-others", vec![node.address.clone()]);
    let refused = reason(take(&stranger, &identity).await.unwrap_err());
    assert!(refused.contains("peer secret"), "{refused}");

    let other = Identity { topic: TopicId([9; 16]), ..identity.clone() };
    let both = taker(here.path(), SECRET, vec![dead.clone(), node.address.clone()]);
    let error = take(&both, &other).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("http://127.0.0.1:1: it cannot be reached"), "{text}");
    assert!(text.contains("its copy belongs to") && text.contains("0909"), "{text}");
    let fetched = here.path().join("notes/fetching-g1");
    assert_eq!(std::fs::read_dir(fetched).unwrap().count(), 1, "nothing but OWNER was written");

    let gave = take(&both, &identity).await.expect("the second peer gives what is right");
    assert_eq!(gave, node.address.to_string());
    node.end().await;
}

#[tokio::test]
async fn whoever_gave_a_damaged_copy_is_asked_last() {
    let here = tempfile::tempdir().unwrap();
    let dead = [1, 2, 3].map(|port| format!("http://127.0.0.1:{port}"));
    let addresses = dead.iter().map(|dead| PeerAddress::parse(dead).unwrap()).collect();
    let taker = taker(here.path(), SECRET, addresses);
    let identity = manifest::tests::wanted();
    let suspects = vec![dead[1].clone(), dead[0].clone()];
    let wanted = Wanted { suspects, ..wanted(&identity) };
    let failed = taker.take(wanted, silent(), &CancellationToken::new()).await;
    let Err(TakeError::Peers(reasons)) = failed else { panic!("{failed:?}") };
    let asked: Vec<String> = reasons.into_iter().map(|(peer, _)| peer).collect();
    assert_eq!(asked, [2, 1, 0].map(|index| dead[index].clone()));
}

#[tokio::test]
async fn a_fetch_that_was_called_off_goes_on_where_it_was() {
    let node = Node::start(12, Some(1 << 20)).await;
    let here = tempfile::tempdir().unwrap();
    let taker = taker(here.path(), SECRET, vec![node.address.clone()]);
    let identity = node.identity();
    let wanted = wanted(&identity);
    let cancel = CancellationToken::new();
    let stopping = cancel.clone();
    let enough: Report = Arc::new(move |transfer| {
        if transfer.bytes >= 2 << 20 {
            stopping.cancel();
        }
    });
    let called_off = taker.take(wanted.clone(), enough, &cancel).await;
    assert!(matches!(called_off, Err(TakeError::Cancelled)), "{called_off:?}");
    assert_eq!(node.giving().len(), 1, "it waits for its taker");

    let first = Arc::new(AtomicU64::new(u64::MAX));
    let seen = first.clone();
    let report: Report = Arc::new(move |transfer| {
        seen.fetch_min(transfer.bytes, Ordering::Relaxed);
    });
    taker.take(wanted, report, &CancellationToken::new()).await.unwrap();
    assert!(first.load(Ordering::Relaxed) > 1 << 20, "it began again: {first:?}");
    assert_eq!(adopted(here.path(), &identity).1, 12);
    node.end().await;
}

#[tokio::test]
async fn a_peer_that_ends_midway_is_left_within_bounded_time_and_says_so() {
    let node = Node::start(12, Some(1 << 20)).await;
    let here = tempfile::tempdir().unwrap();
    let taker = taker(here.path(), SECRET, vec![node.address.clone()]);
    let wanted = wanted(&node.identity());
    let (came, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let came = Mutex::new(came);
    let report: Report = Arc::new(move |transfer| {
        let _ended = came.lock().unwrap().send(transfer.bytes);
    });
    let taking =
        tokio::spawn(async move { taker.take(wanted, report, &CancellationToken::new()).await });
    arrived.recv().await.expect("something comes");
    node.end().await;
    let failed = tokio::time::timeout(SOON, taking).await.expect("in time").unwrap();
    let why = reason(failed.unwrap_err());
    assert!(why.contains("cannot be reached"), "{why}");
}

#[tokio::test]
async fn a_checkpoint_that_lost_a_file_is_given_to_nobody_else() {
    let node = Node::start(1, None).await;
    let config = config(SECRET);
    let giver = Giver::new(&config, vec![node.store.clone()]).unwrap();
    let mut lease = giver.lease("notes", None).unwrap();
    let broken = lease.id().to_owned();
    std::fs::remove_dir_all(node.data.join("notes").join(&node.giving()[0])).unwrap();
    assert!(matches!(lease.next_chunk(), Err(GiveError::Read(_))));
    let mut other = giver.lease("notes", Some((&broken, 0, 0))).unwrap();
    assert_ne!(other.id(), broken);
    let mut bytes = 0;
    while let Some(chunk) = other.next_chunk().unwrap() {
        bytes += u64::try_from(chunk.data.len()).unwrap();
        let all: u64 = other.checkpoint().files().iter().map(|file| file.bytes).sum();
        assert_eq!(other.bytes_left(), all - bytes);
    }
    drop((lease, other));
    assert_eq!(node.giving(), Vec::<String>::new());
    node.end().await;
}

#[tokio::test]
async fn a_checkpoint_of_a_copy_that_was_replaced_is_given_to_nobody_not_even_to_who_has_some_of_it()
 {
    let node = Node::start(2, None).await;
    let config = config(SECRET);
    let giver = Giver::new(&config, vec![node.store.clone()]).unwrap();
    let lease = giver.lease("notes", None).unwrap();
    let (replaced, generation) = (lease.id().to_owned(), lease.checkpoint().generation());

    node.store.report_damage(generation, "as a read would find it".to_owned());
    let in_use =
        || node.store.gate().generation.filter(|_| node.store.gate().phase == Phase::Ready);
    let mut changes = node.store.status_changes();
    let rebuilt = changes.wait_for(|_| in_use().is_some_and(|in_use| in_use != generation));
    tokio::time::timeout(SOON, rebuilt).await.expect("rebuilt in time").unwrap();

    let resume = Some((replaced.as_str(), 0, 0));
    // There is one at a time, and somebody still reads it.
    assert!(matches!(giver.lease("notes", resume), Err(GiveError::Occupied)));
    assert!(matches!(giver.lease("notes", None), Err(GiveError::Occupied)));
    drop(lease);
    let other = giver.lease("notes", resume).unwrap();
    assert_ne!(other.id(), replaced);
    assert_eq!(Some(other.checkpoint().generation()), in_use());
    drop(other);
    node.end().await;
}

#[tokio::test]
async fn a_copy_that_was_whole_before_a_crash_is_asked_for_again_and_taken_where_nobody_gives_another()
 {
    let node = Node::start(2, None).await;
    let here = tempfile::tempdir().unwrap();
    let identity = node.identity();
    take(&taker(here.path(), SECRET, vec![node.address.clone()]), &identity).await.unwrap();
    let before = landed(here.path());
    let dead = PeerAddress::parse("http://127.0.0.1:1").unwrap();
    let gave = take(&taker(here.path(), SECRET, vec![dead]), &identity).await.unwrap();
    assert_eq!(gave, node.address.to_string(), "who gave it before");
    assert_eq!(landed(here.path()), before, "nobody gave another");
    take(&taker(here.path(), SECRET, vec![node.address.clone()]), &identity).await.unwrap();
    assert_ne!(landed(here.path()), before, "whoever gave it tells what has been seen since");
    assert_eq!(adopted(here.path(), &identity).1, 2);
    node.end().await;
}

#[tokio::test]
async fn a_node_without_a_secret_and_one_without_the_store_say_so() {
    let mut node = Node::start(1, None).await;
    let here = tempfile::tempdir().unwrap();
    let others = Identity { store: "users".into(), ..node.identity() };
    let taking = taker(here.path(), SECRET, vec![node.address.clone()]);
    let refused = reason(take(&taking, &others).await.unwrap_err());
    assert!(refused.contains("NotFound: it has no such store"), "{refused}");

    node.serve(None).await;
    let taking = taker(here.path(), SECRET, vec![node.address.clone()]);
    let refused = reason(take(&taking, &node.identity()).await.unwrap_err());
    assert!(refused.contains("without a peer secret"), "{refused}");
    node.end().await;
}

#[tokio::test]
async fn takers_share_a_checkpoint_and_a_node_that_is_not_ready_gives_none() {
    let node = Node::start(2, None).await;
    let config = config(SECRET);
    let giver = Giver::new(&config, vec![node.store.clone()]).unwrap();
    let one = giver.lease("notes", None).unwrap();
    let other = giver.lease("notes", None).unwrap();
    assert_eq!(one.id(), other.id());
    assert_eq!(node.giving().len(), 1);
    assert!(matches!(giver.lease("users", None), Err(GiveError::UnknownStore)));
    let beyond = giver.lease("notes", Some((one.id(), 9_999, 0)));
    assert!(matches!(beyond, Err(GiveError::Position { .. })));
    let leases: Vec<_> = (0..6).map(|_| giver.lease("notes", None).unwrap()).collect();
    assert!(matches!(giver.lease("notes", None), Err(GiveError::TooManyTakers)));
    drop((one, other, leases));
    assert_eq!(node.giving().len(), 1, "none of them had all: they may come back");

    let Node { runtime, stop, server, data, .. } = node;
    stop.cancel();
    server.await.unwrap().unwrap();
    runtime.drain().await;
    assert!(matches!(giver.lease("notes", None), Err(GiveError::NotReady)));
    drop(giver);
    let left = std::fs::read_dir(data.join("notes")).unwrap();
    let giving = |name: &str| name.starts_with("giving-");
    assert!(!left.into_iter().any(|entry| giving(entry.unwrap().file_name().to_str().unwrap())));
}
