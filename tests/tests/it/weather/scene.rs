//! What is played in each weather.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::{Client, Store};
use outrigger_client::{StoreStatus, proto::v1::Phase};
use outrigger_core::offset::{Offset, Partition};
use outrigger_tests::kafka::{Cluster, Topic, TopicSpec};
use outrigger_tests::node::{Node, STORE};
use outrigger_tests::weather::{Proxy, Weather};
use outrigger_tests::writers::{self, Writers, Writes};
use tempfile::TempDir;
use tokio::task::block_in_place;

/// Where the weather is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The way between Kafka and all nodes but the first.
    Brokers,
    /// The way between the second node and its callers.
    Callers,
    /// The way between the third node, which has lost its disk, and the first, which could give it
    /// a copy.
    Peers,
}

/// What is expected while the weather lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Whoever is in it does its work, if slowly.
    Works,
    /// Whoever is in it cannot, and says so.
    Stalls,
}

/// It is counted from the end of the weather, or from its beginning where things work in it.
const SOON: Duration = Duration::from_secs(60);

/// A caller in bad weather waits this long for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);

const PARTITIONS: u32 = 2;
const P0: Partition = Partition(0);
const KEYS: u64 = 40;
const PAUSE: Duration = Duration::from_millis(5);

/// This many records are enough for a peer to be asked.
const RECORDS: usize = 12_000;
const VALUE_BYTES: usize = 500;

struct Scene<'a> {
    cluster: &'a Cluster,
    topic: Topic,
    place: Place,
    /// The proxy of callers or of peers.
    proxy: Proxy,
    nodes: Vec<Node>,
    _directory: TempDir,
}

pub(super) async fn play(
    cluster: &Cluster,
    place: Place,
    weather: Weather,
    expected: Expected,
) -> Result<()> {
    let mut scene = Scene::begin(cluster, place).await?;
    let ways = scene.ways_of_callers();
    let steady = Client::connect(&ways[1]).await?.store(STORE).with_write_deadline(ANSWER_MAX);
    let writers = Writers::start_paced(ways, KEYS, PAUSE);
    steady.put("steady", "before").await?;

    let began = Instant::now();
    scene.set(weather);
    let outcome = scene.through(&steady, expected).await;
    let lasted = began.elapsed();
    scene.set(Weather::Clear);
    outcome?;
    let back = scene.come_back(&steady).await?;

    let history = writers.stop().await?;
    let writes = Writes::of(&history);
    eprintln!(
        "{:<40} {place:?}: lasted {lasted:.1?}, back after {back:.1?}; {} acknowledged, {} did not happen, {} unknown, \
         the longest took {:.1?}",
        format!("{weather:?}"),
        writes.acknowledged,
        writes.did_not_happen,
        writes.unknown,
        writes.longest,
    );
    scene.at_the_end().await?;
    writers::judge(&scene.nodes, &history).await?;
    let folded = block_in_place(|| writers::fold(&scene.topic))?;
    ensure!(
        writers::rows(&scene.nodes[0]).await? == folded,
        "the copies are not what the log says"
    );
    ensure!(writes.acknowledged > 0, "somebody wrote");
    Ok(())
}

