//! A node that was killed and missed a little: whether what it takes depends on how much it holds.

use anyhow::Result;
use tempfile::TempDir;

use super::records::{RECORD_BYTES, Records};
use super::{ROUNDS, float, median, start_to_ready};
use crate::kafka::{Cluster, TopicSpec};
use crate::node::Node;

/// Bytes of keys and values.
const SIZES: [u64; 2] = [100_000_000, 1_000_000_000];
const LARGE: u64 = 5_000_000_000;

/// Records that are written while the node is away.
const LAG: u64 = 1_000;

pub(super) async fn run(cluster: &Cluster, large: bool) -> Result<()> {
    let records = Records::DISTINCT;
    let spec = TopicSpec::store().set("min.compaction.lag.ms", "86400000");
    let topic = cluster.topic("bench-restart", spec)?;
    let directory = TempDir::new()?;
    let mut node = Node::new(directory.path(), "node", &cluster.bootstrap(), topic.name())?;
    let mut end = 0;
    for size in SIZES.into_iter().chain(large.then_some(LARGE)) {
        let grown = size / RECORD_BYTES;
        records.fill(&cluster.bootstrap(), topic.name(), end..grown)?;
        end = grown;
        start_to_ready(&mut node, end).await?;
        // A drain flushes everything: a kill can lose only what is written from here on.
        node.stop()?;
        start_to_ready(&mut node, end).await?;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            node.kill()?;
            records.fill(&cluster.bootstrap(), topic.name(), end..end + LAG)?;
            end += LAG;
            times.push(start_to_ready(&mut node, end).await?.as_secs_f64() * 1e3);
        }
        println!(
            "restart after kill -9, {:>4.1} GB of rows, {LAG} records behind: {:>7.0} ms to READY",
            float(size / 1_000_000) / 1e3,
            median(times)
        );
        node.stop()?;
    }
    Ok(())
}
