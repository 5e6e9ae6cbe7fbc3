//! Watch: from a write on one node to its event on another, many watches of one node, one that was away for long, and the state
//! against a scan.

mod etcd;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use outrigger_client::{Client, Level, Scan, Store, Watch, WatchEvent, WatchStream};
use tempfile::TempDir;
use tokio::task::JoinSet;

use self::etcd::EtcdWatch;
use super::probes::{PROBES, Pair, Times};
use super::records::Records;
use super::{ROUNDS, median, micros, per_second, report, restore, start_to_ready};
use crate::kafka::{Cluster, TopicSpec};
use crate::node::{Node, STORE};

/// Watches that are open at the same time: as many as one address allows at the end.
const WATCHES: [u64; 4] = [1, 16, 64, 256];

/// Changes while they are open, and how many different keys: each prefix has 64 of them.
const CHANGES: u64 = 32_768;
const KEYS_OF_PREFIX: u64 = 64;

/// Watches of one connection.
const WATCHES_EACH: u64 = 64;

/// What happened while a watch was away.
const MISSED: u64 = 1_000_000;
const KEYS_MISSED: u64 = 865_000;
const CAUGHT_UP_MAX: Duration = Duration::from_secs(60);

/// Rows of the state.
const ROWS: u64 = 1_000_000;

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    latency(cluster).await?;
    fan_out(cluster).await?;
    late(cluster).await?;
    state(cluster).await
}

async fn latency(cluster: &Cluster) -> Result<()> {
    let mut pair = Pair::start(cluster, "bench-watch").await?;
    let writer = pair.a.store().await?;
    let mut watch = pair.b.store().await?.watch(Watch::all().from_now()).await?;
    let mut etcd = EtcdWatch::start(pair.directory.path()).await?;
    let (mut times, mut etcds) = (Times::default(), Vec::new());
    for number in 0..PROBES {
        let seen = async |key: &str| until_change(&mut watch, key.as_bytes()).await;
        pair.probe(number, &writer, &mut times, seen).await?;
        if let Some(etcd) = &mut etcd {
            etcds.push(micros(etcd.put_to_event(number).await?));
        }
    }
    let name = "Put on A to its event on B";
    let put = times.report(name, "its answer on A to the event on B");
    if etcd.is_some() {
        let etcd = median(etcds);
        report(name, put, "etcd, one node", etcd, "us", put / etcd);
    }
    Ok(())
}

async fn until_change(watch: &mut WatchStream, key: &[u8]) -> Result<()> {
    loop {
        match watch.next().await.context("a watch has no end")?? {
            WatchEvent::Change(change) if change.key == key => return Ok(()),
            WatchEvent::Point(_) => {}
            other => bail!("{other:?} instead of the change of {}", key.escape_ascii()),
        }
    }
}

/// What is watched: a prefix of 64 keys each, or everything.
#[derive(Clone, Copy)]
enum Watched {
    Prefix,
    Everything,
}

async fn fan_out(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic("bench-watch-many", TopicSpec::store())?;
    let directory = TempDir::new()?;
    let mut node = Node::new(directory.path(), "node", &cluster.bootstrap(), topic.name())?;
    start_to_ready(&mut node, 0).await?;
    println!(
        "{CHANGES} changes by one Write stream, and whoever watches, until all have been told:"
    );
    for watched in [Watched::Prefix, Watched::Everything] {
        for count in WATCHES {
            many(&mut node, watched, count).await?;
        }
    }
    Ok(())
}

async fn many(node: &mut Node, watched: Watched, count: u64) -> Result<()> {
    let (mut watching, mut store, mut events) = (JoinSet::new(), node.store().await?, 0);
    for number in 0..count {
        if number % WATCHES_EACH == 0 {
            store = Client::connect(&node.url()).await?.store(STORE).with_level(Level::Local);
        }
        let (watch, expected) = match watched {
            Watched::Prefix => (Watch::prefix(prefix(number)), CHANGES / count),
            Watched::Everything => (Watch::all(), CHANGES),
        };
        events += expected;
        let mut watch = store.watch(watch.from_now()).await?;
        watching.spawn(async move { told(&mut watch, expected).await });
    }
    let (before, began) = (node.usage()?, Instant::now());
    write(&node.store().await?, count).await?;
    while let Some(told) = watching.join_next().await {
        told??;
    }
    let (took, after) = (began.elapsed(), node.usage()?);
    let name = match watched {
        Watched::Prefix => "of 64 keys each",
        Watched::Everything => "of everything",
    };
    println!(
        "  {count:>3} {name:<16} {:>9.0} events/s, {:>6.2} s of the node's CPU, {:>4.0} MiB resident",
        per_second(events, took),
        (after.cpu - before.cpu).as_secs_f64(),
        after.resident_mib
    );
    Ok(())
}

