//! A restore in a container that has little: all partitions at once, with the default `memory`.

use std::sync::Arc;

use anyhow::{Result, ensure};
use outrigger_core::offset::Partition;
use outrigger_tests::confine::MemoryGroup;
use outrigger_tests::kafka::{Cluster, Topic, TopicSpec};
use outrigger_tests::node::Node;
use tempfile::TempDir;

use super::run;

const MIB: usize = 1024 * 1024;

/// The memory of the container.
const BYTES_MAX: usize = 512 * MIB;
/// Half of it, which is the default.
const MEMORY: &str = "256MiB";

const PARTITIONS: u32 = 64;

/// The log has more than the container, so that whatever is not bounded shows.
const LOG_BYTES: usize = 640 * MIB;

/// Records that are sent before their acknowledgements are waited for.
const ROUND_BYTES: usize = 32 * MIB;

#[test]
fn a_restore_of_small_records_fits() -> Result<()> {
    restores_within("little-memory-small", 100, &[])
}

#[test]
fn a_restore_of_usual_records_fits() -> Result<()> {
    restores_within("little-memory-usual", 4 * 1024, &[])
}

/// It is held back, so that all is fetched ahead that may be.
#[test]
fn a_restore_that_is_slow_fits() -> Result<()> {
    restores_within("little-memory-slow", 100, &["--restore-rate", "40MiB"])
}

#[test]
fn a_restore_of_the_largest_records_fits() -> Result<()> {
    restores_within("little-memory-largest", 900_000, &[])
}

fn restores_within(name: &str, value_bytes: usize, settings: &[&str]) -> Result<()> {
    run(async {
        let cluster = Cluster::shared()?;
        let topic = cluster.topic(name, TopicSpec::store().partitions(PARTITIONS))?;
        let records = fill(&topic, value_bytes)?;

        let dir = TempDir::new()?;
        let node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        let mut node = node.with_args(&["--memory", MEMORY]).with_args(settings);
        match MemoryGroup::new(u64::try_from(BYTES_MAX)?) {
            Ok(memory) => node.confine(Arc::new(memory)),
            Err(error) => eprintln!("NOT CONFINED, only its own memory is measured: {error:#}"),
        }
        node.start().await?;
        let status = node.until_ready().await?;
        let peak = node.usage()?.peak_mib;
        println!("{records} records of {value_bytes} bytes, at its highest {peak:.0} MiB");
        ensure!(peak < 512.0, "{peak} MiB:\n{}", node.log());
        ensure!(status.partitions.len() == usize::try_from(PARTITIONS)?);
        Ok(())
    })
}

/// Writes records, each with a key of its own. Returns how many there are.
fn fill(topic: &Topic, value_bytes: usize) -> Result<usize> {
    let (records, round) = (LOG_BYTES / value_bytes, (ROUND_BYTES / value_bytes).max(1));
    // This does not compress.
    let noise: Vec<u8> = (0..ROUND_BYTES).map(|at| noise(at).to_le_bytes()[0]).collect();
    for first in (0..records).step_by(round) {
        let keys: Vec<[u8; 16]> = (first..first + round).map(key).collect();
        topic.put_all(keys.iter().enumerate().map(|(index, key)| {
            let partition = u32::try_from((first + index) % 64).expect("below 64");
            let at = index * value_bytes;
            (Partition(partition), key.as_slice(), Some(&noise[at..at + value_bytes]))
        }))?;
    }
    Ok(records)
}

fn key(number: usize) -> [u8; 16] {
    let mut key = [0; 16];
    for (part, mixed) in key.chunks_mut(8).zip([noise(number), number]) {
        part.copy_from_slice(&mixed.to_be_bytes());
    }
    key
}

fn noise(at: usize) -> usize {
    let mixed = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16
}
