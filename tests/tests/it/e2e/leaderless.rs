//! One of three partitions loses its leader: its keys' writes and newest reads fail by name, and everything else works
//! as before.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outrigger_client::proto::v1::{Phase, StallKind};
use outrigger_client::{Error, ErrorKind, Level, Store};
use outrigger_core::offset::Partition;
use outrigger_core::partitioner::partition_of;
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::Node;
use tempfile::TempDir;

use super::outage::answers_stale;
use super::{MINUTE, has_stall, run};

const PARTITIONS: u32 = 3;
const DARK: Partition = Partition(2);
const KEYS: u32 = 300;

fn keys(dark: bool) -> impl Iterator<Item = String> {
    let keys = (0..KEYS).map(|number| format!("key-{number}"));
    keys.filter(move |key| (partition_of(key.as_bytes(), PARTITIONS) == DARK) == dark)
}

#[test]
fn a_partition_without_a_leader_costs_its_own_keys_only() -> Result<()> {
    run(async {
        let mut cluster = Cluster::start(3, &[])?;
        let topic = cluster.topic("dark", TopicSpec::store().partitions(PARTITIONS).replicas(1))?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        node.start().await?;
        node.until_ready().await?;
        let store = node.store().await?;
        for key in keys(false).chain(keys(true)) {
            store.put(&key, "before").await?;
        }
        let all = u64::from(KEYS);
        node.until("all is on disk", MINUTE, |status| {
            status.partitions.iter().map(|partition| partition.durable).sum::<u64>() == all
        })
        .await?;

        cluster.kill(topic.leader(DARK)?)?;
        let status = node
            .until("the stall", MINUTE, |status| has_stall(status, StallKind::LeaderUnavailable))
            .await?;
        ensure!(status.phase() == Phase::Ready, "{status:?}");
        let stall = status.stalls.iter().find(|stall| stall.kind() == StallKind::LeaderUnavailable);
        let detail = &stall.context("it was there")?.detail;
        ensure!(detail.contains("partition 2"), "{detail}");

        let latest = store.clone().with_level(Level::Latest);
        let local = store.clone().with_level(Level::Local);
        for key in keys(false) {
            store.put(&key, "meanwhile").await.with_context(|| node.log())?;
            let value = value(&latest, &key).await.with_context(|| node.log())?;
            ensure!(value.as_deref() == Some("meanwhile"), "{key}: {value:?}");
        }
        for key in keys(true) {
            ensure!(value(&local, &key).await?.as_deref() == Some("before"), "{key}");
        }
        fails_by_name(&latest, &store).await.with_context(|| node.log())?;

        node.kill()?;
        node.start().await?;
        let status = node.until("the stall", MINUTE, |status| !status.stalls.is_empty()).await?;
        ensure!(status.phase() == Phase::Opening, "nothing is decided without it: {status:?}");
        for key in keys(true) {
            let read = answers_stale(&node, &key).await.with_context(|| node.log())?;
            let entry = read.entry.with_context(|| format!("{key} is on the disk"))?;
            ensure!(&entry.value[..] == b"before", "{key}: {entry:?}");
        }

        cluster.start_all()?;
        node.until_ready().await?;
        let latest = node.store().await?.with_level(Level::Latest);
        for key in keys(true) {
            let value = value(&latest, &key).await?;
            ensure!(matches!(value.as_deref(), Some("before" | "meanwhile")), "{key}: {value:?}");
        }
        for key in keys(false) {
            ensure!(value(&latest, &key).await?.as_deref() == Some("meanwhile"), "{key}");
        }
        Ok(())
    })
}

async fn value(store: &Store, key: &str) -> Result<Option<String>> {
    let entry = store.get(key).await?;
    Ok(entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned()))
}

async fn fails_by_name(latest: &Store, store: &Store) -> Result<()> {
    let key = keys(true).next().context("a key of the partition")?;
    let names = |error: &Error| error.to_string().contains("partition 2");
    let wait = Duration::from_secs(3);
    let read = latest.clone().with_read_deadline(wait).get(&key).await;
    let error = read.err().context("nobody knows where the partition ends")?;
    ensure!(error.kind() == ErrorKind::Unavailable && names(&error), "{error:?}");
    let writer = store.writer();
    let in_a_stream = writer.put(&key, "meanwhile").await?;
    let (alone, in_a_stream) = tokio::join!(store.put(&key, "meanwhile"), in_a_stream);
    for written in [alone, in_a_stream] {
        let error = written.err().context("written without a leader")?;
        ensure!(matches!(error.kind(), ErrorKind::NotWritten | ErrorKind::Unknown), "{error:?}");
        ensure!(names(&error), "{error:?}");
    }
    writer.finish().await?;
    Ok(())
}
