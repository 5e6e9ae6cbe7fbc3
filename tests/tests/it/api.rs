//! The gRPC surface as applications meet it: sidecars in this process, on the embedded log.
//!
//! Well-formed calls go through `outrigger-client`, the others through the bare generated client.

mod applied;
mod bad_input;
mod beside;
mod cursors;
mod levels;
mod liveness;
mod operator;
pub(crate) mod refusals;
mod rows;
mod stopping;
mod verify;
mod watch;
mod write_stream;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use outrigger::config::{Ack, SocketConfig};
use outrigger::embedded::{EmbeddedClient, EmbeddedConfig, EmbeddedLog};
use outrigger::index::StoreIndex;
use outrigger::log::{Cursors, Log, LogSink, OpenBeside};
use outrigger::peer::PeerConfig;
use outrigger::probes::Probes;
use outrigger::rocks::Resources;
use outrigger::runtime::{Inbox, LogHome, StoreSpec, TopicNews};
use outrigger::serve::{Claims, Sidecar, SidecarConfig};
use outrigger::watchdog::Patience;
use outrigger_client::Client;
use outrigger_core::limits::Limits;
use outrigger_core::log::LogCall;
use outrigger_core::topic::TopicPolicy;
use outrigger_proto::limits::RESPONSE_BYTES_MAX;
use outrigger_proto::v1::admin_client::AdminClient;
use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::{
    ErrorDetail, GetRequest, Level, Phase, PutRequest, ReadOptions, Reason, Token,
};
use tempfile::TempDir;
use tonic::Status;
use tonic::transport::Channel;

const SOON: Duration = Duration::from_secs(20);

/// One node with the store "notes".
struct One {
    node: Node,
    log: EmbeddedLog,
    dir: TempDir,
}

struct Node {
    sidecar: Sidecar,
    http: String,
    socket: PathBuf,
}

/// The topics of a node, by store index.
struct Logs(Vec<EmbeddedClient>);

impl Log for Logs {
    fn call(&self, store: StoreIndex, call: LogCall) {
        self.0[store.0].call(store, call);
    }

    /// A node's stores are of one log in here, where they have cursors.
    fn cursors(&self) -> Option<Arc<dyn Cursors>> {
        self.0.first()?.cursors()
    }

    fn beside(&self) -> Option<OpenBeside> {
        let each: Vec<_> = self.0.iter().filter_map(Log::beside).collect();
        Some(Arc::new(move |store, sink| each[store.0](store, sink)))
    }
}

impl One {
    async fn ready() -> One {
        let one = One::of(policy()).await;
        one.node.ready().await;
        one
    }

    async fn of(policy: TopicPolicy) -> One {
        let dir = tempfile::tempdir().expect("a directory");
        let log = topic(&dir.path().join("log"), policy);
        let node = Node::start(&dir.path().join("node"), &[("notes", &log)]).await;
        One { node, log, dir }
    }
}

impl Node {
    async fn start(dir: &Path, stores: &[(&str, &EmbeddedLog)]) -> Node {
        Node::start_on(dir, stores, Patience::PRODUCTION, |logs| Box::new(logs)).await
    }

    /// Starts a node on the log that `over` makes of the stores' topics.
    async fn start_on(
        dir: &Path,
        stores: &[(&str, &EmbeddedLog)],
        patience: Patience,
        over: impl FnOnce(Logs) -> Box<dyn Log>,
    ) -> Node {
        Node::start_between(dir, stores, patience, over, |sink| sink).await
    }

