//! What a partition really holds, record by record, and where it ends.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use outrigger_core::offset::{Offset, Partition};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::types::RDKafkaErrorCode;

use super::client;
use super::topic::{Topic, kafka_offset, kafka_partition};

const READ_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Records up to the high watermark, undecided and aborted ones too.
    Uncommitted,
    /// Committed records up to the last stable offset.
    Committed,
}

impl Isolation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Isolation::Uncommitted => "read_uncommitted",
            Isolation::Committed => "read_committed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: Offset,
    pub key: Option<Vec<u8>>,
    /// None is a tombstone.
    pub value: Option<Vec<u8>>,
    pub timestamp_ms: Option<i64>,
    /// How many headers it has.
    pub headers: usize,
}

impl Topic {
    /// All records from `from` up to the end that `isolation` sees. An offset below the log start or above
    /// the end is an error.
    pub fn read(
        &self,
        partition: Partition,
        from: Offset,
        isolation: Isolation,
    ) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        self.read_while(partition, from, isolation, |record| {
            records.push(record);
            true
        })?;
        Ok(records)
    }

    /// The first record at or after `from`, None at the end.
    pub fn first_from(
        &self,
        partition: Partition,
        from: Offset,
        isolation: Isolation,
    ) -> Result<Option<Record>> {
        let mut first = None;
        self.read_while(partition, from, isolation, |record| {
            first = Some(record);
            false
        })?;
        Ok(first)
    }

    /// Log start and high watermark.
    pub fn ends(&self, partition: Partition) -> Result<(Offset, Offset)> {
        self.watermarks(partition, Isolation::Uncommitted)
    }

    pub fn last_stable(&self, partition: Partition) -> Result<Offset> {
        Ok(self.watermarks(partition, Isolation::Committed)?.1)
    }

    fn watermarks(&self, partition: Partition, isolation: Isolation) -> Result<(Offset, Offset)> {
        let client = client::consumer(&self.bootstrap, isolation)?;
        let deadline = Instant::now() + READ_MAX;
        loop {
            match client.fetch_watermarks(&self.name, kafka_partition(partition), client::ASK_MAX) {
                Ok((low, high)) => {
                    return Ok((Offset(u64::try_from(low)?), Offset(u64::try_from(high)?)));
                }
                Err(error) if passes(&error) && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("ends of {}-{partition}", self.name));
                }
            }
        }
    }

    fn read_while(
        &self,
        partition: Partition,
        from: Offset,
        isolation: Isolation,
        mut more: impl FnMut(Record) -> bool,
    ) -> Result<()> {
        // A leader that has just restarted ends its fetches at the high watermark it once wrote down, below
        // what it acknowledged; asked for its end, it refuses until it knows better (KIP-207).
        self.ends(partition)?;
        let consumer = client::consumer(&self.bootstrap, isolation)?;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(
            &self.name,
            kafka_partition(partition),
            kafka_offset(from),
        )?;
        consumer.assign(&assignment).context("assigning")?;
        let deadline = Instant::now() + READ_MAX;
        while let Some(record) = next(&consumer, deadline)
            .with_context(|| format!("reading {}-{partition} from {from}", self.name))?
        {
            if !more(record) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The next record, None at the end of the partition. Lost connections are mended by the client.
fn next(consumer: &BaseConsumer, deadline: Instant) -> Result<Option<Record>> {
    loop {
        match consumer.poll(deadline.saturating_duration_since(Instant::now())) {
            None => bail!("no end within {READ_MAX:?}"),
            Some(Ok(message)) => return Ok(Some(record(&message)?)),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
            Some(Err(error)) if passes(&error) => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
}

/// What a broker's death and return look like from a client: asking again helps.
fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::DestroyBroker
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::OffsetNotAvailable
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}

fn record(message: &BorrowedMessage<'_>) -> Result<Record> {
    Ok(Record {
        offset: Offset(u64::try_from(message.offset())?),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        timestamp_ms: message.timestamp().to_millis(),
        headers: message.headers().map_or(0, Headers::count),
    })
}
