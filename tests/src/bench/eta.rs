//! How honest the time to go is: what Status told during a throttled restore, against when it was READY.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::Client;
use outrigger_client::proto::v1::Phase;
use outrigger_core::offset::{Offset, Partition};
use tempfile::TempDir;

use super::records::Records;
use super::{READY_MAX, ROUNDS, median};
use crate::kafka::{Cluster, Topic, TopicSpec};
use crate::node::Node;

/// At this rate either restore takes some twenty seconds.
const RATE: &str = "1MiB";

const UNCLEANED: u64 = 200_000;

/// Records that have each key about five times, of which the cleaner leaves one.
const OVERWRITTEN: u64 = 300_000;
const OVERWRITTEN_KEYS: u64 = 60_000;
/// Records behind them, which have each key once.
const HEAD: u64 = 120_000;

const SAMPLES_APART: Duration = Duration::from_millis(250);

/// How much of the restore has to be over before what is told counts.
const COUNTS_FROM: f64 = 0.2;

/// What was told, and when.
struct Sample {
    at: Instant,
    eta: Option<Duration>,
}

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    println!(
        "time to go as Status tells it while a restore is throttled to {RATE}/s, from 20 % of its time on: median error"
    );
    for (name, topic) in [("uncleaned", uncleaned(cluster)?), ("cleaned", cleaned(cluster)?)] {
        let (mut errors, mut took) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (error, restored) = turn(cluster, &topic).await?;
            errors.push(error * 100.0);
            took.push(restored.as_secs_f64());
        }
        println!("{name:<12} {:>6.1} %   of {:.1} s", median(errors), median(took));
    }
    Ok(())
}

fn uncleaned(cluster: &Cluster) -> Result<Topic> {
    let spec = TopicSpec::store().set("min.compaction.lag.ms", "86400000");
    let topic = cluster.topic("bench-eta-uncleaned", spec)?;
    Records::DISTINCT.fill(&cluster.bootstrap(), topic.name(), 0..UNCLEANED)?;
    Ok(topic)
}

fn cleaned(cluster: &Cluster) -> Result<Topic> {
    let spec = TopicSpec::fast_compaction().set("delete.retention.ms", "604800000");
    let topic = cluster.topic("bench-eta-cleaned", spec)?;
    let records = Records { keys: OVERWRITTEN_KEYS };
    records.fill(&cluster.bootstrap(), topic.name(), 0..OVERWRITTEN)?;
    let newest = records.newest(OVERWRITTEN)?;
    let superseded = |offset: &u64| -> bool {
        let key = usize::try_from(records.key_number(*offset));
        key.is_ok_and(|key| newest[key] != Some(*offset))
    };
    let last = (0..OVERWRITTEN).rev().find(superseded).context("keys are overwritten")?;
    topic.await_compacted(Partition(0), Offset(last))?;
    Records::DISTINCT.fill(&cluster.bootstrap(), topic.name(), OVERWRITTEN..OVERWRITTEN + HEAD)?;
    Ok(topic)
}

/// The median error of what was told, and how long the restore took.
async fn turn(cluster: &Cluster, topic: &Topic) -> Result<(f64, Duration)> {
    let directory = TempDir::new()?;
    let node = Node::new(directory.path(), "node", &cluster.bootstrap(), topic.name())?;
    let mut node = node.with_args(&["--restore-rate", RATE]);
    let began = Instant::now();
    node.start().await?;
    let mut states = Client::connect(&node.url()).await?.watch_status(SAMPLES_APART).await?;
    let mut samples = Vec::new();
    loop {
        let state = states.next().await.context("the node ended")??;
        let store = state.stores.first().context("a node with a store")?;
        let at = Instant::now();
        if store.phase() == Phase::Ready {
            let errors = errors(&samples, began, at)?;
            return Ok((median(errors), at - began));
        }
        let eta = store.restore.as_ref().and_then(|restore| restore.eta_seconds);
        samples.push(Sample { at, eta: eta.map(Duration::from_secs) });
        ensure!(began.elapsed() < READY_MAX, "not READY: {store:#?}\n{}", node.log());
    }
}

/// The errors relative to the time that was left in truth; where no time was told, all of it is the error.
fn errors(samples: &[Sample], began: Instant, ready: Instant) -> Result<Vec<f64>> {
    let took = (ready - began).as_secs_f64();
    let counts = |sample: &&Sample| (sample.at - began).as_secs_f64() >= COUNTS_FROM * took;
    let errors: Vec<_> = samples
        .iter()
        .filter(counts)
        .map(|sample| {
            let left = (ready - sample.at).as_secs_f64();
            sample.eta.map_or(1.0, |eta| (eta.as_secs_f64() - left).abs() / left)
        })
        .collect();
    ensure!(!errors.is_empty(), "the restore was over at once");
    Ok(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_relative_to_what_was_left_and_silence_is_wrong_by_all_of_it() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let sample = |seconds, eta: Option<u64>| Sample {
            at: after(seconds),
            eta: eta.map(Duration::from_secs),
        };
        let samples =
            [sample(1, Some(1_000)), sample(5, Some(6)), sample(6, Some(4)), sample(8, None)];
        let errors = errors(&samples, began, after(10)).unwrap();
        assert_eq!(errors, [0.2, 0.0, 1.0]);
    }
}
