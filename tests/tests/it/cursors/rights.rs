//! What Kafka has to allow a node for cursors, and what it says where that is missing.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_client::{Error, Reason};
use outrigger_tests::kafka::{Cluster, TopicSpec, Way};
use outrigger_tests::node::Node;
use tempfile::TempDir;

use super::{point_behind, put};
use crate::e2e::{MINUTE, run};
use crate::site::POLL;

const GROUPS: &str = "outrigger.state.";

fn wants(error: &Error, right: &str) -> Result<()> {
    ensure!(error.reason() == Some(Reason::Authorisation), "{error:?}");
    let told = error.to_string();
    ensure!(told.contains(&format!("the right {right}")) && told.contains("ACL"), "{told}");
    Ok(())
}

#[test]
fn a_right_that_is_missing_is_named_and_with_the_least_all_goes() -> Result<()> {
    run(async {
        let cluster = Cluster::secured()?;
        let topic = cluster.topic("cursor-rights", TopicSpec::store())?;
        let dir = TempDir::new()?;
        cluster.add_user("cursors")?;
        cluster.allow(
            "cursors",
            topic.name(),
            &["Read", "Write", "Describe", "DescribeConfigs"],
        )?;
        let pairs = cluster.scram("cursors");
        let settings: Vec<&str> = pairs.iter().flat_map(|pair| ["--kafka", pair]).collect();
        let node = Node::new(dir.path(), "one", &cluster.way(Way::Scram)?, topic.name())?;
        let mut node = node.with_args(&settings);
        node.start().await?;
        node.until_ready().await?;
        let store = node.store().await?;
        let point = point_behind(&node, &put(&store, ["a".to_owned()]).await?).await?;
        let cursor = store.cursor("mine");
        wants(&cursor.get().await.err().context("it may not describe")?, "Describe")?;
        wants(&cursor.commit(&point).await.err().context("it may not describe")?, "Describe")?;
        // Of what may not be described nobody hears.
        ensure!(store.cursors().await?.0.is_empty());

        // Brokers hear of a right a little later.
        cluster.allow_groups("cursors", GROUPS, &["Describe"])?;
        let deadline = Instant::now() + MINUTE;
        loop {
            let refused = cursor.commit(&point).await.err().context("it may not read")?;
            if refused.to_string().contains("the right Read") {
                break wants(&refused, "Read")?;
            }
            ensure!(Instant::now() < deadline, "{refused}");
            tokio::time::sleep(POLL).await;
        }
        cluster.allow_groups("cursors", GROUPS, &["Read"])?;
        let deadline = Instant::now() + MINUTE;
        while let Err(error) = cursor.commit(&point).await {
            ensure!(Instant::now() < deadline, "it goes on by itself: {error:?}");
            tokio::time::sleep(POLL).await;
        }
        ensure!(store.cursors().await?.0.len() == 1);
        wants(&cursor.delete().await.err().context("it may not delete")?, "Delete")?;
        cluster.allow_groups("cursors", GROUPS, &["Delete"])?;
        let deadline = Instant::now() + MINUTE;
        while let Err(error) = cursor.delete().await {
            ensure!(Instant::now() < deadline, "it goes on by itself: {error:?}");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    })
}
