//! The time from a write on one node to its row on another, against what a raw producer and a raw consumer need.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_client::Level;
use tempfile::TempDir;

use super::round_trip::RoundTrip;
use super::{median, micros, report, start_to_ready};
use crate::kafka::{Cluster, TopicSpec};
use crate::node::Node;

const PROBES: u64 = 1_000;

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic("bench-propagation", TopicSpec::store())?;
    let raw_topic = cluster.topic("bench-propagation-raw", TopicSpec::store())?;
    let directory = TempDir::new()?;
    let node = |name| Node::new(directory.path(), name, &cluster.bootstrap(), topic.name());
    let (mut a, mut b) = (node("a")?, node("b")?);
    start_to_ready(&mut a, 0).await?;
    start_to_ready(&mut b, 0).await?;
    let (writer, reader) = (a.store().await?, b.store().await?.with_level(Level::Session));

    let mut raw = RoundTrip::new(cluster, &raw_topic)?;
    let (mut raws, mut from_put, mut from_answer) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..PROBES {
        let key = format!("{number:016x}");
        raws.push(micros(tokio::task::block_in_place(|| raw.produce_to_consume(&key))?));

        let began = Instant::now();
        writer.put(&key, [b'v'; 100]).await?;
        let acknowledged = Instant::now();
        reader.resume(writer.token().context("a writer has seen its own write")?)?;
        ensure!(reader.get(&key).await?.is_some(), "a read after its write has the row");
        from_put.push(micros(began.elapsed()));
        from_answer.push(micros(acknowledged.elapsed()));
    }
    let (raw, from_put, from_answer) = (median(raws), median(from_put), median(from_answer));
    let against = "raw produce to consume";
    report("Put on A to its row read on B", from_put, against, raw, "us", from_put / raw);
    report("its answer on A to the row on B", from_answer, against, raw, "us", from_answer / raw);
    Ok(())
}
