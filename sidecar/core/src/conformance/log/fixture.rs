//! What the cases share: waiting for an answer, appending, reading up to a position.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{FILLER, Foreign, LogUnderTest};
use crate::batch::Batch;
use crate::log::{KafkaError, LogCall, LogEvent, Loss, PartitionEnd, Write};
use crate::offset::{Epoch, Offset, Partition, RequestId, Revision};
use crate::topic::{LogFacts, TopicId};

pub(super) const P0: Partition = Partition(0);
/// The node under test, and another node's client.
pub(super) const ONE: u32 = 1;
pub(super) const TWO: u32 = 2;
/// An answer later than this is missing: a real broker's outages and deliveries are inside.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long silence is watched where silence is what is promised.
const SILENCE: Duration = Duration::from_millis(700);
pub(super) const CREDIT: u32 = 1 << 20;
/// More answers than any case has cause for.
const EVENTS_MAX: usize = 100_000;

/// Everything that reading a stretch of a partition brought.
#[derive(Debug)]
pub struct Seen {
    pub from: Offset,
    /// Everything below was passed over.
    pub position: Offset,
    /// Offset, key and value of each record that is no filler.
    pub records: Vec<(Offset, Vec<u8>, Option<Vec<u8>>)>,
    /// Offsets were missing in some batch.
    pub gap: bool,
    pub misplaced: u32,
    pub keyless: u32,
    /// Epochs with the first offset they were seen at.
    pub epochs: Vec<(Epoch, Offset)>,
}

impl Seen {
    pub fn offsets(&self) -> Vec<u64> {
        self.records.iter().map(|(offset, _, _)| offset.0).collect()
    }

    /// What a store holds after applying these records in order.
    pub fn fold(&self) -> std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = std::collections::BTreeMap::new();
        for (_, key, value) in &self.records {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        rows
    }

    fn take(&mut self, batch: &Batch) {
        assert_eq!(batch.range.start, self.position, "a batch begins where the one before ended");
        assert!(batch.clean_bound >= batch.range.end, "a clean bound is not below what was read");
        let dense = batch.range.end.since(batch.range.start);
        let told = u64::try_from(batch.records().len()).expect("lengths fit 64 bits");
        let left_out = u64::from(batch.misplaced) + u64::from(batch.keyless);
        assert_eq!(batch.gap, told + left_out < dense, "a gap is said where offsets are missing");
        for record in batch.records() {
            assert!(
                batch.range.contains(&record.offset),
                "{} outside {:?}",
                record.offset,
                batch.range
            );
            if record.key != FILLER {
                let value = record.value.map(<[u8]>::to_vec);
                self.records.push((record.offset, record.key.to_vec(), value));
            }
        }
        assert!(
            self.records.is_sorted_by_key(|(offset, _, _)| *offset),
            "records come in log order"
        );
        self.position = batch.range.end;
        self.gap |= batch.gap;
        self.misplaced += batch.misplaced;
        self.keyless += batch.keyless;
        self.epochs.extend(&batch.epochs);
    }
}

/// Assigns at `from` and reads until the end is met at `end` or beyond.
pub fn read_to(
    log: &mut dyn LogUnderTest,
    client: u32,
    partition: Partition,
    from: Offset,
    end: Offset,
) -> Seen {
    assign(log, client, partition, from, None);
    read_on(log, client, partition, from, end)
}

/// Reads on from `from`, the reader's position, until the end is met at `end` or beyond.
pub(super) fn read_on(
    log: &mut dyn LogUnderTest,
    client: u32,
    partition: Partition,
    from: Offset,
    end: Offset,
) -> Seen {
    let mut seen = Seen {
        from,
        position: from,
        records: Vec::new(),
        gap: false,
        misplaced: 0,
        keyless: 0,
        epochs: Vec::new(),
    };
    for _ in 0..EVENTS_MAX {
        let batch = fetch(log, client, partition, CREDIT).expect("the position is valid");
        seen.take(&batch);
        if batch.at_end && seen.position >= end {
            return seen;
        }
    }
    panic!("the end {end} was not met: {seen:?}")
}

/// The next event that is not `Trouble`.
pub(super) fn next(log: &mut dyn LogUnderTest, client: u32) -> LogEvent {
    for _ in 0..EVENTS_MAX {
        match log.next_event(client, PATIENCE) {
            Some(LogEvent::Trouble(_)) => {}
            Some(event) => return event,
            None => break,
        }
    }
    panic!("client {client} got no answer within {PATIENCE:?}")
}

/// Asserts that nothing but `Trouble` comes for a while.
pub(super) fn silence(log: &mut dyn LogUnderTest, client: u32) {
    for _ in 0..EVENTS_MAX {
        match log.next_event(client, SILENCE) {
            Some(LogEvent::Trouble(_)) => {}
            Some(event) => panic!("client {client} was told without a call: {event:?}"),
            None => return,
        }
    }
}

