//! The gRPC server: `outrigger.v1`, health and reflection, on sockets that are bound already.
//!
//! It checks what callers send, hands it to the stores through their handles, and tells the outcome in the words of
//! the protocol. It knows nothing of Kafka, RocksDB or the core thread. Everything it holds for a caller is bounded,
//! and ends with the caller.

mod answers;
mod bounded;
mod changes;
mod convert;
mod cursor;
mod deadline;
mod digest;
mod error;
mod get;
mod health;
mod listen;
mod measure;
mod operate;
mod peer;
mod progress;
mod read;
mod refusals;
mod replies;
mod scan;
mod service;
mod state;
mod stores;
mod verify;
mod watch;
mod write;
mod write_stream;

use std::sync::Arc;
use std::time::Duration;

use outrigger_proto::FILE_DESCRIPTOR_SET;
use outrigger_proto::limits::{
    CHECKPOINT_MESSAGE_BYTES_MAX, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX,
};
use outrigger_proto::v1::admin_server::AdminServer;
use outrigger_proto::v1::peer_server::PeerServer;
use outrigger_proto::v1::store_server::StoreServer;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::http::Response;
use tonic::service::LayerExt;
use tonic::transport::server::Router;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower::layer::util::{Identity, Stack};
use tower::util::MapResponseLayer;

use self::health::Health;
use self::measure::Measurer;
use self::peer::Peers;
use self::service::Service;
use self::stores::Stores;
use crate::peer::Giver;
use crate::profile::Profiler;
use crate::runtime::{RestoreThrottle, StoreHandle};
use crate::watchdog::Hung;

pub use self::listen::Listener;

/// What a stream may send ahead of us. The default would let each buffer 1 MiB here before a slow log is felt.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// Of a whole connection: a few full streams must not starve the others.
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Fewer and larger frames: what one write or read brings is handled at once.
const FRAME_BYTES_MAX: u32 = 256 * 1024;
/// Calls of one connection at the same time.
const CALLS_MAX: u32 = 1_024;

/// A caller whose machine vanished must not keep its streams and snapshots.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long open calls may go on once the server ends: longer than a write waits for the log, so that its outcome is
/// told.
const GRACE: Duration = Duration::from_secs(12);
/// How long connections that were cut have to notice it.
const CUT_MAX: Duration = Duration::from_secs(1);

pub struct Server {
    /// Bound and listening.
    pub listeners: Vec<Listener>,
    /// With different names.
    pub stores: Vec<StoreHandle>,
    pub throttle: RestoreThrottle,
    /// Without one nobody can tell how long a restore takes.
    pub profiler: Option<Profiler>,
    /// The largest lag of a store that health reports as ready; none: any.
    pub ready_lag_max: Option<u64>,
    /// For other nodes, when they may have copies.
    pub giver: Option<Giver>,
    /// While something does, the process is not live.
    pub hung: Receiver<Hung>,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the gRPC server failed")]
    Transport(#[from] tonic::transport::Error),
    #[error("the reflection service cannot be built")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves until `stop`; then accepts nothing, ends the streams by name, lets open calls end for 12 s at most, and cuts
/// what is left. Dropped, it cuts all connections at once.
pub async fn serve(server: Server, stop: CancellationToken) -> Result<(), ServeError> {
    let ending = stop.child_token();
    let stores = Stores::new(server.stores);
    let service = Service::new(stores.clone(), server.throttle, ending.clone());
    server.profiler.into_iter().for_each(|profiler| measure(&service, profiler));
    let reporter = HealthReporter::new();
    let peers = server.giver.map(|giver| Peers::new(giver, &service));
    let router = router(&service, peers.clone(), reporter.clone())?;
    let (ready_lag_max, hung) = (server.ready_lag_max, server.hung);
    let health = Health { reporter, stores, ready_lag_max, hung };

    let cut = CancellationToken::new();
    let _cut_when_dropped = cut.clone().drop_guard();
    let (incoming, accepting) = listen::accept(server.listeners, &cut);
    let stopped = ending.clone();
    let serving = router.serve_with_incoming_shutdown(incoming, async move {
        stopped.cancelled().await;
        // Closes the sockets: nobody must be accepted who would not be served.
        drop(accepting);
    });
    let serving = async {
        let served = within_grace(serving, &ending, &cut).await;
        ending.cancel();
        served
    };
    let expiring = async {
        if let Some(peers) = &peers {
            peers.expire().await;
        }
    };
    let (served, (), ()) = tokio::join!(serving, health.follow(ending.clone()), expiring);
    service.tasks.close();
    service.tasks.wait().await;
    Ok(served?)
}

/// Until the node stops.
fn measure(service: &Service, profiler: Profiler) {
    let measurer = Arc::new(Measurer::new(service.stores.clone(), profiler));
    for store in 0..service.stores.all().len() {
        let (measurer, ending) = (measurer.clone(), service.ending.clone());
        service
            .tasks
            .spawn(async move { ending.run_until_cancelled(measurer.measure(store)).await });
    }
}

/// Once the server ends, open calls have their grace; then the connections are cut.
async fn within_grace(
    serving: impl Future<Output = Result<(), tonic::transport::Error>>,
    ending: &CancellationToken,
    cut: &CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let cutting = async {
        ending.cancelled().await;
        tokio::time::sleep(GRACE).await;
        tracing::warn!("some calls did not end in time; their connections are cut");
        cut.cancel();
        tokio::time::sleep(CUT_MAX).await;
    };
    tokio::select! {
        served = serving => served,
        () = cutting => Ok(()),
    }
}

/// What is done with every answer of the server.
type Refusals = Stack<MapResponseLayer<fn(Response<Body>) -> Response<Body>>, Identity>;

fn router(
    service: &Service,
    peers: Option<Peers>,
    reporter: HealthReporter,
) -> Result<Router<Refusals>, ServeError> {
    let store = StoreServer::new(service.clone())
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(RESPONSE_BYTES_MAX);
    let admin = AdminServer::new(service.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
    let health = HealthServer::new(HealthService::from_health_reporter(reporter));
    // Older tools, and Python's library, know only v1alpha.
    let (reflection, reflection_alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
    let details = MapResponseLayer::new(refusals::with_details);
    let unknown: fn(Response<Body>) -> Response<Body> = refusals::unknown_with_details;
    let router = tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_concurrent_streams(CALLS_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .layer(MapResponseLayer::new(unknown))
        .add_service(details.named_layer(store))
        .add_service(details.named_layer(admin))
        .add_optional_service(peers.map(peer_server))
        .add_service(health)
        .add_service(reflection)
        .add_service(reflection_alpha);
    Ok(router)
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // So that a tool can show the details of an error.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

fn peer_server(peers: Peers) -> PeerServer<Peers> {
    PeerServer::new(peers)
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(CHECKPOINT_MESSAGE_BYTES_MAX)
}
