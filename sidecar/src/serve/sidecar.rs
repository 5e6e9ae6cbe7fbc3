//! One whole sidecar: runtime, gRPC server, health. Serve, dev and demo assemble it here, and only here.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use outrigger_core::limits::Limits;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::listen::{self, ListenError, SocketFile};
use super::{keeper, observer};
use crate::access::Access;
use crate::config::{Ack, PeerListen, SocketConfig};
use crate::forward::Forwarder;
use crate::giver::Giver;
use crate::grpc::{self, Listener};
use crate::log::Log;
use crate::peer::{Digests, PeerConfig, Taker};
use crate::probes::Telling;
use crate::release::Release;
use crate::restore_time::Sampler;
use crate::rocks::{DataDir, DataDirError, Resources};
use crate::runtime::{Drained, Inbox, Runtime, RuntimeConfig, StoreHandle, StoreSpec};
use crate::tls::{Renewal, TlsError, TlsFiles, TlsServer};
use crate::watchdog::Patience;

#[derive(Clone)]
pub struct SidecarConfig {
    pub data: PathBuf,
    /// The stores, in the order of `StoreIndex`.
    pub stores: Vec<StoreSpec>,
    pub limits: Limits,
    pub resources: Resources,
    /// Bytes per second that restores may read at first, all stores together; none: as fast as they can.
    pub restore_rate: Option<NonZeroU64>,
    pub listen: Option<SocketAddr>,
    /// TLS of `listen`; none: it speaks plain text.
    pub tls: Option<TlsFiles>,
    /// Where other nodes ask for copies; none: where everybody calls.
    pub peer_listen: Option<PeerListen>,
    pub socket: Option<SocketConfig>,
    pub ready_lag_max: Option<u64>,
    pub ack: Ack,
    /// Without one nobody can tell how long a restore takes.
    pub sampler: Option<Sampler>,
    pub peer: PeerConfig,
    /// Who may do what; none: nobody is asked who it is.
    pub access: Option<Arc<Access>>,
    /// Where the answers to probes are told.
    pub probes: Telling,
    pub patience: Patience,
}

/// What a sidecar needs for itself alone, taken before anything else is touched.
pub struct Claims {
    config: SidecarConfig,
    data: DataDir,
    listeners: Vec<Listener>,
    peer_listener: Option<Listener>,
    renewals: Vec<Renewal>,
    address: Option<SocketAddr>,
    socket: Option<SocketFile>,
}

pub struct Sidecar {
    runtime: Runtime,
    address: Option<SocketAddr>,
    socket: Option<SocketFile>,
    server: Server,
    release: Release,
}

