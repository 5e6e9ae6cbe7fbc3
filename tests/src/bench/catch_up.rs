//! A node that was stopped while much was written: how fast it reads on into the copy that it has.

use anyhow::Result;
use tempfile::TempDir;

use super::records::Records;
use super::{ROUNDS, median, per_second, start_to_ready};
use crate::kafka::{Cluster, TopicSpec};
use crate::node::Node;

const MISSED: u64 = 1_000_000;
const KEYS: u64 = 865_000;

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    let records = Records { keys: KEYS };
    let spec = TopicSpec::store().set("min.compaction.lag.ms", "86400000");
    let topic = cluster.topic("bench-catch-up", spec)?;
    records.fill(&cluster.bootstrap(), topic.name(), 0..MISSED)?;
    let mut end = MISSED;
    let directory = TempDir::new()?;
    let mut node = Node::new(directory.path(), "node", &cluster.bootstrap(), topic.name())?;
    start_to_ready(&mut node, end).await?;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        node.stop()?;
        records.fill(&cluster.bootstrap(), topic.name(), end..end + MISSED)?;
        end += MISSED;
        rates.push(per_second(MISSED, start_to_ready(&mut node, end).await?));
    }
    println!(
        "catching up on 1 M records of 16+100 B, process start to READY: {:.0} records/s",
        median(rates)
    );
    Ok(())
}
