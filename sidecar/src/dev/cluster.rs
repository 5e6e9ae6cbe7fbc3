//! A few nodes on one embedded log, in this process: each a whole sidecar with a disk and a port of its own.
//!
//! What they share is the log and the process, as machines share a network. Nodes are stopped, wiped and
//! started one by one; this knows nothing of prompts, and nothing of what the nodes hold.

use std::fmt;
use std::path::Path;

use super::node::{Node, NodeError};
use crate::embedded::{EmbeddedConfig, EmbeddedLog, OpenLogError};
use crate::runtime::Drained;

/// The number of one node of the cluster it was made for. People count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeNumber(usize);

pub(crate) struct ClusterConfig {
    pub(crate) nodes: u16,
    /// The name of the store and its topic.
    pub(crate) store: &'static str,
    pub(crate) log: EmbeddedConfig,
    /// The first node's port, if it is free; the others follow. None: the system chooses the ports.
    pub(crate) port: Option<u16>,
}

pub(crate) struct Cluster {
    nodes: Vec<Node>,
    /// The log is dropped after the nodes: they end while it is there.
    log: EmbeddedLog,
}

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    Log(#[from] OpenLogError),
    #[error("node {number}")]
    Node { number: NodeNumber, source: NodeError },
}

impl Cluster {
    /// Opens the log and starts every node, with whatever data is in `dir`.
    pub(crate) async fn start(dir: &Path, config: ClusterConfig) -> Result<Cluster, ClusterError> {
        let log = EmbeddedLog::open(&dir.join("log"), config.log)?;
        let nodes = (0..config.nodes).map(|index| {
            let port = config.port.and_then(|first| first.checked_add(index));
            Node::new(dir.join(format!("node-{}", index + 1)), config.store, port)
        });
        let mut cluster = Cluster { nodes: nodes.collect(), log };
        for number in cluster.numbers() {
            cluster.start_node(number).await?;
        }
        Ok(cluster)
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = NodeNumber> + use<> {
        (1..=self.nodes.len()).map(NodeNumber)
    }

    pub(crate) fn size(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, number: NodeNumber) -> &Node {
        &self.nodes[number.0 - 1]
    }

    pub(crate) async fn start_node(&mut self, number: NodeNumber) -> Result<(), ClusterError> {
        let node = &mut self.nodes[number.0 - 1];
        let started = node.start(&self.log).await;
        started.map_err(|source| ClusterError::Node { number, source })
    }

    /// Ends a node as `kill -9` does: what the node had not flushed is forgotten.
    pub(crate) async fn kill(&mut self, number: NodeNumber) -> Result<(), ClusterError> {
        let killed = self.nodes[number.0 - 1].kill().await;
        killed.map_err(|source| ClusterError::Node { number, source })
    }

    /// Removes everything that the node has on its disk. It must be stopped.
    pub(crate) fn wipe(&self, number: NodeNumber) -> Result<(), ClusterError> {
        let wiped = self.node(number).wipe();
        wiped.map_err(|source| ClusterError::Node { number, source })
    }

    /// Ends all nodes in order, then the log.
    pub(crate) async fn drain(self) -> Drained {
        let Cluster { mut nodes, log } = self;
        let mut drains = tokio::task::JoinSet::new();
        for sidecar in nodes.iter_mut().filter_map(Node::take) {
            drains.spawn(sidecar.drain());
        }
        let drained = drains.join_all().await;
        drop(log);
        if drained.contains(&Drained::TimeUp) { Drained::TimeUp } else { Drained::Flushed }
    }
}

impl NodeNumber {
    /// Returns the node's number; none when a cluster of this many nodes has no such node.
    pub(crate) fn of(number: usize, nodes: usize) -> Option<NodeNumber> {
        (1..=nodes).contains(&number).then_some(NodeNumber(number))
    }
}

impl fmt::Display for NodeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
