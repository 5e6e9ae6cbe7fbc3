//! The time from a write on one node to its row on another, against what a raw producer and a raw consumer need.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::Level;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tempfile::TempDir;

use super::{median, report, start_to_ready};
use crate::kafka::{Cluster, Topic, TopicSpec};
use crate::node::Node;

const PROBES: u64 = 1_000;
const SEEN_MAX: Duration = Duration::from_secs(10);

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic("bench-propagation", TopicSpec::store())?;
    let raw_topic = cluster.topic("bench-propagation-raw", TopicSpec::store())?;
    let directory = TempDir::new()?;
    let node = |name| Node::new(directory.path(), name, &cluster.bootstrap(), topic.name());
    let (mut a, mut b) = (node("a")?, node("b")?);
    start_to_ready(&mut a, 0).await?;
    start_to_ready(&mut b, 0).await?;
    let (writer, reader) = (a.store().await?, b.store().await?.with_level(Level::Session));

    let mut raw = Raw::new(cluster, &raw_topic)?;
    let (mut raws, mut from_put, mut from_answer) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..PROBES {
        let key = format!("{number:016x}");
        raws.push(micros(tokio::task::block_in_place(|| raw.produce_to_consume(&key))?));

        let began = Instant::now();
        writer.put(&key, [b'v'; 100]).await?;
        let acknowledged = Instant::now();
        reader.resume(writer.token().context("a writer has seen its own write")?)?;
        ensure!(reader.get(&key).await?.is_some(), "a read after its write has the row");
        from_put.push(micros(began.elapsed()));
        from_answer.push(micros(acknowledged.elapsed()));
    }
    let (raw, from_put, from_answer) = (median(raws), median(from_put), median(from_answer));
    let against = "raw produce to consume";
    report("Put on A to its row read on B", from_put, against, raw, "us", from_put / raw);
    report("its answer on A to the row on B", from_answer, against, raw, "us", from_answer / raw);
    Ok(())
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

/// A raw producer and a raw consumer, for one record at a time.
struct Raw {
    topic: String,
    producer: ThreadedProducer<DefaultProducerContext>,
    consumer: BaseConsumer,
}

impl Raw {
    fn new(cluster: &Cluster, topic: &Topic) -> Result<Raw> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", cluster.bootstrap());
        let producer = client
            .clone()
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .create()?;
        let consumer: BaseConsumer = client
            .set("auto.offset.reset", "error")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "10")
            .set("group.id", "outrigger-bench")
            .set("isolation.level", "read_committed")
            .create()?;
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset(topic.name(), 0, Offset::Offset(0))?;
        consumer.assign(&partitions)?;
        Ok(Raw { topic: topic.name().to_owned(), producer, consumer })
    }

    fn produce_to_consume(&mut self, key: &str) -> Result<Duration> {
        let began = Instant::now();
        let record = BaseRecord::to(&self.topic).partition(0).key(key).payload(&[b'v'; 100][..]);
        self.producer.send(record).map_err(|(error, _)| error)?;
        let message = self.consumer.poll(SEEN_MAX).context("the record did not come back")??;
        ensure!(message.key() == Some(key.as_bytes()), "another record came back");
        Ok(began.elapsed())
    }
}
