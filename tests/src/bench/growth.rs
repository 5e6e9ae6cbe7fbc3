//! Whether a restore's rate and memory stay as they are when the topic grows.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use super::records::Records;
use super::{per_second, start_to_ready};
use crate::kafka::{Cluster, TopicSpec};
use crate::node::Node;

pub(super) const MILLIONS_MAX: u64 = 20;

const MILLION: u64 = 1_000_000;
const STEPS_MILLIONS: [u64; 5] = [1, 2, 5, 10, MILLIONS_MAX];

/// Writes of the node's own, of which each is read at once.
const WRITES: u64 = 20;

/// The whole topic has as many different keys for each record as that of the restore of 2 M
/// records.
const KEYS_PER_MILLION: u64 = 432_500;

pub(super) async fn run(cluster: &Cluster, millions_max: u64) -> Result<()> {
    let records = Records { keys: KEYS_PER_MILLION * millions_max };
    let spec = TopicSpec::store().set("min.compaction.lag.ms", "86400000");
    let topic = cluster.topic("bench-growth", spec)?;
    println!("restore of one topic that grows, records of 16+100 B:");
    println!(
        "{:>10} {:>8} {:>11} {:>9} {:>7} {:>14}",
        "M records", "s", "records/s", "peak MiB", "CPU s", "own writes, ms"
    );
    let mut end = 0;
    for millions in STEPS_MILLIONS.into_iter().filter(|millions| *millions <= millions_max) {
        let grown = millions * MILLION;
        records.fill(&cluster.bootstrap(), topic.name(), end..grown)?;
        end = grown;
        let directory = TempDir::new()?;
        let mut node = Node::new(directory.path(), "node", &cluster.bootstrap(), topic.name())?;
        let took = start_to_ready(&mut node, end).await?;
        let usage = node.usage()?;
        let own = own_writes(&node).await?;
        end += WRITES;
        println!(
            "{millions:>10} {:>8.1} {:>11.0} {:>9.0} {:>7.1} {:>14.1}",
            took.as_secs_f64(),
            per_second(grown, took),
            usage.peak_mib,
            usage.cpu.as_secs_f64(),
            own.as_secs_f64() * 1e3
        );
    }
    println!(
        "Own writes: as soon as it is READY, the longest of {WRITES} until the node that wrote it reads it."
    );
    Ok(())
}

async fn own_writes(node: &Node) -> Result<Duration> {
    let store = node.store().await?;
    let mut longest = Duration::ZERO;
    for number in 0..WRITES {
        let key = format!("own {number}");
        let began = Instant::now();
        store.put(&key, "1").await?;
        ensure!(store.get(&key).await?.is_some(), "a session reads its own writes");
        longest = longest.max(began.elapsed());
    }
    Ok(longest)
}
