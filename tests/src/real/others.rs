//! Other tools on the topic: raw records, transactions, and what makes the cleaner come by. The calls block.
//!
//! Whatever a tool writes is in the history as its own operation, outside of any session.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use outrigger_core::offset::Partition;
use outrigger_core::partitioner::partition_of;
use outrigger_sim::history::{Call, Told};
use outrigger_sim::plan::ForeignKey;

use super::book::Book;
use super::callers::{key, value};
use crate::kafka::{Topic, Transaction};

/// The timeout of a transaction that nobody ends; it is longer than a transaction of a plan lasts.
const TRANSACTION_MAX: Duration = Duration::from_secs(25);

/// How often it is tried to end a transaction.
const TRIES: usize = 3;

pub(super) struct Others {
    pub(super) topic: Topic,
    pub(super) book: Arc<Book>,
    /// Their number as callers: it follows those of the nodes.
    pub(super) node: usize,
}

impl Others {
    pub(super) fn write(&self, operation: u32, records: &[ForeignKey]) {
        for (place, record) in records.iter().enumerate() {
            let of = |number: &u32| partition_of(key(*number).as_bytes(), self.topic.partitions());
            let new = value(operation, place);
            match record {
                ForeignKey::Put(number) => {
                    self.record(operation, of(number), &key(*number), Some(&new));
                }
                ForeignKey::Empty(number) => {
                    self.record(operation, of(number), &key(*number), Some(""));
                }
                ForeignKey::Delete(number) => {
                    self.record(operation, of(number), &key(*number), None);
                }
                // With one partition, no record is in the wrong one.
                ForeignKey::Misplaced(number) if self.topic.partitions() == 1 => {
                    self.record(operation, of(number), &key(*number), Some(&new));
                }
                ForeignKey::Misplaced(number) => self.misplace(of(number), &key(*number), &new),
                ForeignKey::Keyless => {}
            }
        }
    }

    fn record(&self, operation: u32, partition: Partition, key: &str, value: Option<&str>) {
        let asked = self.book.ask_alone(operation, self.node, call(key, value));
        let told = match self.topic.put(partition, key.as_bytes(), value.map(str::as_bytes)) {
            Ok(offset) => Told::Appended { partition: partition.0, offset: offset.0 },
            Err(_) => Told::Unknown,
        };
        self.book.tell_alone(&asked, told);
    }

    /// Puts a record where its key does not belong. It is not in the history: whoever shows it shows what nobody wrote.
    fn misplace(&self, partition: Partition, key: &str, value: &str) {
        let next = Partition((partition.0 + 1) % self.topic.partitions());
        // It may land or not: it must not be seen either way.
        drop(self.topic.put(next, key.as_bytes(), Some(value.as_bytes())));
    }

    /// Makes a transaction of puts. An error when it could not begin, and nothing was written.
    pub(super) fn transact(
        &self,
        operation: u32,
        keys: &[u32],
        commit: bool,
        lasts: Duration,
    ) -> Result<()> {
        let id = format!("{}-{operation}", self.topic.name());
        let transaction = self.topic.begin(&id, TRANSACTION_MAX)?;
        let mut written = Vec::new();
        let mut whole = true;
        for (place, number) in keys.iter().enumerate() {
            let (key, value) = (key(*number), value(operation, place));
            let partition = partition_of(key.as_bytes(), self.topic.partitions());
            let offset = transaction.put(partition, key.as_bytes(), Some(value.as_bytes()));
            whole &= offset.is_ok();
            written.push((call(&key, Some(&value)), partition, offset.ok()));
        }
        // The transaction is open for as long as the plan says.
        thread::sleep(lasts);
        let begun = written
            .iter()
            .map(|(call, ..)| self.book.ask_alone(operation, self.node, call.clone()))
            .collect::<Vec<_>>();
        let committed = commit && whole;
        let ended = if committed { transaction.commit() } else { transaction.abort() };
        if ended.is_err() {
            self.fence(&id)?;
        }
        for (asked, (_, partition, offset)) in begun.iter().zip(&written) {
            let told = match (committed, &ended, offset) {
                (false, ..) => Told::Aborted,
                (true, Ok(()), Some(offset)) => {
                    Told::Appended { partition: partition.0, offset: offset.0 }
                }
                (true, ..) => Told::Unknown,
            };
            self.book.tell_alone(asked, told);
        }
        Ok(())
    }

    /// Decides whatever is open under this id.
    fn fence(&self, id: &str) -> Result<()> {
        let mut ended = Ok(());
        for _ in 0..TRIES {
            ended = self.topic.begin(id, TRANSACTION_MAX).and_then(Transaction::abort);
            if ended.is_ok() {
                break;
            }
        }
        ended.with_context(|| format!("ending transaction {id}"))
    }

    /// Closes segments: a tombstone in each partition, of a key that nobody has, does it once the segment is old
    /// enough.
    pub(super) fn compact(&self) -> Result<()> {
        for partition in Partition::all(self.topic.partitions()) {
            let filler = self.topic.filler_key(partition)?;
            self.topic.put(partition, filler.as_bytes(), None)?;
        }
        Ok(())
    }
}

fn call(key: &str, value: Option<&str>) -> Call {
    match value {
        Some(value) => Call::Put { key: key.into(), value: value.into() },
        None => Call::Delete { key: key.into() },
    }
}
