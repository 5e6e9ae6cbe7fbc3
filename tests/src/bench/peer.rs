//! A node with an empty disk beside a peer that has everything: against Kafka Streams, which reads the log, and
//! against the bare copying of the peer's files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::contender::{Turn, copy_turn};
use super::records::{RECORD_BYTES, Records};
use super::restore::{count_rows, keys, own_turn, peer, topic};
use super::table::{self, Line};
use super::tls::Certificates;
use super::{READY_MAX, ROUNDS, copy, float, median, start_to_ready};
use crate::kafka::{Cluster, Topic};
use crate::node::{Node, STORE};

const KEYS: u64 = 2_000_000;
/// On average each key is written once and overwritten five times.
const RECORDS: u64 = 6 * KEYS;
/// Bytes of keys and values, of which none is overwritten: starting and opening take little of the time.
const LARGE_BYTES: u64 = 1_000_000_000;

/// When the files stay the same for this long, nothing compacts any more.
const QUIET: Duration = Duration::from_secs(3);
const QUIET_POLL: Duration = Duration::from_millis(100);

const HOW: &str = "Each from process start until it holds everything, which is checked afterwards; the peer is READY and
idle before. Copying: from the connecting until the same files are synced, a process at each end, nothing else done.";

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    let records = Records { keys: KEYS };
    let overwritten = topic(cluster, records, RECORDS)?;
    let keys = keys(records, RECORDS)?;
    let mut pair = Pair::start(cluster, &overwritten, RECORDS).await?;
    let mut lines = Lines::new(RECORDS);
    let mut streams = Line::new("Kafka Streams GlobalKTable, RocksDB", RECORDS);
    let mut log = Line::new("Outrigger, from the log", RECORDS);
    for _ in 0..ROUNDS {
        lines.turn(&mut pair, keys).await?;
        log.add(own_turn(cluster, &overwritten, RECORDS, keys).await?.0);
        streams.add(peer("GlobalTable", &cluster.bootstrap(), &overwritten, keys)?);
    }
    println!("restore of {RECORDS} records of 16+100 B, {keys} different keys, from a peer:");
    println!("{:.1} times GlobalKTable (gate: 10)", lines.ours.to(&streams));
    lines.print(vec![streams, log]);

    let large = LARGE_BYTES / RECORD_BYTES;
    let distinct = topic(cluster, Records::DISTINCT, large)?;
    let mut pair = Pair::start(cluster, &distinct, large).await?;
    let rows = count_rows(&pair.giver).await?;
    let mut lines = Lines::new(large);
    for _ in 0..ROUNDS {
        lines.turn(&mut pair, rows).await?;
    }
    println!("the same of {large} records, none overwritten:");
    println!("{:.2} of copying (gate: 0.7)", lines.ours.to(&lines.copying));
    lines.print(vec![]);
    println!("{HOW}");
    Ok(())
}

/// A READY node that gives, and what one beside it needs.
pub(super) struct Pair {
    pub(super) giver: Node,
    bootstrap: String,
    topic: String,
    records: u64,
    secret: PathBuf,
    /// What both speak TLS with, and where the giver listens to peers.
    tls: Option<(Certificates, u16)>,
    place: TempDir,
}

impl Pair {
    async fn start(cluster: &Cluster, topic: &Topic, records: u64) -> Result<Pair> {
        Pair::start_over(cluster, topic, records, None).await
    }

    pub(super) async fn start_over(
        cluster: &Cluster,
        topic: &Topic,
        records: u64,
        tls: Option<(Certificates, u16)>,
    ) -> Result<Pair> {
        let (bootstrap, topic) = (cluster.bootstrap(), topic.name().to_owned());
        let place = TempDir::new()?;
        let secret = place.path().join("secret");
        fs::write(&secret, "of-all-nodes-of-the-bench")?;
        let giver = Node::new(place.path(), "giver", &bootstrap, &topic)?;
        let mut giver = giver.with_args(&["--peer-secret-file", text(&secret)?]);
        if let Some((certificates, port)) = &tls {
            giver = certificates.applied(giver, "--peer-ca");
            giver = giver.with_args(&["--peer-listen", &format!("127.0.0.1:{port}")]);
        }
        let mut pair = Pair { giver, bootstrap, topic, records, secret, tls, place };
        start_to_ready(&mut pair.giver, records).await?;
        let on_disk =
            |status: &outrigger_client::StoreStatus| status.partitions[0].durable >= records;
        pair.giver.until("everything on disk", READY_MAX, on_disk).await?;
        pair.quiet().await?;
        Ok(pair)
    }

    fn generation(&self) -> PathBuf {
        self.giver.data().join(STORE).join("g1")
    }

    async fn quiet(&self) -> Result<()> {
        let deadline = Instant::now() + READY_MAX;
        let (mut tables, mut since) = (copy::tables(&self.generation())?, Instant::now());
        while since.elapsed() < QUIET {
            ensure!(Instant::now() < deadline, "it compacts for ever");
            tokio::time::sleep(QUIET_POLL).await;
            let now = copy::tables(&self.generation())?;
            if now != tables {
                (tables, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// Restores from the giver. Returns the turn, and what it took of the giver's CPU.
    pub(super) async fn restore(&mut self, rows: usize) -> Result<(Turn, Duration)> {
        let directory = TempDir::new()?;
        let taker = Node::new(directory.path(), "taker", &self.bootstrap, &self.topic)?;
        let mut taker = taker.with_args(&["--peer-secret-file", text(&self.secret)?]);
        let url = match &self.tls {
            None => self.giver.url(),
            Some((certificates, port)) => {
                taker = certificates.applied(taker, "--peer-ca");
                format!("https://127.0.0.1:{port}")
            }
        };
        taker = taker.with_args(&["--peers", &url]);
        let before = self.giver.usage()?.cpu;
        let took = start_to_ready(&mut taker, self.records).await?;
        let given = self.giver.usage()?.cpu.saturating_sub(before);
        let usage = taker.usage()?;
        ensure!(taker.log().contains("a peer gave its copy"), "from the log:\n{}", taker.log());
        let count = count_rows(&taker).await?;
        ensure!(count == rows, "holds {count} rows, not {rows}");
        Ok((Turn { took, peak_mib: usage.peak_mib, cpu: usage.cpu }, given))
    }
}

/// Ours and the copying of the same files, in turns.
struct Lines {
    ours: Line,
    copying: Line,
    mib: Vec<f64>,
    /// What the turns took of the giver's CPU, in seconds.
    given: Vec<f64>,
}

impl Lines {
    fn new(records: u64) -> Lines {
        Lines {
            ours: Line::new("Outrigger, from a peer", records),
            copying: Line::new("copying the same files over a socket", records),
            mib: Vec::new(),
            given: Vec::new(),
        }
    }

    async fn turn(&mut self, pair: &mut Pair, rows: usize) -> Result<()> {
        let (tables, directory) = (TempDir::new_in(pair.place.path())?, TempDir::new()?);
        let bytes = copy::link_tables(&pair.generation(), tables.path())?;
        self.mib.push(float(bytes >> 20));
        self.copying.add(copy_turn(tables.path(), directory.path())?);
        drop(directory);
        let (turn, given) = pair.restore(rows).await?;
        self.ours.add(turn);
        self.given.push(given.as_secs_f64());
        Ok(())
    }

    fn print(self, mut others: Vec<Line>) {
        let (mib, given) = (median(self.mib), median(self.given));
        println!("{mib:.0} MiB of files; the giver's CPU for it: {given:.2} s");
        others.push(self.copying);
        table::print(&others, &self.ours);
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path of text")
}
