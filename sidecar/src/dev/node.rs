//! One node of a cluster in this process, running or not.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Ack;
use crate::embedded::EmbeddedLog;
use crate::index::StoreIndex;
use crate::peer::PeerConfig;
use crate::probes::Probes;
use crate::runtime::{Inbox, LogHome, StoreHandle, StoreSpec, TopicNews};
use crate::serve::{ClaimError, Claims, ListenError, Memory, Sidecar, SidecarConfig};
use crate::watchdog::Patience;

pub(crate) struct Node {
    data: PathBuf,
    store: &'static str,
    place: Place,
    sidecar: Option<Sidecar>,
}

/// Where a node listens, on 127.0.0.1.
#[derive(Clone, Copy)]
enum Place {
    /// A port that may be taken by others; another one is chosen then.
    Wished(Option<u16>),
    /// Where it listened before, and must again: people and programs keep its URL.
    Kept(SocketAddr),
}

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("it is running already")]
    Running,
    #[error("it is not running")]
    NotRunning,
    #[error(
        "its address {0} was taken by another process: stop that one, then start the node again"
    )]
    AddressTaken(SocketAddr),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error("the system gives no more threads")]
    Threads(#[source] io::Error),
    #[error("{} cannot be removed", path.display())]
    Wipe { path: PathBuf, source: io::Error },
}

/// The memory of each node: several share a machine that also runs what plays with them.
const MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// How long a killed node's port may still be held by the tasks that served it.
const PORT_WAIT: Duration = Duration::from_secs(2);
const PORT_PAUSE: Duration = Duration::from_millis(10);

impl Node {
    pub(super) fn new(data: PathBuf, store: &'static str, port: Option<u16>) -> Node {
        Node { data, store, place: Place::Wished(port), sidecar: None }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.sidecar.is_some()
    }

    /// Returns the handle of its store, while it runs.
    pub(crate) fn handle(&self) -> Option<StoreHandle> {
        self.sidecar.as_ref().map(|sidecar| sidecar.handles().remove(0))
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Returns its URL, even while it does not run: it will be there again.
    pub(crate) fn url(&self) -> String {
        match self.place {
            Place::Kept(address) => format!("http://{address}"),
            Place::Wished(_) => unreachable!("a cluster starts all of its nodes"),
        }
    }

    pub(super) async fn start(&mut self, log: &EmbeddedLog) -> Result<(), NodeError> {
        if self.is_running() {
            return Err(NodeError::Running);
        }
        let claims = match self.place {
            Place::Wished(None) => self.claim(loopback(0)).await?,
            Place::Wished(Some(port)) => match self.claim(loopback(port)).await {
                Err(error) if is_taken(&error) => self.claim(loopback(0)).await?,
                claimed => claimed?,
            },
            Place::Kept(address) => self.claim_again(address).await?,
        };
        let (inbox, sink) = Inbox::new();
        let client = log.client(StoreIndex(0), sink);
        let sidecar = claims.start(inbox, Box::new(client)).map_err(NodeError::Threads)?;
        self.place = Place::Kept(sidecar.address().expect("it was told to listen on TCP"));
        self.sidecar = Some(sidecar);
        Ok(())
    }

    pub(super) async fn kill(&mut self) -> Result<(), NodeError> {
        self.take().ok_or(NodeError::NotRunning)?.crash().await;
        Ok(())
    }

    pub(super) fn wipe(&self) -> Result<(), NodeError> {
        if self.is_running() {
            return Err(NodeError::Running);
        }
        match fs::remove_dir_all(&self.data) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => {
                removed.map_err(|source| NodeError::Wipe { path: self.data.clone(), source })
            }
        }
    }

    pub(super) fn take(&mut self) -> Option<Sidecar> {
        self.sidecar.take()
    }

    async fn claim_again(&self, address: SocketAddr) -> Result<Claims, NodeError> {
        let patience = Instant::now() + PORT_WAIT;
        loop {
            match self.claim(address).await {
                Err(error) if is_taken(&error) && Instant::now() < patience => {
                    tokio::time::sleep(PORT_PAUSE).await;
                }
                Err(error) if is_taken(&error) => return Err(NodeError::AddressTaken(address)),
                claimed => return Ok(claimed?),
            }
        }
    }

    async fn claim(&self, listen: SocketAddr) -> Result<Claims, ClaimError> {
        let store = StoreSpec {
            name: self.store.to_owned(),
            topic: self.store.to_owned(),
            news: TopicNews::default(),
            home: LogHome::Embedded,
        };
        let Memory { resources, limits, .. } = Memory::shared(MEMORY_BYTES, 1);
        Claims::take(SidecarConfig {
            data: self.data.clone(),
            stores: vec![store],
            limits,
            resources,
            restore_rate: None,
            listen: Some(listen),
            tls: None,
            peer_listen: None,
            socket: None,
            ready_lag_max: None,
            ack: Ack::default(),
            sampler: None,
            peer: PeerConfig::default(),
            access: None,
            probes: Probes::untold(),
            patience: Patience::PRODUCTION,
        })
        .await
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn is_taken(error: &ClaimError) -> bool {
    matches!(error, ClaimError::Listen(ListenError::AddressInUse { .. }))
}
