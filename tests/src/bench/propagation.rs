//! The time from a write on one node to its row on another, against what a raw producer and a raw consumer need.

use anyhow::{Context, Result, ensure};
use outrigger_client::Level;

use super::probes::{PROBES, Pair, Times};
use crate::kafka::Cluster;

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    let mut pair = Pair::start(cluster, "bench-propagation").await?;
    let (writer, reader) =
        (pair.a.store().await?, pair.b.store().await?.with_level(Level::Session));
    let mut times = Times::default();
    for number in 0..PROBES {
        let seen = async |key: &str| {
            reader.resume(writer.token().context("a writer has seen its own write")?)?;
            ensure!(reader.get(key).await?.is_some(), "a read after its write has the row");
            Ok(())
        };
        pair.probe(number, &writer, &mut times, seen).await?;
    }
    times.report("Put on A to its row read on B", "its answer on A to the row on B");
    Ok(())
}
