//! Raw records into a topic, as any other tool would write them.

use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use outrigger_core::offset::{Offset, Partition};
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::client;
use super::topic::{Topic, kafka_partition};

const DELIVERY_MAX: Duration = Duration::from_secs(60);

/// Which record of a call, and where it went.
type Ack = (usize, Result<Offset, KafkaError>);

/// Travels with a record and comes back with its report.
pub(super) struct Ticket {
    index: usize,
    acks: Sender<Ack>,
}

/// Hands each delivery report to the call that waits for it.
pub(super) struct Acks;

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let outcome = match result {
            Ok(message) => Ok(acked_offset(message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        // The caller has given up when nobody receives: then the report has no reader any more.
        drop(ticket.acks.send((ticket.index, outcome)));
    }
}

fn acked_offset(offset: i64) -> Offset {
    Offset(u64::try_from(offset).expect("an acknowledged record of acks=all has an offset"))
}

pub(super) fn producer(bootstrap: &str) -> Result<ThreadedProducer<Acks>> {
    client::config(bootstrap)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("delivery.timeout.ms", DELIVERY_MAX.as_millis().to_string())
        .set("linger.ms", "0")
        .create_with_context(Acks)
        .context("creating a producer")
}

impl Topic {
    /// Puts one record, and waits until all in-sync replicas have it; no value is a tombstone.
    pub fn put(&self, partition: Partition, key: &[u8], value: Option<&[u8]>) -> Result<Offset> {
        let offsets = self.put_all([(partition, key, value)])?;
        Ok(offsets[0])
    }

    /// Puts many records at once. Returns their offsets in the order given.
    pub fn put_all<'a>(
        &self,
        records: impl IntoIterator<Item = (Partition, &'a [u8], Option<&'a [u8]>)>,
    ) -> Result<Vec<Offset>> {
        let records =
            records.into_iter().map(|(partition, key, value)| (partition, Some(key), value));
        send_all(&self.producer, &self.name, records)
    }

    /// Puts a record without a key, which no Outrigger writes and a compacted topic refuses.
    pub fn put_keyless(&self, partition: Partition, value: Option<&[u8]>) -> Result<Offset> {
        let offsets = send_all(&self.producer, &self.name, [(partition, None, value)])?;
        Ok(offsets[0])
    }
}

pub(super) fn send_all<'a>(
    producer: &ThreadedProducer<Acks>,
    topic: &str,
    records: impl IntoIterator<Item = (Partition, Option<&'a [u8]>, Option<&'a [u8]>)>,
) -> Result<Vec<Offset>> {
    let (sender, receiver) = mpsc::channel();
    let mut count = 0;
    for (index, (partition, key, value)) in records.into_iter().enumerate() {
        let ticket = Box::new(Ticket { index, acks: sender.clone() });
        let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, ticket)
            .partition(kafka_partition(partition));
        record.key = key;
        record.payload = value;
        send_when_there_is_room(producer, record)?;
        count = index + 1;
    }
    let mut offsets = vec![Offset::ZERO; count];
    for _ in 0..count {
        let (index, outcome) = receiver
            .recv_timeout(DELIVERY_MAX + DELIVERY_MAX)
            .context("waiting for delivery reports")?;
        offsets[index] = outcome.with_context(|| format!("record {index} for {topic}"))?;
    }
    Ok(offsets)
}

fn send_when_there_is_room(
    producer: &ThreadedProducer<Acks>,
    mut record: BaseRecord<'_, [u8], [u8], Box<Ticket>>,
) -> Result<()> {
    loop {
        record = match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => back,
            Err((error, _)) => return Err(anyhow!(error).context("sending a record")),
        };
        producer.flush(DELIVERY_MAX).context("making room for more records")?;
    }
}
