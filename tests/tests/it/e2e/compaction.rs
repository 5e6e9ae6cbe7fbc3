//! Away while the log forgets: down or paused past the tombstone horizon, on a real cleaner.

use anyhow::{Result, ensure};
use outrigger_core::offset::Partition;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::Node;
use outrigger_tests::writers::rows;

use super::{MINUTE, Place, durable, run};

const P0: Partition = Partition(0);

/// A node with `gone` and `kept` on disk, and `gone` deleted, compacted and its tombstone removed while
/// `away` keeps the node from seeing it.
async fn forgotten(place: &Place, away: impl FnOnce(&mut Node) -> Result<()>) -> Result<Node> {
    let mut node = place.ready_node("one").await?;
    let store = node.store().await?;
    store.put("gone", "1").await?;
    let kept = store.put("kept", "2").await?;
    node.until("on disk", MINUTE, |status| durable(status) > kept.offset).await?;
    away(&mut node)?;
    let tombstone = place.topic.put(P0, b"gone", None)?;
    tokio::task::block_in_place(|| place.topic.await_compacted(P0, tombstone))?;
    Ok(node)
}

async fn rebuilt_without_it(node: &Node) -> Result<()> {
    let generation = |status: &outrigger_client::StoreStatus| status.fed_generation >= Some(2);
    node.until("a rebuild", MINUTE, generation).await?;
    node.until_ready().await?;
    let rows = rows(node).await?;
    ensure!(rows.contains_key(&b"kept"[..]), "what was not deleted is there");
    ensure!(!rows.contains_key(&b"gone"[..]), "a deleted key came back");
    ensure!(node.log().contains("past the tombstone horizon"), "the log says why:\n{}", node.log());
    Ok(())
}

#[test]
fn a_node_down_past_the_horizon_does_not_bring_a_deleted_key_back() -> Result<()> {
    run(async {
        let place = Place::new("down-past-horizon", TopicSpec::fast_compaction())?;
        let mut node = forgotten(&place, Node::kill).await?;
        node.start().await?;
        rebuilt_without_it(&node).await
    })
}

#[test]
fn a_node_paused_past_the_horizon_does_not_serve_a_deleted_key() -> Result<()> {
    run(async {
        let place = Place::new("paused-past-horizon", TopicSpec::fast_compaction())?;
        let mut node = forgotten(&place, Node::pause).await?;
        node.resume()?;
        rebuilt_without_it(&node).await
    })
}

#[test]
fn a_node_down_for_a_whole_compaction_within_the_horizon_resumes() -> Result<()> {
    run(async {
        let spec = TopicSpec::fast_compaction().set("delete.retention.ms", "600000");
        let place = Place::new("within-horizon", spec)?;
        let mut node = place.ready_node("one").await?;
        let store = node.store().await?;
        for number in 0..20 {
            store.put("overwritten", format!("{number}")).await?;
        }
        let last = store.put("gone", "1").await?;
        node.until("on disk", MINUTE, |status| durable(status) > last.offset).await?;
        node.kill()?;
        place.topic.put(P0, b"gone", None)?;
        let old = place.topic.put(P0, b"overwritten", Some(b"old"))?;
        place.topic.put(P0, b"overwritten", Some(b"new"))?;
        tokio::task::block_in_place(|| place.topic.await_compacted(P0, old))?;
        node.start().await?;
        let status = node.until_ready().await?;
        ensure!(status.fed_generation == Some(1), "nothing was rebuilt");
        let rows = rows(&node).await?;
        ensure!(!rows.contains_key(&b"gone"[..]), "the tombstone was still there to be read");
        ensure!(rows[&b"overwritten"[..]].value == b"new");
        Ok(())
    })
}
