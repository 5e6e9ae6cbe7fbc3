//! Two stores in one process: what happens to the topic of one is nothing to the writes of the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use outrigger_client::proto::v1::{Phase, StallKind};
use outrigger_client::{Client, Store};
use outrigger_core::offset::Partition;
use outrigger_tests::kafka::{Cluster, Topic, TopicSpec};
use outrigger_tests::node::Node;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{MINUTE, POLL, run};
use crate::e2e::has_stall;

const PAUSE: Duration = Duration::from_millis(5);

/// Writes that are under way when their leader stops answering.
const AT_ONCE: usize = 20;

/// A cluster that takes no broker for dead, and keeps a replica among those that are waited for, for as long as a test
/// takes: it elects no other leader for the calm topic when the broker that hangs is its controller.
const PATIENT: [(&str, &str); 2] =
    [("broker.session.timeout.ms", "300000"), ("replica.lag.time.max.ms", "300000")];

#[test]
fn a_leader_that_hangs_and_a_topic_that_is_deleted_cost_the_other_store_no_write() -> Result<()> {
    run(async {
        let cluster = Cluster::start(3, &PATIENT)?;
        let spec = TopicSpec::store().replicas(1);
        let troubled = cluster.topic("troubled", spec.clone())?;
        let leader = troubled.leader(Partition(0))?;
        let calm = led(&cluster, &spec, |calm_leader| calm_leader != leader)?;
        let (node, _dir) = node_of_two(&cluster, &troubled, &calm).await?;
        let client = Client::connect(&node.url()).await?;
        let store = client.store("troubled");
        let beside = Beside::start(client.store("calm"));

        for _ in 0..2 {
            cluster.pause(leader)?;
            let hanging = (0..AT_ONCE).map(|number| put(&store, number));
            for answer in hanging.collect::<Vec<_>>() {
                ensure!(answer.await?.is_err(), "acknowledged by a leader that hangs");
            }
            cluster.resume(leader)?;
            until_written(&store).await?;
        }
        troubled.delete()?;
        let answer = put(&store, 0).await?;
        ensure!(answer.is_err(), "written to a topic that is gone");
        let deadline = Instant::now() + MINUTE;
        while !has_stall(&store.status().await?, StallKind::TopicGone) {
            ensure!(Instant::now() < deadline, "its absence is not noticed");
            tokio::time::sleep(POLL).await;
        }
        beside.all_well().await
    })
}

/// Both have one connection to their leader: a broker answers what came through it in order.
#[test]
fn a_replica_that_hangs_costs_only_the_store_whose_topic_waits_for_it() -> Result<()> {
    run(async {
        let cluster = Cluster::start(3, &PATIENT)?;
        let troubled = cluster.topic("troubled", TopicSpec::store())?;
        let leader = troubled.leader(Partition(0))?;
        let calm =
            led(&cluster, &TopicSpec::store().replicas(1), |calm_leader| calm_leader == leader)?;
        let (node, _dir) = node_of_two(&cluster, &troubled, &calm).await?;
        let client = Client::connect(&node.url()).await?;
        let store = client.store("troubled");
        put(&store, 0).await?.map_err(|error| anyhow!("before anything hangs: {error}"))?;
        let beside = Beside::start(client.store("calm"));

        let follower = (1..=cluster.brokers()).find(|broker| *broker != leader);
        let follower = follower.context("one that does not lead")?;
        cluster.pause(follower)?;
        let waiting = (0..AT_ONCE).map(|number| put(&store, number)).collect::<Vec<_>>();
        for answer in waiting {
            ensure!(answer.await?.is_err(), "acknowledged without a replica that is in sync");
        }
        cluster.resume(follower)?;
        until_written(&store).await?;
        beside.all_well().await
    })
}

/// Writes one after the other to the calm store.
struct Beside {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<(u64, Vec<String>)>,
}

impl Beside {
    fn start(store: Store) -> Beside {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let writer = tokio::spawn(async move {
            let (mut written, mut failed) = (0, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                match store.put(format!("key {}", written % 100), "value").await {
                    Ok(_) => written += 1,
                    Err(error) => failed.push(format!("after {:?}: {error:?}", began.elapsed())),
                }
                tokio::time::sleep(PAUSE).await;
            }
            (written, failed)
        });
        Beside { stop, writer }
    }

    async fn all_well(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let (written, failed) = self.writer.await?;
        ensure!(failed.is_empty(), "{} of {written} writes failed: {failed:#?}", failed.len());
        ensure!(written > 100, "only {written} writes: it had to wait");
        Ok(())
    }
}

fn put(store: &Store, number: usize) -> JoinHandle<Result<(), String>> {
    let store = store.clone();
    tokio::spawn(async move {
        let written = store.put(format!("key {number}"), "value").await;
        written.map(|_| ()).map_err(|error| error.to_string())
    })
}

async fn until_written(store: &Store) -> Result<()> {
    let deadline = Instant::now() + MINUTE;
    while let Err(error) = put(store, 0).await? {
        ensure!(Instant::now() < deadline, "{error}");
    }
    Ok(())
}

/// A topic whose leader is the wanted one: Kafka chooses, so this tries again.
fn led(cluster: &Cluster, spec: &TopicSpec, wanted: impl Fn(usize) -> bool) -> Result<Topic> {
    for _ in 0..20 {
        let topic = cluster.topic("calm", spec.clone())?;
        if wanted(topic.leader(Partition(0))?) {
            return Ok(topic);
        }
    }
    bail!("no topic has such a leader")
}

async fn node_of_two(cluster: &Cluster, troubled: &Topic, calm: &Topic) -> Result<(Node, TempDir)> {
    let dir = TempDir::new()?;
    let config = dir.path().join("outrigger.toml");
    let store = |name: &str, topic: &Topic| {
        format!("[[store]]\nname = \"{name}\"\ntopic = \"{}\"\n", topic.name())
    };
    let (troubled, calm) = (store("troubled", troubled), store("calm", calm));
    let bootstrap = cluster.bootstrap();
    std::fs::write(&config, format!("bootstrap = \"{bootstrap}\"\n{troubled}{calm}"))?;
    let config = config.to_str().context("a path that is text")?;
    let mut node = Node::with_settings(dir.path(), "two", &["--config", config])?;
    node.start().await?;
    for store in ["troubled", "calm"] {
        let store = Client::connect(&node.url()).await?.store(store);
        let deadline = Instant::now() + MINUTE;
        while store.status().await?.phase() != Phase::Ready {
            ensure!(Instant::now() < deadline, "not READY:\n{}", node.log());
            tokio::time::sleep(POLL).await;
        }
    }
    Ok((node, dir))
}
