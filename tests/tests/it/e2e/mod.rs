//! The main job end to end: real brokers, real processes, and what callers were told against what is there.

mod applied;
mod bad_input;
mod birth;
mod cache;
mod cli;
mod cluster;
mod compaction;
mod exec;
pub(crate) mod interop;
mod leaderless;
mod losses;
mod operator;
mod outage;
pub(crate) mod peers;
mod plan;
mod power;
mod refusals;
mod renewal;
mod reseed;
mod secured;
mod slow_disk;
pub(crate) mod verify;
mod wait;
mod watch;

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use outrigger_client::proto::v1::Phase;
use outrigger_client::{StoreStatus, proto::v1::StallKind};
use outrigger_tests::kafka::{Cluster, Topic, TopicSpec};
use outrigger_tests::node::Node;
use tempfile::TempDir;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Runs a test to its end; a panic in it fails the test like an error does.
pub(crate) fn run(test: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(test)
}

/// A topic on the shared broker and a directory for nodes.
pub(crate) struct Place {
    pub(crate) topic: Topic,
    pub(crate) bootstrap: String,
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) fn new(name: &str, spec: TopicSpec) -> Result<Place> {
        let cluster = Cluster::shared()?;
        let topic = cluster.topic(name, spec)?;
        Ok(Place { topic, bootstrap: cluster.bootstrap(), dir: TempDir::new()? })
    }

    pub(crate) fn node(&self, name: &str) -> Result<Node> {
        Node::new(self.dir.path(), name, &self.bootstrap, self.topic.name())
    }

    pub(crate) async fn ready_node(&self, name: &str) -> Result<Node> {
        let mut node = self.node(name)?;
        node.start().await?;
        node.until_ready().await?;
        Ok(node)
    }
}

pub(crate) fn has_stall(status: &StoreStatus, kind: StallKind) -> bool {
    status.stalls.iter().any(|stall| stall.kind() == kind)
}

fn refused(status: &StoreStatus) -> bool {
    status.phase() == Phase::Refused
}

/// The newest position that the node has put on disk.
fn durable(status: &StoreStatus) -> u64 {
    status.partitions.iter().map(|partition| partition.durable).min().unwrap_or(0)
}