async fn told(watch: &mut WatchStream, expected: u64) -> Result<()> {
    let mut changes = 0;
    while changes < expected {
        match watch.next().await.context("a watch has no end")?? {
            WatchEvent::Change(_) => changes += 1,
            WatchEvent::Point(_) => {}
            other => bail!("{other:?} after {changes} of {expected} changes"),
        }
    }
    Ok(())
}

fn prefix(number: u64) -> String {
    format!("{number:04}/")
}

/// Writes all changes, each prefix's in turn.
async fn write(store: &Store, prefixes: u64) -> Result<()> {
    let writer = store.writer();
    let mut answers = Vec::new();
    for number in 0..CHANGES {
        let (of, key) = (number % prefixes, number / prefixes % KEYS_OF_PREFIX);
        answers.push(writer.put(format!("{}{key:02}", prefix(of)), [b'v'; 100]).await?);
    }
    for answer in answers {
        answer.await?;
    }
    Ok(writer.finish().await?)
}

async fn state(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic("bench-watch-state", TopicSpec::store())?;
    Records::DISTINCT.fill(&cluster.bootstrap(), topic.name(), 0..ROWS)?;
    let directory = TempDir::new()?;
    let mut node = Node::new(directory.path(), "node", &cluster.bootstrap(), topic.name())?;
    start_to_ready(&mut node, ROWS).await?;
    let store = node.store().await?.with_level(Level::Local);
    let (mut scans, mut states, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let scan = per_second(ROWS, scanned(&store).await?);
        let state = per_second(ROWS, told_state(&store).await?);
        ratios.push(state / scan);
        scans.push(scan);
        states.push(state);
    }
    let (state, scan, ratio) = (median(states), median(scans), median(ratios));
    report(
        "the state of 1 M rows, to a watch",
        state,
        "Scan of the same rows",
        scan,
        "rows/s",
        ratio,
    );
    Ok(())
}

/// The point is older than everything that the node has in memory, and nothing was compacted since.
async fn late(cluster: &Cluster) -> Result<()> {
    let records = Records { keys: KEYS_MISSED };
    let topic = restore::topic(cluster, records, 1)?;
    let directory = TempDir::new()?;
    let mut node = Node::new(directory.path(), "node", &cluster.bootstrap(), topic.name())?;
    start_to_ready(&mut node, 1).await?;
    let store = node.store().await?.with_level(Level::Local);
    let mut watch = store.watch(Watch::all().from_now()).await?;
    let WatchEvent::Point(point) = watch.next().await.context("a watch has no end")?? else {
        bail!("a watch from now on begins with its point");
    };
    drop(watch);
    records.fill(&cluster.bootstrap(), topic.name(), 1..MISSED)?;
    let all = "every record applied";
    node.until(all, CAUGHT_UP_MAX, |status| status.partitions[0].position >= MISSED).await?;
    let keys = restore::keys(records, MISSED)?;
    let (mut watches, mut restores, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let mut watch = store.watch(Watch::all().from_point(point.clone())).await?;
        told(&mut watch, MISSED - 1).await?;
        let watch = per_second(MISSED - 1, began.elapsed());
        let (turn, _) = restore::own_turn(cluster, &topic, MISSED, keys).await?;
        let restore = per_second(MISSED, turn.took);
        ratios.push(watch / restore);
        watches.push(watch);
        restores.push(restore);
    }
    let (watch, restore, ratio) = (median(watches), median(restores), median(ratios));
    report(
        "1 M changes that memory has no more, to a watch",
        watch,
        "restore of the same records",
        restore,
        "records/s",
        ratio,
    );
    Ok(())
}

async fn scanned(store: &Store) -> Result<Duration> {
    let began = Instant::now();
    let (mut rows, mut count) = (store.scan(Scan::all()).await?, 0);
    while let Some(row) = rows.next().await {
        row?;
        count += 1;
    }
    ensure!(count == ROWS, "{count} of {ROWS} rows");
    Ok(began.elapsed())
}

async fn told_state(store: &Store) -> Result<Duration> {
    let began = Instant::now();
    let (mut watch, mut count) = (store.watch(Watch::all()).await?, 0);
    loop {
        match watch.next().await.context("a watch has no end")?? {
            WatchEvent::Row(_) => count += 1,
            WatchEvent::StateEnd(_) => break,
            other => bail!("{other:?} after {count} rows"),
        }
    }
    ensure!(count == ROWS, "{count} of {ROWS} rows");
    Ok(began.elapsed())
}
