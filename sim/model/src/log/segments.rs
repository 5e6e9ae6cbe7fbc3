//! A partition's records on disk as Kafka lays them out: batches in segments, the last one active.
//!
//! Offsets never move. A batch keeps its offset range when compaction removes records from it, and
//! goes when it is empty, except where its offsets are all that says where the log ends. Replicas share
//! batches: a batch in a log is never changed, only replaced.

use std::sync::Arc;

use bytes::Bytes;
use outrigger_core::offset::{Epoch, Offset};

use super::transactions::{ProducerId, Verdict};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch {
    pub base: Offset,
    /// The last offset of the range (inclusive), whether or not its record still exists.
    pub last: Offset,
    pub epoch: Epoch,
    /// LogAppendTime, milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Set for batches of a transaction and for its marker.
    pub producer: Option<ProducerId>,
    /// When tombstones (or an emptied transaction's marker) in here may go: set by the first
    /// cleaning that keeps them (KIP-534).
    pub delete_horizon_ms: Option<u64>,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Records(Vec<Entry>),
    /// The control record that ends a transaction; readers never see it.
    Marker(Verdict),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub offset: Offset,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
}

impl RecordBatch {
    pub fn key_and_value_bytes(&self) -> usize {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        self.records().iter().map(|record| len(&record.key) + len(&record.value)).sum()
    }

    pub(super) fn records(&self) -> &[Entry] {
        match &self.content {
            Content::Records(records) => records,
            Content::Marker(_) => &[],
        }
    }

    fn offsets(&self) -> usize {
        usize::try_from(self.last.since(self.base) + 1).expect("a batch fits memory")
    }
}

/// When a segment is full, and the next append rolls a new one.
#[derive(Clone, Copy, Debug)]
pub struct SegmentLimits {
    pub offsets_max: usize,
    /// `segment.ms`: judged at the next append only, as in Kafka.
    pub age_ms: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) base: Offset,
    pub(super) batches: Vec<Arc<RecordBatch>>,
    opened_ms: Option<u64>,
    offsets: usize,
}

impl Segment {
    fn starting(base: Offset) -> Segment {
        Segment { base, batches: Vec::new(), opened_ms: None, offsets: 0 }
    }

    pub(super) fn newest_ms(&self) -> u64 {
        self.batches.iter().map(|batch| batch.timestamp_ms).max().unwrap_or(0)
    }

    fn push(&mut self, batch: Arc<RecordBatch>) {
        self.opened_ms.get_or_insert(batch.timestamp_ms);
        self.offsets += batch.offsets();
        self.batches.push(batch);
    }

    fn full(&self, limits: SegmentLimits, now_ms: u64) -> bool {
        let old = |opened_ms: u64| now_ms.saturating_sub(opened_ms) > limits.age_ms;
        self.offsets >= limits.offsets_max || self.opened_ms.is_some_and(old)
    }
}

/// The segments of a log, never none: the last one is the active one.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    list: Vec<Segment>,
}

impl Segments {
    pub(super) fn starting(base: Offset) -> Segments {
        Segments { list: vec![Segment::starting(base)] }
    }

    pub(super) fn all(&self) -> &[Segment] {
        &self.list
    }

    pub(super) fn active(&self) -> &Segment {
        self.list.last().expect("there is always an active segment")
    }

    pub(super) fn push(&mut self, batch: Arc<RecordBatch>, limits: SegmentLimits) {
        if self.active().full(limits, batch.timestamp_ms) {
            self.roll(batch.base);
        }
        self.list.last_mut().expect("there is always an active segment").push(batch);
    }

    /// The active segment begins at `end`.
    pub(super) fn roll(&mut self, end: Offset) {
        let active = self.list.last_mut().expect("there is always an active segment");
        if active.batches.is_empty() {
            active.base = end;
        } else {
            self.list.push(Segment::starting(end));
        }
    }

    pub(super) fn batches(&self) -> impl DoubleEndedIterator<Item = &RecordBatch> {
        self.list.iter().flat_map(|segment| segment.batches.iter().map(Arc::as_ref))
    }

    /// Batches with an offset at or above `from`, in order.
    pub(super) fn batches_from(&self, from: Offset) -> impl Iterator<Item = &Arc<RecordBatch>> {
        let first = self.list.partition_point(|segment| segment.base <= from).saturating_sub(1);
        self.list[first..].iter().flat_map(move |segment| {
            let skip = segment.batches.partition_point(|batch| batch.last < from);
            &segment.batches[skip..]
        })
    }

    pub(super) fn records_below(&self, end: Offset) -> usize {
        let below = self.batches().take_while(|batch| batch.base < end);
        below.map(|batch| batch.records().len()).sum()
    }

    /// The last batch below `end`, hidden or not.
    pub(super) fn last_below(&self, end: Offset) -> Option<&RecordBatch> {
        self.batches().rev().find(|batch| batch.base < end)
    }

    /// Replaces the segments below `bound` by one rewritten stretch, as the cleaner's merging does.
    pub(super) fn replace_below(
        &mut self,
        bound: Offset,
        kept: Vec<Arc<RecordBatch>>,
        limits: SegmentLimits,
    ) {
        let first_kept = self.list.partition_point(|segment| segment.base < bound);
        let base = self.list.first().expect("there is always an active segment").base;
        let mut rewritten = vec![Segment::starting(base)];
        for batch in kept {
            if rewritten.last().is_some_and(|segment| segment.offsets >= limits.offsets_max) {
                rewritten.push(Segment::starting(batch.base));
            }
            rewritten.last_mut().expect("one was put there").push(batch);
        }
        assert!(first_kept < self.list.len(), "the active segment is never cleaned");
        self.list.splice(..first_kept, rewritten);
    }

    /// Drops batches that reach `end` or beyond: truncation ends between batches. Returns the new end.
    pub(super) fn truncate(&mut self, end: Offset) -> Offset {
        let cut =
            self.batches().find(|batch| batch.last >= end).map_or(end, |batch| batch.base.min(end));
        self.list.retain(|segment| segment.base <= cut);
        match self.list.last_mut() {
            Some(active) => active.batches.retain(|batch| batch.last < cut),
            None => self.list.push(Segment::starting(cut)),
        }
        cut
    }

    /// Drops what `DeleteRecords` put out of reach; whole segments go later in Kafka, unseen.
    pub(super) fn delete_below(&mut self, start: Offset) {
        for segment in &mut self.list {
            segment.batches.retain(|batch| batch.last >= start);
        }
    }
}
