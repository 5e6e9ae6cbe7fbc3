//! A network with little room: what is sent arrives late, and must not be taken for lost.

use std::time::Duration;

use anyhow::Result;
use outrigger_client::StoreStatus;
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::Node;
use outrigger_tests::weather::Weather;
use outrigger_tests::writers::fill;
use tempfile::TempDir;

const BYTES_PER_SECOND: u32 = 350_000;
const RECORDS: usize = 80_000;
const VALUE_BYTES: usize = 1_000;

/// The first answer holds a megabyte of each of eight partitions, which takes twenty-four seconds.
const READ_MAX: Duration = Duration::from_secs(50);

/// Answers of megabytes take longer than anybody would wait for a broker that says nothing.
#[test]
fn a_restore_goes_on_over_a_slow_way() -> Result<()> {
    super::run(async {
        let cluster = Cluster::start_behind_proxies(1, &[])?;
        let topic = cluster.topic("slow-restore", TopicSpec::store().partitions(8))?;
        tokio::task::block_in_place(|| fill(&topic, RECORDS, VALUE_BYTES))?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.outside(), topic.name())?;
        cluster.set_weather(Weather::Throttle { bytes_per_second: BYTES_PER_SECOND });
        node.start().await?;
        let read = |status: &StoreStatus| {
            status.partitions.iter().map(|partition| partition.position).sum::<u64>() > 0
        };
        node.until("something is read", READ_MAX, read).await?;
        cluster.set_weather(Weather::Clear);
        node.until_ready().await?;
        Ok(())
    })
}