#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error(transparent)]
    Data(#[from] DataDirError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The tasks that answer requests, feed the metrics, and look at files and cursors.
struct Server {
    /// Cancelled to say that the node is going; it serves as before.
    leaving: CancellationToken,
    /// Cancelled to accept nothing more, end the streams and answer what is under way.
    stop: CancellationToken,
    grpc: JoinHandle<Result<(), grpc::ServeError>>,
    observers: Vec<JoinHandle<()>>,
}

impl Claims {
    pub async fn take(config: SidecarConfig) -> Result<Claims, ClaimError> {
        let data = lock(config.data.clone()).await?;
        let mut renewals = Vec::new();
        let (tcp, address) = match config.listen {
            Some(address) => listener(address, &config.tls, &mut renewals).await.map(Some)?,
            None => None,
        }
        .unzip();
        let peer_listener = match &config.peer_listen {
            Some(PeerListen { address, tls }) => {
                Some(listener(*address, tls, &mut renewals).await?.0)
            }
            None => None,
        };
        let (unix, socket) = match &config.socket {
            Some(socket) => Some(listen::unix(socket).await?).unzip(),
            None => (None, None),
        };
        let listeners = tcp.into_iter().chain(unix.map(Listener::Unix)).collect();
        Ok(Claims { config, data, listeners, peer_listener, renewals, address, socket })
    }

    /// Gives everything back, and leaves it as it was found.
    pub(super) fn release(self) {
        if let Some(socket) = self.socket {
            socket.remove();
        }
    }

    /// Starts the sidecar on a `log` that was started with the sink of `inbox`. It fails only when the machine gives no
    /// thread.
    ///
    /// It must be called on a tokio runtime.
    pub fn start(self, inbox: Inbox, log: Box<dyn Log>) -> io::Result<Sidecar> {
        let Claims { config, data, listeners, peer_listener, renewals, address, socket } = self;
        let (ready_lag_max, sampler, peer) = (config.ready_lag_max, config.sampler, config.peer);
        let ack = config.ack;
        let (probes, peer_listen) = (config.probes, config.peer_listen);
        let SidecarConfig { stores, access, limits, resources, restore_rate, patience, .. } =
            config;
        let taker = Taker::new(&peer, data.path());
        let data_path = data.path().to_owned();
        let config = RuntimeConfig { stores, limits, resources, restore_rate, taker, patience };
        let runtime = Runtime::start(config, data, inbox, log)?;
        let release = Release::default();
        let (leaving, stop) = (CancellationToken::new(), CancellationToken::new());
        let observing = tokio::spawn(observer::run(runtime.handles(), runtime.signs()));
        let on_disk = observer::run_on_disk(data_path, runtime.handles());
        let renewing = renewals.into_iter().map(|renewal| tokio::spawn(renewal.run()));
        let keeping = tokio::spawn(keeper::run(runtime.handles()));
        let observers = [observing, tokio::spawn(on_disk), keeping];
        let observers = observers.into_iter().chain(renewing).collect();
        // Whoever gets through to this listener is a node; elsewhere only the secret tells nodes from others.
        let certified = peer_listen.as_ref().and_then(|peers| peers.tls.as_ref());
        let certified = certified.is_some_and(|tls| tls.client_ca.is_some());
        let gives = certified || peer.secret.is_some();
        let giver = Giver::new(&peer, runtime.handles()).filter(|_| gives);
        let server = grpc::Server {
            listeners,
            peer_listener,
            stores: runtime.handles(),
            throttle: runtime.throttle(),
            sampler,
            ready_lag_max,
            ack,
            access,
            giver,
            forwarder: Forwarder::new(&peer),
            digests: Digests::new(&peer),
            signs: runtime.signs(),
            probes,
            leaving: leaving.clone(),
            release: release.clone(),
        };
        let grpc = tokio::spawn(grpc::serve(server, stop.clone()));
        let server = Server { leaving, stop, grpc, observers };
        Ok(Sidecar { runtime, address, socket, server, release })
    }
}

/// Listens at an address, with what its files of TLS hold, if there are any.
async fn listener(
    address: SocketAddr,
    tls: &Option<TlsFiles>,
    renewals: &mut Vec<Renewal>,
) -> Result<(Listener, SocketAddr), ClaimError> {
    let tls = tls.clone().map(TlsServer::read).transpose()?;
    let tcp = listen::tcp(address).await?;
    // The system chooses a port that was left to it.
    let address = tcp.local_addr().unwrap_or(address);
    Ok(match tls {
        Some((server, renewal)) => {
            renewals.push(renewal);
            (Listener::Tls(tcp, server), address)
        }
        None => (Listener::Tcp(tcp), address),
    })
}

/// Locks the data directory. A disk that hangs is named: nobody answers a call that could.
async fn lock(path: PathBuf) -> Result<DataDir, DataDirError> {
    let named = path.clone();
    let mut locking = tokio::task::spawn_blocking(move || DataDir::lock(&path));
    loop {
        match tokio::time::timeout(Limits::PRODUCTION.stall_after, &mut locking).await {
            Ok(locked) => return locked.expect("locking a directory does not panic"),
            Err(_slow) => tracing::warn!(
                data = %named.display(),
                "the data directory does not answer: check its disk; the start goes on by itself when it does"
            ),
        }
    }
}

impl Sidecar {
    /// Returns the stores' handles, by store index.
    pub fn handles(&self) -> Vec<StoreHandle> {
        self.runtime.handles()
    }

    /// Returns the address of the gRPC server, with the port that the system chose, where it was left to it.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Waits until the server has ended by itself, which it does not do while all is well.
    pub async fn failed(&mut self) -> String {
        match (&mut self.server.grpc).await {
            Ok(Ok(())) => "it stopped".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Ends readiness; calls are served as before.
    pub fn leave(&self) {
        self.release.leave();
        self.server.leaving.cancel();
    }

    /// Returns where the application says that it is done.
    pub fn release(&self) -> Release {
        self.release.clone()
    }

    /// Takes nothing new, answers what is under way, flushes and ends. Its time is bounded.
    pub async fn drain(self) -> Drained {
        let Sidecar { runtime, socket, server, .. } = self;
        // Both end together: the answers that the server waits for come from the runtime.
        let (drained, ()) = tokio::join!(runtime.drain(), server.end());
        if let Some(socket) = socket {
            socket.remove();
        }
        drained
    }

    /// Ends as `kill -9` would end it: nothing is answered, nothing is flushed.
    pub async fn crash(self) {
        self.server.grpc.abort();
        for observer in &self.server.observers {
            observer.abort();
        }
        self.runtime.crash().await;
    }
}

impl Server {
    /// Ends the server. Its time is bounded: the server cuts off whoever does not take its answers.
    async fn end(self) {
        for observer in &self.observers {
            observer.abort();
        }
        self.stop.cancel();
        // A server that failed was waited for and told already.
        if self.grpc.is_finished() {
            return;
        }
        match self.grpc.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the gRPC server did not end in order"),
            Err(error) => tracing::error!(%error, "the gRPC server did not end in order"),
        }
    }
}