impl<'a> Scene<'a> {
    /// Starts all nodes, and waits until they are READY in clear weather.
    async fn begin(cluster: &'a Cluster, place: Place) -> Result<Scene<'a>> {
        let topic = cluster.topic("weather", TopicSpec::store().partitions(PARTITIONS))?;
        block_in_place(|| writers::fill(&topic, RECORDS, VALUE_BYTES))?;
        let directory = TempDir::new()?;
        let secret = directory.path().join("secret");
        std::fs::write(&secret, "of-all-nodes-of-the-test")?;
        let secret = secret.to_str().context("a path of text")?;
        let node = |name: &str, bootstrap: &str| {
            let node = Node::new(directory.path(), name, bootstrap, topic.name())?;
            Ok::<_, anyhow::Error>(node.with_args(&["--peer-secret-file", secret]))
        };
        let direct = cluster.bootstrap();
        let rough = if place == Place::Brokers { cluster.outside() } else { direct.clone() };
        let (first, second) = (node("one", &direct)?, node("two", &rough)?);
        let third = node("three", &rough)?;
        let (proxy, third) = match place {
            Place::Brokers | Place::Callers => (Proxy::before(second.address())?, third),
            Place::Peers => {
                let proxy = Proxy::before(first.address())?;
                let third = third.with_args(&["--peers", &proxy.url()]);
                (proxy, third)
            }
        };
        let mut nodes = vec![first, second, third];
        for node in &mut nodes {
            node.start().await?;
        }
        for node in &nodes {
            node.until_ready().await?;
        }
        Ok(Scene { cluster, topic, place, proxy, nodes, _directory: directory })
    }

    fn ways_of_callers(&self) -> Vec<String> {
        let second = match self.place {
            Place::Callers => self.proxy.url(),
            Place::Brokers | Place::Peers => self.nodes[1].url(),
        };
        vec![self.nodes[0].url(), second]
    }

    fn set(&self, weather: Weather) {
        match self.place {
            Place::Brokers => self.cluster.set_weather(weather),
            Place::Callers | Place::Peers => self.proxy.set(weather),
        }
    }

    /// Does everything that happens while the weather lasts.
    async fn through(&mut self, steady: &Store, expected: Expected) -> Result<()> {
        match (self.place, expected) {
            (Place::Brokers, Expected::Works) => {
                self.keeps_up(1).await.context("in the weather")?
            }
            (Place::Brokers, Expected::Stalls) => self.names_its_stall(1).await?,
            (Place::Callers, Expected::Works) => written(steady, "in it").await?,
            (Place::Callers, Expected::Stalls) => {
                ensure!(steady.put("steady", "in it").await.is_err(), "nobody can have answered");
            }
            (Place::Peers, _) => {}
        }
        self.change_leader()?;
        let [_, second, third] = &mut self.nodes[..] else { unreachable!("there are three") };
        third.kill()?;
        third.wipe()?;
        third.start().await?;
        second.kill()?;
        second.start().await?;
        for node in [1, 2] {
            match (self.place, expected) {
                (Place::Brokers, Expected::Stalls) => self.names_its_stall(node).await?,
                (Place::Brokers, Expected::Works) | (Place::Callers | Place::Peers, _) => {
                    self.keeps_up(node).await.with_context(|| format!("node {node}, restarted"))?;
                }
            }
        }
        Ok(())
    }

    /// Suspends the leader of a partition until there is another one, where there can be.
    fn change_leader(&self) -> Result<()> {
        if self.cluster.brokers() == 1 {
            return Ok(());
        }
        let leader = block_in_place(|| self.topic.leader(P0))?;
        self.cluster.pause(leader)?;
        let changed = block_in_place(|| self.topic.await_other_leader(P0, leader));
        self.cluster.resume(leader)?;
        changed
    }

    /// Waits until the node is READY, with everything that the log had when this was asked.
    async fn keeps_up(&self, node: usize) -> Result<()> {
        let ends = self.ends()?;
        self.nodes[node].until("keeps up", SOON, |status| is_at(status, &ends)).await?;
        Ok(())
    }

    async fn names_its_stall(&self, node: usize) -> Result<()> {
        let named = |status: &StoreStatus| !status.stalls.is_empty();
        self.nodes[node].until("the stall has a name", SOON, named).await?;
        Ok(())
    }

    /// Waits until everybody is back without help. Returns how long that took.
    async fn come_back(&self, steady: &Store) -> Result<Duration> {
        let began = Instant::now();
        for node in 0..self.nodes.len() {
            self.keeps_up(node).await.with_context(|| format!("node {node}, after the weather"))?;
        }
        written(steady, "after").await?;
        Ok(began.elapsed())
    }

    /// Waits until all have read everything: nobody writes any more.
    async fn at_the_end(&self) -> Result<()> {
        for node in 0..self.nodes.len() {
            self.keeps_up(node).await.with_context(|| format!("node {node}, at the end"))?;
        }
        Ok(())
    }

    fn ends(&self) -> Result<Vec<Offset>> {
        let ends = |partition| Ok(self.topic.ends(partition)?.1);
        block_in_place(|| Partition::all(PARTITIONS).map(ends).collect())
    }
}

/// Writes by one and the same handle, which is not made anew.
async fn written(store: &Store, value: &str) -> Result<()> {
    let deadline = Instant::now() + SOON;
    while let Err(error) = store.put("steady", value).await {
        ensure!(Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn is_at(status: &StoreStatus, ends: &[Offset]) -> bool {
    let positions = status.partitions.iter().map(|partition| partition.position);
    status.phase() == Phase::Ready
        && status.partitions.len() == ends.len()
        && positions.zip(ends).all(|(position, end)| position >= end.0)
}
