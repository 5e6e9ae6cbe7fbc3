//! A disk that hangs is named, nobody is told to restart anything, and all continues by itself when it answers again.

use std::os::unix::fs::symlink;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_client::proto::v1::{Phase, StallKind};
use outrigger_client::{Level, StoreStatus};
use outrigger_tests::disk::Disk;
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::left_out::left_out;
use outrigger_tests::node::Node;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{MINUTE, durable, has_stall, run};

const BYTES: u64 = 256 << 20;

fn is_slow(status: &StoreStatus) -> bool {
    has_stall(status, StallKind::StoreSlow)
}

/// A node whose data are on `disk`, and its log elsewhere.
fn node_on(disk: &Disk, dir: &TempDir, cluster: &Cluster, topic: &str) -> Result<Node> {
    let node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic)?;
    let data = disk.path().join("data");
    std::fs::create_dir(&data)?;
    symlink(&data, node.data())?;
    Ok(node)
}

async fn health(node: &Node, service: &str) -> Result<ServingStatus> {
    let channel = Channel::from_shared(node.url())?.connect().await?;
    let mut client = HealthClient::new(channel);
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(client.check(request).await?.into_inner().status())
}

async fn until_slow(node: &Node) -> Result<StoreStatus> {
    let status = node.until("the stall", MINUTE, is_slow).await?;
    ensure!(health(node, "liveness").await? == ServingStatus::Serving, "a restart mends no disk");
    let text = String::from_utf8(node.ask("status", &[])?.stdout)?;
    ensure!(text.contains("STALLED: STORE_SLOW") && text.contains("the disk hangs"), "{text}");
    Ok(status)
}

async fn until_well(node: &Node) -> Result<StoreStatus> {
    let well = |status: &StoreStatus| status.phase() == Phase::Ready && status.stalls.is_empty();
    node.until("READY without a stall", MINUTE, well).await
}

async fn until_told(node: &Node, what: &str, told: impl Fn(&str) -> bool) -> Result<()> {
    let deadline = Instant::now() + MINUTE;
    while !told(&node.log()) {
        ensure!(Instant::now() < deadline, "{what} is not told:\n{}", node.log());
        tokio::time::sleep(super::POLL).await;
    }
    Ok(())
}

#[test]
fn a_disk_that_hangs_is_named_at_start_at_work_and_at_the_end_and_waited_for() -> Result<()> {
    let mut disk = match Disk::new(BYTES) {
        Ok(disk) => disk,
        Err(error) => return left_out(format!("it needs a disk of its own: {error:#}")),
    };
    run(async {
        let mut cluster = Cluster::start(1, &[])?;
        let topic = cluster.topic("slow-disk", TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = node_on(&disk, &dir, &cluster, topic.name())?;
        node.start().await?;
        node.until_ready().await?;
        let first = node.store().await?.put("first", "1").await?;
        node.until("on disk", MINUTE, |status| durable(status) > first.offset).await?;
        ensure!(node.stop()?.success());

        at_start(&mut disk, &mut node).await?;
        while_it_opens(&mut disk, &mut node, &mut cluster).await?;
        at_work(&mut disk, &node).await?;
        at_the_end(&mut disk, &mut node).await?;

        node.start().await?;
        until_well(&node).await?;
        let store = node.store().await?;
        for key in ["first", "second", "third"] {
            ensure!(store.get(key).await?.is_some(), "{key}");
        }
        ensure!(node.stop()?.success());
        Ok(())
    })
}

/// The disk hangs before there is anybody who could answer a call.
async fn at_start(disk: &mut Disk, node: &mut Node) -> Result<()> {
    let frozen = disk.freeze()?;
    node.spawn()?;
    let names = |log: &str| log.contains("the data directory does not answer");
    until_told(node, "what the start waits for", names).await?;
    frozen.thaw();
    until_well(node).await?;
    ensure!(node.stop()?.success());
    Ok(())
}

async fn while_it_opens(disk: &mut Disk, node: &mut Node, cluster: &mut Cluster) -> Result<()> {
    cluster.kill_all()?;
    node.start().await?;
    let unreachable = |status: &StoreStatus| has_stall(status, StallKind::LogUnreachable);
    node.until("no log", MINUTE, unreachable).await?;
    let frozen = disk.freeze()?;
    cluster.start_all()?;
    let status = until_slow(node).await?;
    ensure!(status.phase() != Phase::Ready, "it cannot open its copy: {status:?}");
    ensure!(health(node, "readiness").await? == ServingStatus::NotServing);
    frozen.thaw();
    until_well(node).await?;
    ensure!(health(node, "readiness").await? == ServingStatus::Serving);
    Ok(())
}

/// The node's first flush hangs, and what comes is applied behind it.
async fn at_work(disk: &mut Disk, node: &Node) -> Result<()> {
    let frozen = disk.freeze()?;
    let second = node.store().await?.put("second", "2").await.context("the log takes it")?;
    let status = until_slow(node).await?;
    ensure!(status.phase() == Phase::Ready, "what it has is still exact: {status:?}");
    ensure!(health(node, "readiness").await? == ServingStatus::Serving);
    let stale = node.store().await?.with_level(Level::Stale);
    ensure!(stale.get("first").await?.is_some(), "reads go on");
    ensure!(durable(&status) <= second.offset, "nothing is on disk that waits for it");
    frozen.thaw();
    let status = until_well(node).await?;
    ensure!(status.generation == Some(1), "nothing was rebuilt: {status:?}");
    node.until("on disk", MINUTE, |status| durable(status) > second.offset).await?;
    Ok(())
}

async fn at_the_end(disk: &mut Disk, node: &mut Node) -> Result<()> {
    let frozen = disk.freeze()?;
    node.store().await?.put("third", "3").await?;
    let before = slow(&node.log());
    terminate(node)?;
    until_told(node, "what the end waits for", |log| slow(log) > before).await?;
    ensure!(node.ended()?.is_none(), "it waits:\n{}", node.log());
    frozen.thaw();
    let deadline = Instant::now() + MINUTE;
    let ended = loop {
        if let Some(ended) = node.ended()? {
            break ended;
        }
        ensure!(Instant::now() < deadline, "it does not end:\n{}", node.log());
        tokio::time::sleep(super::POLL).await;
    };
    ensure!(ended.success(), "{ended}:\n{}", node.log());
    node.kill()
}

/// How often it was logged that the disk does not answer.
fn slow(log: &str) -> usize {
    log.lines().filter(|line| line.contains("held up") && line.contains("store_slow")).count()
}

fn terminate(node: &Node) -> Result<()> {
    let id = i32::try_from(node.process()?)?;
    // SAFETY: kill takes two integers; the process is a child that was not waited for yet.
    let result = unsafe { libc::kill(id, libc::SIGTERM) };
    ensure!(result == 0, "kill: {}", std::io::Error::last_os_error());
    Ok(())
}
