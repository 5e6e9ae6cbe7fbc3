//! Three brokers, three nodes and their callers, each of them behind proxies.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::StoreStatus;
use outrigger_client::proto::v1::Phase;
use outrigger_core::offset::{Offset, Partition};
use outrigger_sim::history::History;
use tempfile::TempDir;
use tokio::task::{JoinHandle, block_in_place};

use super::events::{Event, Place};
use super::flat::Series;
use crate::kafka::{Cluster, Topic, TopicSpec};
use crate::node::Node;
use crate::usage::Usage;
use crate::weather::{Proxy, Weather};
use crate::writers::{self, Writers};

const BROKERS: usize = 3;
const PARTITIONS: u32 = 2;
const P0: Partition = Partition(0);

/// There are so many records that a node which lost its disk asks a peer.
const RECORDS: usize = 12_000;
const VALUE_BYTES: usize = 500;

const KEYS: u64 = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// After an event everybody is back within this time, without help.
const BACK_MAX: Duration = Duration::from_secs(90);

/// How long the weather is clear between two events.
const CALM: Duration = Duration::from_secs(3);
const SAMPLE_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Site {
    cluster: Cluster,
    topic: Topic,
    nodes: Vec<Node>,
    /// The proxies before each node: one for its callers, one for its peers.
    callers: Vec<Proxy>,
    peers: Vec<Proxy>,
    /// The samples of the node that is never restarted. The lock is held for one addition.
    series: Arc<Mutex<Series>>,
    sampling: JoinHandle<Result<()>>,
    _directory: TempDir,
}

impl Site {
    pub(super) async fn open() -> Result<Site> {
        let cluster = block_in_place(|| Cluster::start_behind_proxies(BROKERS, &[]))?;
        // Compaction comes by, and tombstones outlive the longest weather.
        let spec = TopicSpec::fast_compaction()
            .partitions(PARTITIONS)
            .set("delete.retention.ms", "60000")
            .set("max.compaction.lag.ms", "10000")
            .set("min.compaction.lag.ms", "5000");
        let topic = cluster.topic("soak", spec)?;
        block_in_place(|| writers::fill(&topic, RECORDS, VALUE_BYTES))?;
        let directory = TempDir::new()?;
        let (nodes, callers, peers) = nodes(&cluster, &topic, &directory)?;
        let series = Arc::default();
        let sampling = tokio::spawn(async { Ok(()) });
        let mut site =
            Site { cluster, topic, nodes, callers, peers, series, sampling, _directory: directory };
        for node in &mut site.nodes {
            node.start().await?;
        }
        site.back().await?;
        let process = site.nodes[0].process()?;
        site.sampling = tokio::spawn(sample(process, Arc::clone(&site.series)));
        Ok(site)
    }

    pub(super) fn writers(&self) -> Writers {
        Writers::start_paced(self.callers.iter().map(Proxy::url).collect(), KEYS, PAUSE)
    }

    /// Lets the event happen and end. Returns how long it then takes until all are back.
    pub(super) async fn meet(&mut self, event: Event) -> Result<Duration> {
        match event {
            Event::Weather(place, weather, lasts) => {
                self.set(place, weather);
                tokio::time::sleep(lasts).await;
                self.set(place, Weather::Clear);
            }
            Event::Kill(node) => {
                self.nodes[node.number()].kill()?;
                self.nodes[node.number()].start().await?;
            }
            Event::Stop(node) => {
                let ended = block_in_place(|| self.nodes[node.number()].stop())?;
                ensure!(ended.code() == Some(0), "the drain ended with {ended}");
                self.nodes[node.number()].start().await?;
            }
            Event::Wipe(node) => {
                self.nodes[node.number()].kill()?;
                self.nodes[node.number()].wipe()?;
                self.nodes[node.number()].start().await?;
            }
            Event::ChangeLeader => block_in_place(|| self.change_leader())?,
        }
        let began = Instant::now();
        self.back().await?;
        let back = began.elapsed();
        tokio::time::sleep(CALM).await;
        Ok(back)
    }

