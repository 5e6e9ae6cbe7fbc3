//! What whoever watches over the node hears: whether it lives, is ready, has started, and if not, why not; and how its
//! stores and its peers are.

use std::sync::Arc;
use std::time::Instant;

use outrigger_proto::v1::NodeStatus;
use tokio::sync::watch;

/// What an orchestrator asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Probe {
    /// Every store has been READY since the process began
    Started,
    /// Every store is READY, and the node is not about to stop
    Ready,
    /// Its work goes on
    Live,
}

/// The answers, kept up to date by whoever serves the stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probes {
    /// Why the node does not live, a sentence each; empty while it does.
    pub not_live: Vec<String>,
    /// Why it is not ready.
    pub not_ready: Vec<String>,
    /// Why it has not started.
    pub not_started: Vec<String>,
}

/// Where it is told. A clone is a reference to the same.
#[derive(Clone, Debug)]
pub struct Telling {
    pub(crate) answers: watch::Sender<Probes>,
    /// As Status tells it, and when: a second ago at most, while the node serves.
    pub(crate) state: watch::Sender<(Instant, NodeStatus)>,
}

/// Where it is heard.
#[derive(Clone, Debug)]
pub struct Told {
    pub(crate) answers: watch::Receiver<Probes>,
    pub(crate) state: watch::Receiver<(Instant, NodeStatus)>,
}

/// How the peers are, as far as they were asked. Whoever calls it has them asked again.
pub type Peers = Arc<dyn Fn() -> Arc<[PeerTold]> + Send + Sync>;

/// What was learnt of a peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerTold {
    /// Where it was asked.
    pub address: String,
    /// What it said, or why it said nothing.
    pub said: Result<PeerSaid, String>,
}

/// How a peer is, as it says.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerSaid {
    pub version: String,
    /// The node has asked itself.
    pub is_this_node: bool,
    /// How old that state is; none: it does not say.
    pub state_age_ms: Option<u64>,
    pub stores: Vec<PeerStore>,
}

/// How a store is on a peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStore {
    pub store: String,
    /// The name of its phase.
    pub phase: String,
    /// The names of what holds it up.
    pub stalls: Vec<String>,
    pub lag_records: Option<u64>,
    pub confirmed_age_ms: Option<u64>,
    pub restore_fraction: Option<f64>,
}

impl Probe {
    pub const ALL: [Probe; 3] = [Probe::Started, Probe::Ready, Probe::Live];

    /// Returns its path over HTTP.
    pub fn path(self) -> &'static str {
        match self {
            Probe::Started => "/started",
            Probe::Ready => "/ready",
            Probe::Live => "/live",
        }
    }

    /// Returns the service of gRPC's health that answers it.
    pub fn service(self) -> &'static str {
        match self {
            Probe::Started => "startup",
            Probe::Ready => "readiness",
            Probe::Live => "liveness",
        }
    }
}

impl Telling {
    pub fn subscribe(&self) -> Told {
        Told { answers: self.answers.subscribe(), state: self.state.subscribe() }
    }
}

impl Probes {
    /// Returns where it is told of a node that has begun.
    pub fn untold() -> Telling {
        Telling {
            answers: watch::Sender::new(Probes::starting()),
            state: watch::Sender::new((Instant::now(), NodeStatus::default())),
        }
    }

    /// The answers before anything is served.
    pub fn starting() -> Probes {
        let waits = vec!["the node begins".to_owned()];
        Probes { not_live: Vec::new(), not_ready: waits.clone(), not_started: waits }
    }

    /// Returns why the answer is no; nothing: it is yes.
    pub fn against(&self, probe: Probe) -> &[String] {
        match probe {
            Probe::Started => &self.not_started,
            Probe::Ready => &self.not_ready,
            Probe::Live => &self.not_live,
        }
    }
}
