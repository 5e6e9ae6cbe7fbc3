//! Cursors on real Kafka: kept in consumer groups, continued on any node, and never taken back.

mod engines;
mod lost;
mod nodes;
mod rights;

use anyhow::{Context, Result};
use outrigger_client::{Revision, Store, Watch, WatchPoint};
use outrigger_tests::follower::{Followed, Follower};
use outrigger_tests::node::{Node, STORE};

/// The group that a cursor of the tests' store is kept in.
fn group(name: &str) -> String {
    format!("outrigger.{STORE}.{name}")
}

async fn put(store: &Store, keys: impl IntoIterator<Item = String>) -> Result<Vec<Revision>> {
    let mut revisions = Vec::new();
    for key in keys {
        revisions.push(store.put(&key, format!("value of {key}")).await?);
    }
    Ok(revisions)
}

/// Follows a watch of a node until it was told all of `revisions`.
async fn followed(
    node: &Node,
    watch: Watch,
    before: Followed,
    revisions: &[Revision],
) -> Result<Followed> {
    let mut follower = Follower::start(node.url(), watch, before).await?;
    follower.has(revisions).await?;
    follower.stop().await
}

/// A point after `revisions`.
async fn point_behind(node: &Node, revisions: &[Revision]) -> Result<WatchPoint> {
    let told = followed(node, Watch::all(), Followed::default(), revisions).await?;
    told.point.context("it was told one")
}
