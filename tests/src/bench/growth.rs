//! Whether a restore's rate and memory stay as they are when the topic grows.

use anyhow::Result;
use tempfile::TempDir;

use super::records::Records;
use super::{per_second, start_to_ready};
use crate::kafka::{Cluster, TopicSpec};
use crate::node::Node;

pub(super) const MILLIONS_MAX: u64 = 20;

const MILLION: u64 = 1_000_000;
const STEPS_MILLIONS: [u64; 5] = [1, 2, 5, 10, MILLIONS_MAX];

/// As many different keys for each record of the whole topic as in the restore of 2 M records.
const KEYS_PER_MILLION: u64 = 432_500;

pub(super) async fn run(cluster: &Cluster, millions_max: u64) -> Result<()> {
    let records = Records { keys: KEYS_PER_MILLION * millions_max };
    let spec = TopicSpec::store().set("min.compaction.lag.ms", "86400000");
    let topic = cluster.topic("bench-growth", spec)?;
    println!("restore of one topic that grows, records of 16+100 B:");
    println!("{:>10} {:>8} {:>11} {:>9} {:>7}", "M records", "s", "records/s", "peak MiB", "CPU s");
    let mut end = 0;
    for millions in STEPS_MILLIONS.into_iter().filter(|millions| *millions <= millions_max) {
        let grown = millions * MILLION;
        records.fill(&cluster.bootstrap(), topic.name(), end..grown)?;
        end = grown;
        let directory = TempDir::new()?;
        let mut node = Node::new(directory.path(), "node", &cluster.bootstrap(), topic.name())?;
        let took = start_to_ready(&mut node, end).await?;
        let usage = node.usage()?;
        println!(
            "{millions:>10} {:>8.1} {:>11.0} {:>9.0} {:>7.1}",
            took.as_secs_f64(),
            per_second(end, took),
            usage.peak_mib,
            usage.cpu.as_secs_f64()
        );
    }
    Ok(())
}
