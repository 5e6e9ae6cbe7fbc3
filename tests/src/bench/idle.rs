//! What a node costs that nobody uses: its own CPU, and requests to the broker, counted on their way.

use std::time::{Duration, Instant};

use anyhow::Result;
use tempfile::TempDir;

use super::per_second;
use super::stores::{all_ready, node};
use crate::kafka::{Cluster, TopicSpec};

/// By then everything is done that a start leaves to be done.
const SETTLES: Duration = Duration::from_secs(10);
const WATCHED: Duration = Duration::from_secs(60);
const STORES: [usize; 2] = [1, 10];

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    for stores in STORES {
        let topic = |_| cluster.topic("bench-idle", TopicSpec::store());
        let topics = (0..stores).map(topic).collect::<Result<Vec<_>>>()?;
        let directory = TempDir::new()?;
        let mut node = node(directory.path(), &cluster.outside(), &topics)?;
        node.start().await?;
        all_ready(&node, stores).await?;
        tokio::time::sleep(SETTLES).await;

        let (before, requests, began) = (node.usage()?, cluster.requests(), Instant::now());
        tokio::time::sleep(WATCHED).await;
        let (after, requests, took) =
            (node.usage()?, cluster.requests() - requests, began.elapsed());
        let cpu = (after.cpu - before.cpu).as_secs_f64();
        println!(
            "an idle node of {stores:>2} stores: {cpu:.2} s of CPU in {:.0} s ({:.2} % of a core), {:.1} requests/s, \
             {:.0} MiB resident",
            took.as_secs_f64(),
            100.0 * cpu / took.as_secs_f64(),
            per_second(requests, took),
            after.resident_mib,
        );
    }
    Ok(())
}