pub(super) fn assign(
    log: &mut dyn LogUnderTest,
    client: u32,
    partition: Partition,
    at: Offset,
    epoch: Option<Epoch>,
) {
    log.call(client, LogCall::Assign { partition, at, epoch });
    assert_eq!(next(log, client), LogEvent::Assigned { partition });
}

pub(super) fn fetch(
    log: &mut dyn LogUnderTest,
    client: u32,
    partition: Partition,
    bytes_max: u32,
) -> Result<Batch, Loss> {
    log.call(client, LogCall::Fetch { partition, bytes_max });
    fetched(log, client, partition)
}

/// The answer to the fetch under way.
pub(super) fn fetched(
    log: &mut dyn LogUnderTest,
    client: u32,
    asked: Partition,
) -> Result<Batch, Loss> {
    match next(log, client) {
        LogEvent::Fetched(batch) if batch.partition == asked => Ok(batch),
        LogEvent::Lost { partition, loss } if partition == asked => Err(loss),
        other => panic!("a fetch of {asked} was answered by {other:?}"),
    }
}

/// Assigns at `at` and fetches. Returns why that position is refused.
pub(super) fn loss(
    log: &mut dyn LogUnderTest,
    client: u32,
    at: Offset,
    epoch: Option<Epoch>,
) -> Loss {
    assign(log, client, P0, at, epoch);
    match fetch(log, client, P0, CREDIT) {
        Err(loss) => loss,
        Ok(batch) => panic!("a position that is not in the log was read from: {batch:?}"),
    }
}

pub(super) fn put(key: &str, value: &str) -> Write {
    write(P0, key, Some(value))
}

pub(super) fn delete(key: &str) -> Write {
    write(P0, key, None)
}

pub(super) fn write(partition: Partition, key: &str, value: Option<&str>) -> Write {
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    Write { partition, key: Bytes::copy_from_slice(key.as_bytes()), value }
}

pub(super) fn foreign(key: &str, value: &str) -> Foreign {
    let bytes = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
    Foreign { key: bytes(key), value: bytes(value) }
}

/// Appends and waits for the answer.
pub(super) fn append(
    log: &mut dyn LogUnderTest,
    client: u32,
    writes: &[Write],
) -> Vec<Result<Revision, KafkaError>> {
    let id = RequestId(7);
    log.call(client, LogCall::Append { id, writes: Arc::from(writes) });
    match next(log, client) {
        LogEvent::Appended { id: answered, results } => {
            assert_eq!(answered, id);
            assert_eq!(results.len(), writes.len(), "one result per write");
            results
        }
        other => panic!("an append was answered by {other:?}"),
    }
}

/// Appends what must succeed, and returns the records' offsets.
pub(super) fn appended(log: &mut dyn LogUnderTest, writes: &[Write]) -> Vec<Offset> {
    let results = append(log, ONE, writes);
    let offset = |(write, result): (&Write, Result<Revision, KafkaError>)| {
        let revision = result.expect("a healthy log takes a write");
        assert_eq!(revision.partition, write.partition);
        revision.offset
    };
    writes.iter().zip(results).map(offset).collect()
}

pub(super) fn ends(log: &mut dyn LogUnderTest, client: u32) -> Vec<PartitionEnd> {
    log.call(client, LogCall::Ends);
    match next(log, client) {
        LogEvent::Ends(ends) => {
            ends.into_iter().map(|end| end.expect("all leaders answer")).collect()
        }
        other => panic!("Ends was answered by {other:?}"),
    }
}

pub(super) fn describe(log: &mut dyn LogUnderTest, client: u32) -> LogFacts {
    log.call(client, LogCall::Describe);
    match next(log, client) {
        LogEvent::Facts(facts) => facts,
        other => panic!("Describe was answered by {other:?}"),
    }
}

pub(super) fn topic_id(log: &mut dyn LogUnderTest, client: u32) -> TopicId {
    log.call(client, LogCall::TopicId);
    match next(log, client) {
        LogEvent::TopicId(id) => id,
        other => panic!("TopicId was answered by {other:?}"),
    }
}

/// Records as text, for comparing.
pub(super) fn texts(seen: &Seen) -> Vec<(u64, String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let record = |(offset, key, value): &(Offset, Vec<u8>, Option<Vec<u8>>)| {
        (offset.0, text(key), value.as_deref().map(text))
    };
    seen.records.iter().map(record).collect()
}

/// `texts` as a literal.
pub(super) fn expected(
    records: &[(u64, &str, Option<&str>)],
) -> Vec<(u64, String, Option<String>)> {
    let record = |(offset, key, value): &(u64, &str, Option<&str>)| {
        (*offset, (*key).to_owned(), value.map(str::to_owned))
    };
    records.iter().map(record).collect()
}
