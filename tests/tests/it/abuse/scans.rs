//! Callers who begin a Scan and do not read it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::Level;
use outrigger_core::offset::Partition;
use outrigger_proto::v1::{ErrorDetail, Reason, ScanRequest, ScanResponse};
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::Node;
use tempfile::TempDir;
use tonic::Streaming;

use super::{MINUTE, POLL, in_time, rows, run};

/// How long the topic keeps tombstones; a node that was away for longer rebuilds.
const TOMBSTONES: Duration = Duration::from_secs(5);

#[test]
fn a_scan_that_nobody_reads_does_not_keep_the_store_from_coming_back() -> Result<()> {
    run(async {
        let cluster = Cluster::shared()?;
        let spec = TopicSpec::store().set("delete.retention.ms", "5000");
        let topic = cluster.topic("slow-scan", spec)?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        node.start().await?;
        node.until_ready().await?;
        fill(&node).await?;
        let slow = begun(&node).await?;
        let before = node.status().await?.fed_generation;

        node.pause()?;
        let paused = Instant::now();
        topic.put(Partition(0), b"while it was away", Some(b"1"))?;
        while paused.elapsed() < TOMBSTONES + TOMBSTONES {
            tokio::time::sleep(POLL).await;
        }
        topic.put(Partition(0), b"while it was away", Some(b"2"))?;
        node.resume()?;
        node.until("a rebuild", MINUTE, |status| status.fed_generation > before).await?;
        node.until_ready().await?;
        let stale = node.store().await?.with_level(Level::Stale);
        ensure!(stale.get("000000").await?.is_some(), "the copy answers");

        let ended = in_time("the scan's end", end_of(slow)).await??;
        ensure!(ended.reason() == Reason::NotReady, "{ended:?}");
        ensure!(!ended.may_have_happened && !ended.what_to_do.is_empty(), "{ended:?}");
        Ok(())
    })
}

/// A node lets this many be open through one address.
const SCANS_MAX: usize = 64;

/// How long a scan may be open that nobody reads. It is noticed within the second time: a loaded machine takes longer,
/// and after 90 s its connection would be given up for it.
const IDLE_MAX: Duration = Duration::from_secs(60);
const IDLE_NOTICED_MAX: Duration = Duration::from_secs(80);

#[test]
fn scans_that_nobody_reads_give_their_places_back_and_say_why() -> Result<()> {
    run(async {
        let cluster = Cluster::shared()?;
        let topic = cluster.topic("idle-scans", TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        node.start().await?;
        node.until_ready().await?;
        fill(&node).await?;

        let began = Instant::now();
        let mut idle = Vec::new();
        for _ in 0..SCANS_MAX {
            let scan = rows(&node).await?.scan(ScanRequest::default()).await?;
            idle.push(scan.into_inner());
        }
        let mut caller = rows(&node).await?;
        let refused = caller.scan(ScanRequest::default()).await.err().context("all are taken")?;
        let refused = ErrorDetail::from_status(&refused).context(refused)?;
        ensure!(refused.reason() == Reason::Overloaded, "{refused:?}");

        while caller.scan(ScanRequest::default()).await.is_err() {
            ensure!(began.elapsed() < IDLE_NOTICED_MAX, "they keep their places:\n{}", node.log());
            tokio::time::sleep(POLL).await;
        }
        ensure!(began.elapsed() >= IDLE_MAX, "too early for whoever reads slowly");
        // Nobody knows which of them ended first; one that was not cut yet continues when it is read.
        let mut cut = None;
        while cut.is_none() {
            let scan = idle.pop().with_context(|| format!("none was cut:\n{}", node.log()))?;
            cut = in_time("the scan's end", cut_short(scan)).await??;
        }
        let ended = cut.context("one was cut")?;
        ensure!(ended.reason() == Reason::DeadlineExceeded, "{ended:?}");
        ensure!(ended.message.contains("no rows were taken for 60 seconds"), "{ended:?}");
        ensure!(ended.what_to_do.contains("go on after the last key that came"), "{ended:?}");
        Ok(())
    })
}

/// Writes more than any window and channel on the way to a caller holds.
async fn fill(node: &Node) -> Result<()> {
    let store = node.store().await?;
    let (writer, value) = (store.writer(), "v".repeat(1_000));
    for number in 0..20_000 {
        drop(writer.put(format!("{number:06}"), &value).await?);
    }
    writer.finish().await?;
    // What was acknowledged is in the log, and scans read the copy: this read waits for it.
    ensure!(store.get("019999").await?.is_some(), "this session wrote it");
    Ok(())
}

/// A scan whose first message was read.
async fn begun(node: &Node) -> Result<Streaming<ScanResponse>> {
    let mut scan = rows(node).await?.scan(ScanRequest::default()).await?.into_inner();
    scan.message().await?.context("there are rows")?;
    Ok(scan)
}

async fn end_of(scan: Streaming<ScanResponse>) -> Result<ErrorDetail> {
    cut_short(scan).await?.context("a scan that was cut looks complete")
}

/// Why it ended; none when it is complete.
async fn cut_short(mut scan: Streaming<ScanResponse>) -> Result<Option<ErrorDetail>> {
    loop {
        match scan.message().await {
            Ok(Some(_rows)) => {}
            Ok(None) => return Ok(None),
            Err(status) => return Ok(Some(ErrorDetail::from_status(&status).context(status)?)),
        }
    }
}
