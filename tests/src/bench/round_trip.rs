//! What a record needs from a raw producer to a raw consumer.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::kafka::{Cluster, Topic};

const SEEN_MAX: Duration = Duration::from_secs(10);

/// A raw producer and a raw consumer, for one record at a time.
pub(super) struct RoundTrip {
    topic: String,
    producer: ThreadedProducer<DefaultProducerContext>,
    consumer: BaseConsumer,
}

impl RoundTrip {
    pub(super) fn new(cluster: &Cluster, topic: &Topic) -> Result<RoundTrip> {
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
        Ok(RoundTrip { topic: topic.name().to_owned(), producer, consumer })
    }

    /// Returns the time from the call that sends a record with this key until it is read.
    pub(super) fn produce_to_consume(&mut self, key: &str) -> Result<Duration> {
        let began = Instant::now();
        let record = BaseRecord::to(&self.topic).partition(0).key(key).payload(&[b'v'; 100][..]);
        self.producer.send(record).map_err(|(error, _)| error)?;
        let message = self.consumer.poll(SEEN_MAX).context("the record did not come back")??;
        ensure!(message.key() == Some(key.as_bytes()), "another record came back");
        Ok(began.elapsed())
    }
}
