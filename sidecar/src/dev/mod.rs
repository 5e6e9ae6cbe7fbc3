//! `outrigger dev`: a small cluster on an embedded log, kept on disk, with a prompt to break it.
//!
//! Everything a node does here it does in production, but for the log: that is the model of Kafka, in this
//! process and journalled. The prompt stops, wipes and starts nodes; reads and writes come over gRPC, from
//! other terminals. The end of its input, `quit` and signals end it in order.

pub(crate) mod cluster;
mod home;
mod news;
pub(crate) mod node;
mod prompt;
mod session;
mod welcome;

use std::path::PathBuf;

use outrigger_core::topic::TopicPolicy;

pub use self::cluster::{ClusterError, NodeNumber};
pub use self::home::HomeError;
pub use self::node::NodeError;
pub use self::session::run;
pub(crate) use self::welcome::alias;

use crate::exit::Exit;
use crate::rocks::DataDirError;
use crate::serve::ClaimError;

#[derive(Clone, Debug)]
pub struct DevConfig {
    pub nodes: u16,
    /// Where log and nodes keep their data; none: below the user's data directory.
    pub data: Option<PathBuf>,
    /// The first node's port; the others follow.
    pub port: u16,
}

#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error("the dev cluster cannot run")]
    Cluster(#[from] ClusterError),
    #[error("the system gives no signals")]
    Signals(#[source] std::io::Error),
}

impl DevError {
    pub fn exit(&self) -> Exit {
        match self {
            DevError::Home(_) => Exit::DataDirectory,
            DevError::Cluster(error) => error.exit(),
            DevError::Signals(_) => Exit::TryAgain,
        }
    }
}

impl ClusterError {
    pub fn exit(&self) -> Exit {
        match self {
            ClusterError::Log(_) => Exit::DataDirectory,
            ClusterError::Node { source, .. } => match source {
                NodeError::Claim(ClaimError::Data(DataDirError::InUse { .. })) => {
                    Exit::DataDirectory
                }
                NodeError::Claim(ClaimError::Data(_)) | NodeError::Wipe { .. } => Exit::InputOutput,
                NodeError::Claim(ClaimError::Listen(_)) | NodeError::AddressTaken(_) => {
                    Exit::Unavailable
                }
                NodeError::Threads(_) => Exit::TryAgain,
                // These nodes speak no TLS.
                NodeError::Claim(ClaimError::Tls(_))
                | NodeError::Running
                | NodeError::NotRunning => Exit::Internal,
            },
        }
    }
}

/// Returns the policy of a log that this process is all of: one copy of it, and therefore one in sync.
pub(crate) fn topic_policy(min_compaction_lag_ms: u64) -> TopicPolicy {
    TopicPolicy { min_compaction_lag_ms, ..TopicPolicy::safe(1) }
}
