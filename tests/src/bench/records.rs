//! The records that every restore reads: keys of 16 bytes, values of 100.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

/// Bytes of key and value.
pub(super) const RECORD_BYTES: u64 = 16 + 100;

const FLUSH_MAX: Duration = Duration::from_secs(120);

/// The records of one topic: what each has follows from its offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records {
    /// How many different keys there are at most, each as likely as the others.
    pub(super) keys: u64,
}

impl Records {
    /// Records of which no two, or hardly any, have the same key.
    pub(super) const DISTINCT: Records = Records { keys: 1 << 44 };

    pub(super) fn key_number(self, offset: u64) -> u64 {
        (mixed(offset) >> 20) % self.keys
    }

    pub(super) fn key(number: u64) -> String {
        format!("{number:016x}")
    }

    pub(super) fn value(offset: u64) -> [u8; 100] {
        let mut value = [b'a'; 100];
        // Half of it compresses, as text does.
        for (at, byte) in (0..).zip(&mut value).skip(1).step_by(2) {
            *byte = mixed(offset).rotate_left(at).to_le_bytes()[0];
        }
        value
    }

    /// For each key, by its number, the last of the first `count` records that has it.
    pub(super) fn newest(self, count: u64) -> Result<Vec<Option<u64>>> {
        let mut newest = vec![None; usize::try_from(self.keys)?];
        for offset in 0..count {
            newest[usize::try_from(self.key_number(offset))?] = Some(offset);
        }
        Ok(newest)
    }

    pub(super) fn fill(self, bootstrap: &str, topic: &str, offsets: Range<u64>) -> Result<()> {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .create()?;
        for offset in offsets {
            let (key, value) = (Records::key(self.key_number(offset)), Records::value(offset));
            while let Err((error, _)) =
                producer.send(BaseRecord::to(topic).partition(0).key(&key).payload(&value[..]))
            {
                let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                ensure!(error == full, "{error}");
                producer.poll(Duration::from_millis(5));
            }
        }
        Ok(producer.flush(FLUSH_MAX)?)
    }
}

fn mixed(offset: u64) -> u64 {
    offset.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
