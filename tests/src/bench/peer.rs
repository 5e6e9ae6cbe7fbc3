//! A node with an empty disk beside a neighbour that has everything, where the log is several times the state:
//! against Kafka Streams, which reads all of it, and against the bare copying of the neighbour's files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::contender::{Turn, copy_turn};
use super::records::Records;
use super::restore::{count_rows, keys, peer, topic};
use super::table::{self, Line};
use super::{READY_MAX, ROUNDS, copy, float, median, start_to_ready};
use crate::kafka::Cluster;
use crate::node::{Node, STORE};

const KEYS: u64 = 2_000_000;
/// Each key is written once and overwritten five times, as it falls.
const RECORDS: u64 = 6 * KEYS;

const HOW: &str = "Each from process start until it holds everything, which is checked afterwards; the neighbour is READY and
idle before. Copying: from the connecting until the same files are synced, a process at each end, nothing else done.";

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    let records = Records { keys: KEYS };
    let topic = topic(cluster, records, RECORDS)?;
    let (keys, bootstrap) = (keys(records, RECORDS)?, cluster.bootstrap());
    let place = TempDir::new()?;
    let secret = place.path().join("secret");
    fs::write(&secret, "of-all-nodes-of-the-bench")?;
    let secret = secret.to_str().context("a path of text")?;
    let node = |directory: &Path, name: &str, args: &[&str]| -> Result<Node> {
        let node = Node::new(directory, name, &bootstrap, topic.name())?;
        Ok(node.with_args(&["--peer-secret-file", secret]).with_args(args))
    };
    let mut giver = node(place.path(), "giver", &[])?;
    start_to_ready(&mut giver, RECORDS).await?;
    let everything =
        |status: &outrigger_client::StoreStatus| status.partitions[0].durable >= RECORDS;
    giver.until("everything on disk", READY_MAX, everything).await?;
    let generation = giver.data().join(STORE).join("g1");

    let mut ours = Line::new("Outrigger, from a peer", RECORDS);
    let mut streams = Line::new("Kafka Streams GlobalKTable, RocksDB", RECORDS);
    let mut copying = Line::new("copying the same files over a socket", RECORDS);
    let mut bytes = Vec::new();
    for _ in 0..ROUNDS {
        let directory = TempDir::new()?;
        bytes.push(copy::files(&generation)?.iter().map(|(_, bytes)| bytes).sum::<u64>());
        copying.add(copy_turn(&generation, directory.path())?);
        let directory = TempDir::new()?;
        let mut taker = node(directory.path(), "taker", &["--peers", &giver.url()])?;
        let took = start_to_ready(&mut taker, RECORDS).await?;
        let usage = taker.usage()?;
        ensure!(taker.log().contains("a peer gave its copy"), "from the log:\n{}", taker.log());
        ensure!(
            count_rows(&taker).await? == keys,
            "another number of rows than the topic has keys"
        );
        ours.add(Turn { took, peak_mib: usage.peak_mib, cpu: usage.cpu });
        streams.add(peer("GlobalTable", &bootstrap, &topic, keys)?);
    }
    let mib = median(bytes.iter().map(|bytes| float(bytes >> 10) / 1_024.0).collect());
    println!(
        "restore of {RECORDS} records of 16+100 B, {keys} different keys, from a peer: {mib:.0} MiB of files"
    );
    println!(
        "ours from a peer: {:.1} times GlobalKTable (gate: 10), {:.2} of copying (gate: 0.7)",
        ours.to(&streams),
        ours.to(&copying)
    );
    table::print(&[streams, copying], &ours);
    println!("{HOW}");
    Ok(())
}
