//! Kafka goes away and comes back; the node does neither.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::proto::v1::{Phase, StallKind};
use outrigger_client::{Client, ErrorKind, Level, Read};
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::Node;
use tempfile::TempDir;

use super::{MINUTE, has_stall, run};

#[test]
fn with_kafka_stopped_reads_go_on_writes_fail_clearly_and_nothing_needs_a_restart() -> Result<()> {
    run(async {
        let mut cluster = Cluster::start(1, &[])?;
        let topic = cluster.topic("outage", TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        node.start().await?;
        node.until_ready().await?;
        let store = node.store().await?;
        store.put("before", "1").await?;
        ensure!(store.get("before").await?.is_some());

        cluster.kill_all()?;
        let stopped = Instant::now();
        let write = store.put("during", "2").await;
        let error =
            write.err().ok_or_else(|| anyhow::anyhow!("a write without a broker succeeded"))?;
        ensure!(
            matches!(error.kind(), ErrorKind::NotWritten | ErrorKind::Unknown),
            "named: {error:?}"
        );
        let local = store.clone().with_level(Level::Local);
        while stopped.elapsed() < Duration::from_secs(20) {
            ensure!(local.get("before").await?.is_some(), "reads go on");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let status = node
            .until("the stall", MINUTE, |status| has_stall(status, StallKind::LogUnreachable))
            .await?;
        ensure!(status.phase() == Phase::Ready, "lag alone does not end READY: {status:?}");
        let bounded = store.clone().with_write_deadline(Duration::from_secs(2));
        let refused = bounded.put("bounded", "3").await.err();
        let refused = refused.ok_or_else(|| anyhow::anyhow!("written without a broker"))?;
        ensure!(
            refused.kind() == ErrorKind::NotWritten && !refused.may_have_happened(),
            "what was never sent did not happen, and that is told in time: {refused:?}"
        );
        let writer = bounded.writer();
        let pending = writer.put("bounded", "4").await?;
        let refused = pending.await.err().map(|error| error.kind());
        ensure!(refused == Some(ErrorKind::NotWritten), "of a stream too: {refused:?}");
        drop(writer);
        let old = local.clone().with_max_staleness(Duration::from_secs(1)).get("before").await;
        ensure!(
            old.is_err_and(|error| error.kind() == ErrorKind::Unavailable),
            "too old is an error"
        );

        cluster.start_all()?;
        node.until("no stall", MINUTE, |status| status.stalls.is_empty()).await?;
        let fresh = Client::connect(&node.url()).await?.store(outrigger_tests::node::STORE);
        fresh.put("after", "3").await?;
        ensure!(fresh.get("after").await?.is_some(), "a session reads its own write");
        let latest = fresh.with_level(Level::Latest);
        ensure!(latest.get("bounded").await?.is_none(), "what did not happen is not there");
        let during = latest.get("during").await?;
        ensure!(error.may_have_happened() || during.is_none(), "what did not happen is not there");
        Ok(())
    })
}

#[test]
fn a_node_that_starts_before_kafka_says_so_and_comes_up_with_it() -> Result<()> {
    run(async {
        let mut cluster = Cluster::start(1, &[])?;
        let topic = cluster.topic("late", TopicSpec::store())?;
        topic.put(outrigger_core::offset::Partition(0), b"k", Some(b"v"))?;
        cluster.kill_all()?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        node.start().await?;
        let status = node
            .until("the stall", MINUTE, |status| has_stall(status, StallKind::LogUnreachable))
            .await?;
        ensure!(status.phase() == Phase::Opening, "{status:?}");
        cluster.start_all()?;
        node.until_ready().await?;
        ensure!(node.store().await?.get("k").await?.is_some());
        Ok(())
    })
}

/// Whether the node ended in order or was killed, what is on the disk answers whoever is content with it, and only
/// them.
#[test]
fn a_copy_answers_stale_reads_while_kafka_is_away_at_the_start_and_the_rest_is_refused_by_name()
-> Result<()> {
    run(async {
        let mut cluster = Cluster::start(1, &[])?;
        let topic = cluster.topic("unheard", TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        node.start().await?;
        node.until_ready().await?;
        node.store().await?.put("k", "1").await?;
        node.until("the record is on disk", MINUTE, |status| {
            status.partitions.iter().map(|partition| partition.durable).sum::<u64>() == 1
        })
        .await?;
        for killed in [false, true] {
            if killed {
                node.kill()?;
            } else {
                node.stop()?;
            }
            cluster.kill_all()?;
            node.start().await?;
            let read = answers_stale(&node, "k").await.with_context(|| node.log())?;
            let value = read.entry.as_ref().map(|entry| entry.value.clone());
            ensure!(value.as_deref() == Some(&b"1"[..]), "{read:?}");
            ensure!(read.copy.age > Duration::ZERO, "with its age: {read:?}");
            let status = node
                .until("the stall", MINUTE, |status| has_stall(status, StallKind::LogUnreachable))
                .await?;
            ensure!(status.phase() == Phase::Opening, "{status:?}");
            refuses_the_rest(&node).await?;
            cluster.start_all()?;
            node.until_ready().await?;
            let store = node.store().await?.with_level(Level::Latest);
            ensure!(store.get("k").await?.is_some(), "{}", node.log());
            store.put("after", "2").await?;
        }
        Ok(())
    })
}

pub(super) async fn answers_stale(node: &Node, key: &str) -> Result<Read> {
    let stale = node.store().await?.with_level(Level::Stale);
    let deadline = Instant::now() + MINUTE;
    loop {
        match stale.read(key).await {
            Ok(read) => return Ok(read),
            Err(error) => {
                ensure!(error.kind() == ErrorKind::Unavailable, "{error:?}");
                ensure!(Instant::now() < deadline, "no copy is served: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn refuses_the_rest(node: &Node) -> Result<()> {
    let store = node.store().await?;
    for level in [Level::Local, Level::Latest] {
        let refused = store.clone().with_level(level).get("k").await.err();
        let kind = refused.as_ref().map(|error| error.kind());
        ensure!(kind == Some(ErrorKind::Unavailable), "{level:?}: {refused:?}");
    }
    let refused = store.put("k", "2").await.err().context("written without a log")?;
    ensure!(!refused.may_have_happened(), "{refused:?}");
    let too_old = store.with_level(Level::Stale).with_max_staleness(Duration::from_millis(1));
    ensure!(too_old.get("k").await.is_err(), "too old is an error");
    Ok(())
}

/// The test waits for the socket, which is there before Kafka is asked: a signal meets a start at any moment.
#[test]
fn a_node_told_to_end_while_it_starts_ends_in_order_and_leaves_no_socket() -> Result<()> {
    let dir = TempDir::new()?;
    let socket = dir.path().join("socket");
    let path = socket.to_str().context("a path of text")?;
    for _ in 0..5 {
        let node = Node::new(dir.path(), "one", NOBODY, "topic")?;
        let mut node = node.with_args(&["--create", "--socket", path]);
        node.spawn()?;
        let deadline = Instant::now() + MINUTE;
        while !socket.exists() {
            ensure!(Instant::now() < deadline, "no socket:\n{}", node.log());
            std::thread::sleep(Duration::from_millis(1));
        }
        let ended = node.stop()?;
        ensure!(ended.code() == Some(0), "{ended}:\n{}", node.log());
        ensure!(!socket.exists(), "its socket is left:\n{}", node.log());
    }
    Ok(())
}

/// An address at which nobody listens: connecting fails at once.
const NOBODY: &str = "127.0.0.1:1";

/// What a client has to tell before anybody listens to it must not make it deaf: the order of the two is a race, so
/// there are several starts of each kind.
#[test]
fn every_start_hears_its_acknowledgements_whatever_the_first_address_and_whoever_starts_first()
-> Result<()> {
    run(async {
        let mut cluster = Cluster::start(1, &[])?;
        let topic = cluster.topic("heard", TopicSpec::store())?;
        cluster.kill_all()?;
        let dir = TempDir::new()?;
        let good = cluster.bootstrap();
        let refusing_first = format!("{NOBODY},{good}");
        let mut nodes = Vec::new();
        for number in 0..6 {
            let bootstrap = if number % 2 == 0 { &good } else { &refusing_first };
            let mut node = Node::new(dir.path(), &number.to_string(), bootstrap, topic.name())?;
            node.start().await?;
            nodes.push(node);
        }
        cluster.start_all()?;
        for node in &nodes {
            acknowledges(node, "Kafka came after the node").await?;
        }
        for round in 0..2 {
            for node in &mut nodes {
                node.kill()?;
                node.start().await?;
                acknowledges(node, &format!("start {round} with a copy, Kafka was there")).await?;
            }
        }
        Ok(())
    })
}

async fn acknowledges(node: &Node, what: &str) -> Result<()> {
    node.until_ready().await?;
    let written = node.store().await?.put("key", what).await;
    written.map_err(|error| anyhow::anyhow!("{what}: {error:?}\n{}", node.log()))?;
    Ok(())
}
