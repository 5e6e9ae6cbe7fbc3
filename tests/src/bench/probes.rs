//! From a write on one node until it is seen on another, with what a raw producer and a raw consumer need in turns beside it.

use std::time::Instant;

use anyhow::Result;
use outrigger_client::Store;
use tempfile::TempDir;

use super::round_trip::RoundTrip;
use super::{median, micros, report, start_to_ready};
use crate::kafka::{Cluster, TopicSpec};
use crate::node::Node;

pub(super) const PROBES: u64 = 1_000;

/// Two READY nodes of one topic, and raw clients on another of the same broker.
pub(super) struct Pair {
    pub(super) a: Node,
    pub(super) b: Node,
    pub(super) directory: TempDir,
    raw: RoundTrip,
}

/// Microseconds of each probe.
#[derive(Default)]
pub(super) struct Times {
    raw: Vec<f64>,
    from_put: Vec<f64>,
    from_answer: Vec<f64>,
}

impl Pair {
    pub(super) async fn start(cluster: &Cluster, name: &str) -> Result<Pair> {
        let topic = cluster.topic(name, TopicSpec::store())?;
        // The raw clients have a topic of their own, or the nodes would read what they write meanwhile.
        let raw_topic = cluster.topic(&format!("{name}-raw"), TopicSpec::store())?;
        let directory = TempDir::new()?;
        let node = |name| Node::new(directory.path(), name, &cluster.bootstrap(), topic.name());
        let (mut a, mut b) = (node("a")?, node("b")?);
        start_to_ready(&mut a, 0).await?;
        start_to_ready(&mut b, 0).await?;
        let raw = RoundTrip::new(cluster, &raw_topic)?;
        Ok(Pair { a, b, directory, raw })
    }

    /// Writes a key with `writer` and waits until it is `seen`.
    pub(super) async fn probe(
        &mut self,
        number: u64,
        writer: &Store,
        times: &mut Times,
        seen: impl AsyncFnOnce(&str) -> Result<()>,
    ) -> Result<()> {
        let key = format!("{number:016x}");
        let raw = tokio::task::block_in_place(|| self.raw.produce_to_consume(&key))?;
        times.raw.push(micros(raw));

        let began = Instant::now();
        writer.put(&key, [b'v'; 100]).await?;
        let acknowledged = Instant::now();
        seen(&key).await?;
        times.from_put.push(micros(began.elapsed()));
        times.from_answer.push(micros(acknowledged.elapsed()));
        Ok(())
    }
}

impl Times {
    /// Prints both ratios under these names. Returns the median from the call of the write, in microseconds.
    pub(super) fn report(self, put: &str, answer: &str) -> f64 {
        let Times { raw, from_put, from_answer } = self;
        let [raw, from_put, from_answer] = [raw, from_put, from_answer].map(median);
        let against = "raw produce to consume";
        report(put, from_put, against, raw, "us", from_put / raw);
        report(answer, from_answer, against, raw, "us", from_answer / raw);
        from_put
    }
}
