//! The gRPC server: `outrigger.v1`, health and reflection, on sockets that are bound already.
//!
//! It checks what callers send, hands it to the stores through their handles, and tells the outcome in the words of
//! the protocol. It knows nothing of Kafka, RocksDB or the core thread. Everything it holds for a caller is bounded,
//! and ends with the caller.

mod activity;
mod answers;
mod arena;
mod bounded;
mod call;
mod changes;
mod compare;
mod connection;
mod convert;
mod cursors;
mod deadline;
mod digest;
mod door;
mod error;
mod forward;
mod forwarded;
#[cfg(test)]
mod fuzz;
mod get;
mod health;
mod listen;
mod method;
mod operate;
mod peer;
mod read;
mod refusals;
mod replies;
mod request;
mod room;
mod scan;
mod service;
mod session;
pub(crate) mod state;
mod status;
mod stores;
mod together;
mod told;
mod verify;
mod walk;
mod watch;
mod write;
mod write_stream;

use std::sync::Arc;
use std::time::Duration;

use outrigger_proto::FILE_DESCRIPTOR_SET;
use outrigger_proto::limits::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};
use outrigger_proto::peer::v1::peer_server::PeerServer;
use outrigger_proto::v1::admin_server::AdminServer;
use outrigger_proto::v1::store_server::StoreServer;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::{LayerExt, Routes};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower::util::MapResponseLayer;

use self::door::Door;
use self::health::Health;
use self::listen::For;
use self::peer::Peers;
use self::service::Service;
use self::stores::Stores;
use crate::access::Access;
use crate::config::Ack;
use crate::forward::Forwarder;
use crate::giver::Giver;
use crate::peer::Digests;
use crate::probes::Telling;
use crate::release::Release;
use crate::restore_time::{Measurer, Sampler};
use crate::runtime::{RestoreThrottle, StoreHandle};
use crate::telemetry::metrics;
use crate::watchdog::Signs;

pub use self::listen::Listener;

/// How long open calls may take once the server ends: longer than a write waits for the log, so that its outcome is
/// told.
const GRACE: Duration = Duration::from_secs(12);

pub struct Server {
    pub listeners: Vec<Listener>,
    /// Where other nodes ask for copies, and nobody else for anything. None: they ask where everybody does.
    pub peer_listener: Option<Listener>,
    /// The stores, whose names are different.
    pub stores: Vec<StoreHandle>,
    pub throttle: RestoreThrottle,
    /// Without one nobody can tell how long a restore takes.
    pub sampler: Option<Sampler>,
    /// The largest lag of a store that health reports as ready; none: any.
    pub ready_lag_max: Option<u64>,
    /// When a write is answered whose caller does not ask for either.
    pub ack: Ack,
    /// Who may do what; none: nobody is asked who it is.
    pub access: Option<Arc<Access>>,
    /// What gives copies to other nodes, when they may have them.
    pub giver: Option<Giver>,
    /// What asks other nodes for what a copy that is not READY cannot answer.
    pub forwarder: Option<Forwarder>,
    /// What asks peers for digests of their copies; none: no copies are compared.
    pub digests: Option<Digests>,
    /// Whether the work goes on. While something hangs, the process is not live.
    pub signs: Signs,
    /// Where the answers to probes are told.
    pub probes: Telling,
    /// Once cancelled, nothing is ready, and everything is served as before.
    pub leaving: CancellationToken,
    /// Where the application says that it is done.
    pub release: Release,
}

