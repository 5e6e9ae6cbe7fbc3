//! Another client's transaction on a topic: committed, aborted, or left open by whoever began it.

use std::time::Duration;

use anyhow::{Context, Result};
use outrigger_core::offset::{Offset, Partition};
use rdkafka::producer::{Producer, ThreadedProducer};

use super::client;
use super::topic::Topic;
use super::write::{self, Acks};

const CALL_MAX: Duration = Duration::from_secs(30);

/// A transaction that is dropped without an end stays open, as that of a client that died: until `timeout` has passed
/// and the coordinator has looked (every 10 s), or somebody begins one with the same id.
#[must_use = "a transaction that is dropped stays open"]
pub struct Transaction {
    producer: ThreadedProducer<Acks>,
    topic: String,
}

impl Topic {
    pub fn begin(&self, id: &str, timeout: Duration) -> Result<Transaction> {
        let producer: ThreadedProducer<Acks> = client::config(&self.bootstrap)
            .set("transactional.id", id)
            .set("transaction.timeout.ms", timeout.as_millis().to_string())
            // librdkafka refuses both above the transaction's own timeout.
            .set("message.timeout.ms", timeout.min(CALL_MAX).as_millis().to_string())
            .set("socket.timeout.ms", timeout.min(client::ANSWER_MAX).as_millis().to_string())
            .set("linger.ms", "0")
            .create_with_context(Acks)
            .context("creating a transactional producer")?;
        producer.init_transactions(CALL_MAX).context("init_transactions")?;
        producer.begin_transaction().context("begin_transaction")?;
        Ok(Transaction { producer, topic: self.name.clone() })
    }
}

impl Transaction {
    /// Puts a record, which is in the log when this returns, decided or not.
    pub fn put(&self, partition: Partition, key: &[u8], value: Option<&[u8]>) -> Result<Offset> {
        let offsets =
            write::send_all(&self.producer, &self.topic, [(partition, Some(key), value)])?;
        Ok(offsets[0])
    }

    /// Commits what was put, and begins the next one.
    pub fn commit_and_go_on(&self) -> Result<()> {
        self.producer.commit_transaction(CALL_MAX).context("commit_transaction")?;
        self.producer.begin_transaction().context("begin_transaction")
    }

    /// Aborts what was put, and begins the next one.
    pub fn abort_and_go_on(&self) -> Result<()> {
        self.producer.abort_transaction(CALL_MAX).context("abort_transaction")?;
        self.producer.begin_transaction().context("begin_transaction")
    }

    pub fn commit(self) -> Result<()> {
        self.producer.commit_transaction(CALL_MAX).context("commit_transaction")
    }

    pub fn abort(self) -> Result<()> {
        self.producer.abort_transaction(CALL_MAX).context("abort_transaction")
    }
}
