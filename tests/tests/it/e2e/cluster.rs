//! Three brokers, three nodes, ten watches, writes all the time, and everything is killed once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use outrigger_client::Watch;
use outrigger_core::offset::Partition;
use outrigger_tests::follower::{Followed, Follower};
use outrigger_tests::kafka::{Cluster, Topic, TopicSpec};
use outrigger_tests::node::Node;
use outrigger_tests::writers::{Writers, fold, judge, rows};
use tempfile::TempDir;

use super::{MINUTE, run};

const P0: Partition = Partition(0);

#[test]
fn what_was_acknowledged_survives_killed_nodes_wiped_disks_and_a_killed_broker() -> Result<()> {
    run(async {
        let mut cluster = Cluster::start(3, &[])?;
        // Tombstones live long enough for an election, and go within the test all the same.
        let spec = TopicSpec::fast_compaction().set("delete.retention.ms", "15000");
        let topic = cluster.topic("survives", spec)?;
        let dir = TempDir::new()?;
        let mut nodes = Vec::new();
        for name in ["one", "two", "three"] {
            let mut node = Node::new(dir.path(), name, &cluster.bootstrap(), topic.name())?;
            node.start().await?;
            nodes.push(node);
        }
        for node in &nodes {
            node.until_ready().await?;
        }
        let writers = Writers::start(nodes.iter().map(Node::url).collect(), 40);
        let mut followers = Vec::new();
        for (number, node) in (0..10).zip(nodes.iter().cycle()) {
            let watch = if number < 5 { Watch::all() } else { Watch::prefix("writer-1/") };
            followers.push(Follower::start(node.url(), watch, Followed::default()).await?);
        }
        let mover = Follower::start(nodes[0].url(), Watch::all(), Followed::default()).await?;
        written(&nodes[0], 100).await?;

        nodes[1].kill()?;
        written(&nodes[0], 100).await?;
        nodes[1].start().await?;
        nodes[1].until_ready().await?;
        let mover = moved(mover, &nodes[1]).await?;

        nodes[2].kill()?;
        nodes[2].wipe()?;
        compacted(&topic).await?;
        nodes[2].start().await?;
        nodes[2].until_ready().await?;
        let moved = moved(mover, &nodes[2]).await?.stop().await?;
        ensure!(moved.again == 0, "its point was good wherever it came");

        let leader = topic.leader(P0)?;
        cluster.kill(leader)?;
        written(&nodes[0], 50).await?;
        cluster.start_broker(leader)?;
        topic.await_in_sync(P0, 3)?;
        compacted(&topic).await?;

        let history = writers.stop().await?;
        for node in &nodes {
            node.until_ready().await?;
        }
        ensure!(history.operations().len() > 300, "they wrote");
        judge(&nodes, &history).await?;
        let last = nodes[0].store().await?.put("last", "1").await?;
        let whole = tokio::task::block_in_place(|| fold(&topic))?;
        for (number, mut follower) in followers.into_iter().enumerate() {
            follower.has(&[last]).await?;
            let followed = follower.stop().await?;
            let mut expected = whole.clone();
            expected.retain(|key, _| number < 5 || key.starts_with(b"writer-1/"));
            ensure!(followed.rows == expected, "follower {number}: {followed:?}");
        }
        Ok(())
    })
}

/// Lets a follower of all keys go on at another node, until it has been told there what is written now.
async fn moved(follower: Follower, to: &Node) -> Result<Follower> {
    let mut follower = follower.go_to(to.url(), Watch::all()).await?;
    follower.has(&[to.store().await?.put("moved", to.url()).await?]).await?;
    Ok(follower)
}

/// Waits until a record of the present end is compacted away: the cleaner has worked up to there.
async fn compacted(topic: &Topic) -> Result<()> {
    let first = topic.put(P0, b"outrigger-filler-marker", Some(b"1"))?;
    topic.put(P0, b"outrigger-filler-marker", None)?;
    tokio::task::block_in_place(|| topic.await_compacted(P0, first))
}

/// Waits until this many more records are in the node's copy.
async fn written(node: &Node, more: u64) -> Result<()> {
    let position = |status: &outrigger_client::StoreStatus| {
        status.partitions.iter().map(|partition| partition.position).sum::<u64>()
    };
    let before = position(&node.until_ready().await?);
    node.until("more records", MINUTE * 2, |status| position(status) >= before + more).await?;
    Ok(())
}

#[test]
fn sigterm_drains_and_the_next_start_reads_nothing_again() -> Result<()> {
    run(async {
        let place = super::Place::new("drain", TopicSpec::store())?;
        let mut node = place.ready_node("one").await?;
        let store = node.store().await?;
        for number in 0..50 {
            store.put(format!("key {number}"), format!("{number}")).await?;
        }
        node.until("applied", MINUTE, |status| status.partitions[0].position >= 50).await?;
        let began = Instant::now();
        ensure!(node.stop()?.success(), "a drain ends with 0:\n{}", node.log());
        ensure!(began.elapsed() < Duration::from_secs(25), "a drain is bounded");
        node.start().await?;
        let status = node.until_ready().await?;
        ensure!(super::durable(&status) >= 50, "the drain flushed: {status:?}");
        ensure!(rows(&node).await?.len() == 50, "all rows are there");
        Ok(())
    })
}
