//! The Write stream against a raw producer with the same promises.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::Store;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tempfile::TempDir;

use super::{ROUNDS, median, per_second, report};
use crate::kafka::{Cluster, TopicSpec};
use crate::node::Node;

pub(super) const STREAMED: u64 = 300_000;
const IN_FLIGHT: usize = 50_000;

#[derive(Clone, Default)]
struct Count(Arc<AtomicU64>);

impl ClientContext for Count {}

impl ProducerContext for Count {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic("bench-writes", TopicSpec::store())?;
    // The raw producer has a topic of its own, or the node would read what it writes meanwhile.
    let raw_topic = cluster.topic("bench-writes-raw", TopicSpec::store())?;
    let dir = TempDir::new()?;
    let mut node = Node::new(dir.path(), "node", &cluster.bootstrap(), topic.name())?;
    node.start().await?;
    node.until_ready().await?;
    let store = node.store().await?;

    let (mut raws, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let raw = per_second(STREAMED, produce(&cluster.bootstrap(), raw_topic.name())?);
        let own = per_second(STREAMED, stream(&store).await?);
        ratios.push(own / raw);
        raws.push(raw);
        ours.push(own);
    }
    let (ours, raws, ratio) = (median(ours), median(raws), median(ratios));
    report("Write stream, 16+100 B", ours, "raw idempotent producer", raws, "records/s", ratio);
    Ok(())
}

fn produce(bootstrap: &str, topic: &str) -> Result<Duration> {
    let count = Count::default();
    let producer: ThreadedProducer<Count> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        // With this it has its best rate; with 0 its batches are small.
        .set("linger.ms", "5")
        .create_with_context(count.clone())?;
    let began = Instant::now();
    for number in 0..STREAMED {
        let (key, value) = record(number);
        while let Err((error, _)) =
            producer.send(BaseRecord::to(topic).partition(0).key(&key).payload(&value[..]))
        {
            ensure!(error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(Duration::from_millis(1));
        }
    }
    producer.flush(Duration::from_secs(60))?;
    ensure!(count.0.load(Ordering::Relaxed) == STREAMED, "every record was acknowledged");
    Ok(began.elapsed())
}

/// Writes this many records through one stream, and waits for all answers.
pub(super) async fn stream(store: &Store) -> Result<Duration> {
    let began = Instant::now();
    let writer = store.writer();
    let mut answers = VecDeque::new();
    for number in 0..STREAMED {
        let (key, value) = record(number);
        answers.push_back(writer.put(&key, value).await?);
        if answers.len() == IN_FLIGHT {
            answers.pop_front().context("it is full")?.await?;
        }
    }
    for answer in answers {
        answer.await?;
    }
    writer.finish().await?;
    Ok(began.elapsed())
}

fn record(number: u64) -> (String, [u8; 100]) {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut value = [b'a'; 100];
    value[..8].copy_from_slice(&mixed.to_le_bytes());
    (format!("{:016x}", mixed % 100_000), value)
}