    /// Starts a node on the log that `over` makes of the stores' topics, and that tells its events to what `told` makes of
    /// the node's own sink.
    async fn start_between(
        dir: &Path,
        stores: &[(&str, &EmbeddedLog)],
        patience: Patience,
        over: impl FnOnce(Logs) -> Box<dyn Log>,
        told: impl FnOnce(LogSink) -> LogSink,
    ) -> Node {
        std::fs::create_dir_all(dir).expect("a directory");
        let spec = |(name, _): &(&str, _)| StoreSpec {
            name: (*name).to_owned(),
            topic: format!("topic-of-{name}"),
            news: TopicNews::default(),
            home: LogHome::Brokers,
        };
        let socket = dir.join("socket");
        let config = SidecarConfig {
            data: dir.join("data"),
            stores: stores.iter().map(spec).collect(),
            limits: Limits::PRODUCTION,
            resources: Resources {
                block_cache_bytes: 8 << 20,
                load_bytes: 8 << 20,
                background_threads: 2,
            },
            restore_rate: None,
            listen: Some(([127, 0, 0, 1], 0).into()),
            tls: None,
            peer_listen: None,
            socket: Some(SocketConfig::private(socket.clone())),
            ready_lag_max: None,
            ack: Ack::default(),
            sampler: None,
            peer: PeerConfig::default(),
            access: None,
            probes: Probes::untold(),
            patience,
        };
        let claims = Claims::take(config).await.expect("nobody else is here");
        let (inbox, sink) = Inbox::new();
        let sink = told(sink);
        let client = |(index, (_, log)): (usize, &(_, &EmbeddedLog))| {
            log.client(StoreIndex(index), sink.clone())
        };
        let logs = Logs(stores.iter().enumerate().map(client).collect());
        let sidecar = claims.start(inbox, over(logs)).expect("threads");
        let address = sidecar.address().expect("it listens");
        Node { sidecar, http: format!("http://{address}"), socket }
    }

    async fn ready(&self) {
        let client = self.client().await;
        let mut states = client.watch_status(Duration::ZERO).await.expect("a stream");
        let all_ready = async {
            loop {
                let node = states.next().await.expect("no end").expect("no error");
                if node.stores.iter().all(|store| store.phase() == Phase::Ready) {
                    return;
                }
            }
        };
        in_time(all_ready).await;
    }

    async fn client(&self) -> Client {
        Client::connect(&self.http).await.expect("the node listens")
    }

    async fn rows(&self) -> StoreClient<Channel> {
        let client = StoreClient::connect(self.http.clone()).await.expect("the node listens");
        client.max_decoding_message_size(RESPONSE_BYTES_MAX)
    }

    async fn admin(&self) -> AdminClient<Channel> {
        AdminClient::connect(self.http.clone()).await.expect("the node listens")
    }
}

fn policy() -> TopicPolicy {
    TopicPolicy { message_bytes_max: 64 << 20, ..TopicPolicy::safe(1) }
}

fn topic(dir: &Path, policy: TopicPolicy) -> EmbeddedLog {
    EmbeddedLog::open(dir, EmbeddedConfig::new(1, policy)).expect("a directory of our own")
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("in time")
}

fn put(store: &str, key: &str, value: &str) -> PutRequest {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    PutRequest { store: store.to_owned(), key, value, ..PutRequest::default() }
}

fn get(key: &str, read: ReadOptions) -> GetRequest {
    GetRequest { store: "notes".to_owned(), key: key.to_owned().into(), read: Some(read) }
}

fn at(level: Level, token: Option<Token>) -> ReadOptions {
    ReadOptions { level: level.into(), token, ..ReadOptions::default() }
}

/// What a failed call says, which is never nothing.
fn detail(status: &Status) -> ErrorDetail {
    let detail = ErrorDetail::from_status(status)
        .unwrap_or_else(|| panic!("a failure of the node's own without details: {status:?}"));
    assert_eq!(detail.reason().code(), status.code(), "{detail:?}");
    assert!(!detail.message.is_empty(), "{detail:?}");
    detail
}

/// The name of a failure that changed nothing.
fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> Reason {
    let detail = detail(&result.expect_err("this must fail"));
    assert!(!detail.may_have_happened, "{detail:?}");
    assert!(!detail.what_to_do.is_empty(), "{detail:?}");
    detail.reason()
}
