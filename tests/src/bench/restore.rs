//! A node with an empty disk against the raw reading rate of the same topic, against what others keep a copy
//! with, and against what its database could do.

use anyhow::{Result, ensure};
use outrigger_client::Scan;
use tempfile::TempDir;

use super::contender::{Turn, ingest_turn, java_turn, raw_turn};
use super::records::Records;
use super::table::{self, Line};
use super::{ROUNDS, median, start_to_ready};
use crate::kafka::{Cluster, Topic, TopicSpec};
use crate::node::Node;

const RECORDS: u64 = 2_000_000;
const KEYS: u64 = 865_000;

/// Fewer records, for a contender that would take minutes for each turn.
const FEW: u64 = 100_000;

const HOW: &str = "Each in a process of its own, from its start until it holds everything, which is checked afterwards.
The raw client is timed from its making. Raw ingest: from the opening of its database, with the rows that the
2 M records leave, sorted, in its memory (also in its peak).";

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    let records = Records { keys: KEYS };
    let topic = topic(cluster, records, RECORDS)?;
    let few = self::topic(cluster, records, FEW)?;
    let (keys, few_keys) = (keys(records, RECORDS)?, keys(records, FEW)?);
    let bootstrap = cluster.bootstrap();

    let mut ours = Line::new("Outrigger, from the log", RECORDS);
    let mut raw = Line::new("raw batch consume", RECORDS);
    let mut streams = Line::new("Kafka Streams GlobalKTable, RocksDB", RECORDS);
    let mut kcache = Line::new("KCache, RocksDB (the first 100 k records)", FEW);
    let mut ingest = Line::new("raw ingest: RocksDB alone, rows in memory", RECORDS);
    let mut rests = Vec::new();
    for _ in 0..ROUNDS {
        raw.add(raw_turn(&bootstrap, topic.name(), RECORDS)?);
        let (turn, rest_mib) = own_turn(cluster, &topic, RECORDS, keys).await?;
        ours.add(turn);
        rests.push(rest_mib);
        streams.add(peer("GlobalTable", &bootstrap, &topic, keys)?);
        kcache.add(peer("KCacheRestore", &bootstrap, &few, few_keys)?);
        ingest.add(ingest_turn(TempDir::new()?.path(), RECORDS, KEYS)?);
    }
    println!("restore of 2 M records of 16+100 B, {keys} different keys, one partition:");
    table::print(&[raw, streams, kcache, ingest], &ours);
    println!("ours at rest after it: {:.0} MiB", median(rests));
    println!("{HOW}");
    Ok(())
}

/// Makes a topic in which nothing is compacted while it is measured.
pub(super) fn topic(cluster: &Cluster, records: Records, count: u64) -> Result<Topic> {
    let spec = TopicSpec::store().set("min.compaction.lag.ms", "86400000");
    let topic = cluster.topic("bench-restore", spec)?;
    records.fill(&cluster.bootstrap(), topic.name(), 0..count)?;
    Ok(topic)
}

pub(super) fn keys(records: Records, count: u64) -> Result<usize> {
    Ok(records.newest(count)?.iter().flatten().count())
}

pub(super) fn peer(class: &str, bootstrap: &str, topic: &Topic, keys: usize) -> Result<Turn> {
    let directory = TempDir::new()?;
    java_turn(class, &[bootstrap, topic.name(), &keys.to_string()], directory.path())
}

/// Returns the turn, and the resident memory in MiB when it is done.
pub(super) async fn own_turn(
    cluster: &Cluster,
    topic: &Topic,
    records: u64,
    keys: usize,
) -> Result<(Turn, f64)> {
    let directory = TempDir::new()?;
    let mut node = Node::new(directory.path(), "node", &cluster.bootstrap(), topic.name())?;
    let took = start_to_ready(&mut node, records).await?;
    let usage = node.usage()?;
    let count = count_rows(&node).await?;
    ensure!(count == keys, "holds {count} rows, the topic has {keys} keys");
    Ok((Turn { took, peak_mib: usage.peak_mib, cpu: usage.cpu }, usage.resident_mib))
}

pub(super) async fn count_rows(node: &Node) -> Result<usize> {
    let mut scan = node.store().await?.scan(Scan::all().keys_only()).await?;
    let mut count = 0;
    while let Some(row) = scan.next().await {
        row?;
        count += 1;
    }
    Ok(count)
}