    fn set(&self, place: Place, weather: Weather) {
        match place {
            Place::Brokers => self.cluster.set_weather(weather),
            Place::Callers => {
                for proxy in &self.callers {
                    proxy.set(weather);
                }
            }
            Place::Peers => {
                for proxy in &self.peers {
                    proxy.set(weather);
                }
            }
        }
    }

    fn change_leader(&self) -> Result<()> {
        self.topic.await_in_sync(P0, BROKERS)?;
        let leader = self.topic.leader(P0)?;
        self.cluster.pause(leader)?;
        let changed = self.topic.await_other_leader(P0, leader);
        self.cluster.resume(leader)?;
        changed
    }

    /// Waits until all are READY with what the log has now.
    async fn back(&self) -> Result<()> {
        let ends = |partition| Ok(self.topic.ends(partition)?.1);
        let ends: Vec<Offset> =
            block_in_place(|| Partition::all(PARTITIONS).map(ends).collect::<Result<_>>())?;
        for (number, node) in self.nodes.iter().enumerate() {
            let back = node.until("back", BACK_MAX, |status| is_at(status, &ends)).await;
            back.with_context(|| format!("node {number}"))?;
        }
        Ok(())
    }

    pub(super) async fn judge(&self, history: &History) -> Result<()> {
        self.back().await?;
        writers::judge(&self.nodes, history).await?;
        let folded = block_in_place(|| writers::fold(&self.topic))?;
        let rows = writers::rows(&self.nodes[0]).await?;
        ensure!(rows == folded, "the copies are not what the log says");
        Ok(())
    }

    /// Prints what the node that never restarted took, and checks that it grew no more.
    pub(super) fn flat(&self) -> Result<()> {
        ensure!(!self.sampling.is_finished(), "the first node's process could not be looked at");
        self.sampling.abort();
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        for line in series.judge()? {
            println!("the first node, {line}");
        }
        for (number, node) in self.nodes.iter().enumerate() {
            println!("node {} at the end: {:?}", number + 1, Usage::of(node.process()?)?);
        }
        Ok(())
    }
}

type Behind = (Vec<Node>, Vec<Proxy>, Vec<Proxy>);

/// Each node's peers are the other two, through their proxies.
fn nodes(cluster: &Cluster, topic: &Topic, directory: &TempDir) -> Result<Behind> {
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "of-all-nodes-of-the-soak")?;
    let secret = secret.to_str().context("a path of text")?;
    let node = |name| Node::new(directory.path(), name, &cluster.outside(), topic.name());
    let nodes = ["one", "two", "three"].map(node).into_iter().collect::<Result<Vec<_>>>()?;
    let before = |node: &Node| Proxy::before(node.address());
    let callers: Vec<Proxy> = nodes.iter().map(before).collect::<Result<_>>()?;
    let peers: Vec<Proxy> = nodes.iter().map(before).collect::<Result<_>>()?;
    let with_peers = |(number, node): (usize, Node)| {
        let others = peers.iter().enumerate().filter(|(other, _)| *other != number);
        let others: Vec<String> = others.map(|(_, proxy)| proxy.url()).collect();
        node.with_args(&["--peer-secret-file", secret, "--peers", &others.join(",")])
    };
    let nodes = nodes.into_iter().enumerate().map(with_peers).collect();
    Ok((nodes, callers, peers))
}

/// Takes samples until this is aborted, or the process is gone.
async fn sample(process: u32, series: Arc<Mutex<Series>>) -> Result<()> {
    loop {
        let usage = Usage::of(process)?;
        series.lock().unwrap_or_else(PoisonError::into_inner).add(&usage);
        tokio::time::sleep(SAMPLE_EVERY).await;
    }
}

fn is_at(status: &StoreStatus, ends: &[Offset]) -> bool {
    let positions = status.partitions.iter().map(|partition| partition.position);
    status.phase() == Phase::Ready
        && status.partitions.len() == ends.len()
        && positions.zip(ends).all(|(position, end)| position >= end.0)
}