#[derive(Debug, thiserror::Error)]
#[error("the reflection service cannot be built")]
pub struct ServeError(#[from] tonic_reflection::server::Error);

/// Serves until `stop`; then accepts nothing, ends the streams by name, lets open calls end for 12 s at most, and cuts
/// what is left. Dropped, it cuts all connections at once.
pub async fn serve(server: Server, stop: CancellationToken) -> Result<(), ServeError> {
    let ending = stop.child_token();
    let stores = Stores::new(server.stores, server.ack);
    for store in stores.all() {
        metrics::begin_watched(store.handle.name());
    }
    let door = Door::new(server.access);
    let service = Service::new(
        stores.clone(),
        server.signs.clone(),
        server.throttle,
        door.clone(),
        server.forwarder,
        server.release,
        ending.clone(),
    );
    if let Some(sampler) = server.sampler {
        measure(&service, sampler);
    }
    if let Some(digests) = server.digests {
        let comparing = compare::run(service.clone(), digests);
        service.tasks.spawn(ending.clone().run_until_cancelled_owned(comparing));
    }
    let reporter = HealthReporter::new();
    let peers = server.giver.map(|giver| Peers::new(giver, &service));
    let everywhere = peers.clone().filter(|_| server.peer_listener.is_none());
    let routes = routes(&service, everywhere, reporter.clone())?;
    let for_peers = server.peer_listener.zip(peers.clone());
    let Server { ready_lag_max, signs, leaving, probes: Telling { answers, state }, .. } = server;
    let telling = told::run(service.clone(), state);
    let telling = ending.clone().run_until_cancelled_owned(telling);
    let health = Health::named(reporter, stores, ready_lag_max, signs.hung, leaving, answers).await;

    let mut listening = JoinSet::new();
    for listener in server.listeners {
        let (routes, door) = (routes.clone(), door.clone());
        listening.spawn(listen::serve(listener, For::Callers, routes, door, ending.clone()));
    }
    if let Some((listener, peers)) = for_peers {
        let routes = Routes::new(peer_server(peers)).prepare();
        listening.spawn(listen::serve(listener, For::Peers, routes, door.clone(), ending.clone()));
    }
    let expiring = async {
        if let Some(peers) = &peers {
            peers.expire().await;
        }
    };
    let tokens = door.follow_tokens(ending.clone());
    let health = health.follow(ending.clone());
    tokio::join!(within_grace(listening, &ending), health, expiring, tokens, telling);
    service.tasks.close();
    service.tasks.wait().await;
    Ok(())
}

/// Measures every store's restores until the node stops.
fn measure(service: &Service, sampler: Sampler) {
    let measurer = Arc::new(Measurer::new(sampler));
    for index in 0..service.stores.all().len() {
        let (measurer, stores) = (measurer.clone(), service.stores.clone());
        let ending = service.ending.clone();
        service.tasks.spawn(async move {
            let store = &stores.all()[index];
            let measuring = measurer.measure(&store.handle, &store.restore_time);
            ending.run_until_cancelled(measuring).await
        });
    }
}

/// Gives open calls their grace once the server ends; then the connections are cut.
async fn within_grace(mut listening: JoinSet<()>, ending: &CancellationToken) {
    ending.cancelled().await;
    let ended = async {
        while let Some(ended) = listening.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a defect of outrigger: a listener's task panicked");
            }
        }
    };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::warn!("some calls did not end in time; their connections are cut");
        listening.shutdown().await;
    }
}

fn routes(
    service: &Service,
    peers: Option<Peers>,
    reporter: HealthReporter,
) -> Result<Routes, ServeError> {
    let store = StoreServer::new(service.clone())
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(RESPONSE_BYTES_MAX);
    let admin = AdminServer::new(service.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
    let health = HealthServer::new(HealthService::from_health_reporter(reporter));
    // Older tools, and Python's library, know only v1alpha.
    let (reflection, reflection_alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
    let details = MapResponseLayer::new(refusals::with_details);
    let routes = Routes::new(details.named_layer(store))
        .add_service(details.named_layer(admin))
        .add_service(health)
        .add_service(reflection)
        .add_service(reflection_alpha);
    let routes = match peers {
        Some(peers) => routes.add_service(peer_server(peers)),
        None => routes,
    };
    Ok(routes.prepare())
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // With it a tool can show the details of an error.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

fn peer_server(peers: Peers) -> PeerServer<Peers> {
    PeerServer::new(peers)
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        // A row that another node has asked for may be larger than any part of a checkpoint.
        .max_encoding_message_size(RESPONSE_BYTES_MAX)
}
