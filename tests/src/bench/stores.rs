//! What many small stores cost a node, against one of them.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::Client;
use outrigger_client::proto::v1::Phase;
use tempfile::TempDir;

use super::records::Records;
use super::{READY_MAX, READY_POLL, ROUNDS, median};
use crate::kafka::{Cluster, Topic, TopicSpec};
use crate::node::Node;
use crate::usage::Usage;

const STORES: usize = 50;
const RECORDS: u64 = 1_000;

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    let mut topics = Vec::new();
    for _ in 0..STORES {
        let topic = cluster.topic("bench-stores", TopicSpec::store())?;
        Records::DISTINCT.fill(&cluster.bootstrap(), topic.name(), 0..RECORDS)?;
        topics.push(topic);
    }
    for topics in [&topics[..1], &topics[..]] {
        let (mut times, mut last) = (Vec::new(), None);
        for _ in 0..ROUNDS {
            let (took, usage) = restore(cluster, topics).await?;
            times.push(took.as_secs_f64() * 1e3);
            last = Some(usage);
        }
        let usage = last.context("there was a round")?;
        println!(
            "a node of {:>2} stores of {RECORDS} records: {:>6.0} ms from an empty disk to READY, \
             {:>3} threads, {:>4.0} MiB resident",
            topics.len(),
            median(times),
            usage.threads,
            usage.resident_mib
        );
    }
    Ok(())
}

/// The time from process start until every store is READY, and what the process took.
async fn restore(cluster: &Cluster, topics: &[Topic]) -> Result<(Duration, Usage)> {
    let directory = TempDir::new()?;
    let mut node = node(directory.path(), &cluster.bootstrap(), topics)?;
    let began = Instant::now();
    node.start().await?;
    all_ready(&node, topics.len()).await?;
    Ok((began.elapsed(), node.usage()?))
}

/// Makes a node with a store for each topic, and does not start it.
pub(super) fn node(directory: &Path, bootstrap: &str, topics: &[Topic]) -> Result<Node> {
    let mut file = format!("bootstrap = \"{bootstrap}\"\n");
    for (number, topic) in topics.iter().enumerate() {
        write!(file, "[[store]]\nname = \"s{number}\"\ntopic = \"{}\"\n", topic.name())?;
    }
    let path = directory.join("outrigger.toml");
    std::fs::write(&path, file)?;
    let path = path.to_str().context("a path of text")?;
    Node::with_settings(directory, "node", &["--config", path])
}

pub(super) async fn all_ready(node: &Node, count: usize) -> Result<()> {
    let began = Instant::now();
    let client = Client::connect(&node.url()).await?;
    loop {
        let stores = client.status().await?.stores;
        ensure!(stores.len() == count, "{} stores of {count}", stores.len());
        if stores.iter().all(|store| store.phase() == Phase::Ready) {
            return Ok(());
        }
        ensure!(began.elapsed() < READY_MAX, "not READY: {stores:#?}\n{}", node.log());
        tokio::time::sleep(READY_POLL).await;
    }
}
