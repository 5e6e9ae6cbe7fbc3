//! The fastest that librdkafka reads: batches from one partition's queue, with which nothing is done.

use std::ffi::CString;
use std::ptr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::bindings as rdsys;
use rdkafka::consumer::{BaseConsumer, Consumer};

const BATCH: usize = 10_000;
const READ_MAX: Duration = Duration::from_secs(120);

/// Reads partition 0 of `topic` from 0 to `end`. Returns how long that took, from before the client was made.
pub(super) fn consume(bootstrap: &str, topic: &str, end: u64) -> Result<Duration> {
    let began = Instant::now();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "outrigger-bench")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("fetch.message.max.bytes", "1048576")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "10")
        .set("isolation.level", "read_committed")
        .set("queued.max.messages.kbytes", "32768")
        .set("queued.min.messages", "1000000")
        .create()?;
    let name = CString::new(topic)?;
    let client = consumer.client().native_ptr();
    // SAFETY: the client lives to the end of this function; the topic and queue are destroyed before it.
    unsafe {
        let topic = rdsys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut());
        ensure!(!topic.is_null(), "no such topic");
        let started = rdsys::rd_kafka_consume_start(topic, 0, 0);
        ensure!(started == 0, "the partition cannot be read");
        let read = read_to(topic, end);
        rdsys::rd_kafka_consume_stop(topic, 0);
        rdsys::rd_kafka_topic_destroy(topic);
        read?;
    }
    Ok(began.elapsed())
}

/// # Safety
/// `topic` must be consumed from partition 0.
unsafe fn read_to(topic: *mut rdsys::rd_kafka_topic_t, end: u64) -> Result<()> {
    let mut messages = vec![ptr::null_mut(); BATCH];
    let deadline = Instant::now() + READ_MAX;
    let (mut position, mut records) = (0, 0);
    while position < end {
        ensure!(Instant::now() < deadline, "not read within {READ_MAX:?}");
        // SAFETY: the array has room for BATCH pointers; each message is destroyed once.
        let count =
            unsafe { rdsys::rd_kafka_consume_batch(topic, 0, 10, messages.as_mut_ptr(), BATCH) };
        let count = usize::try_from(count).context("consuming")?;
        records += u64::try_from(count)?;
        for message in &messages[..count] {
            // SAFETY: as above; the offset is read before the message goes.
            unsafe {
                position = position.max(u64::try_from((**message).offset)? + 1);
                rdsys::rd_kafka_message_destroy(*message);
            }
        }
    }
    ensure!(
        records == end,
        "{records} of {end} records were read: nothing may be missing in this topic"
    );
    Ok(())
}
