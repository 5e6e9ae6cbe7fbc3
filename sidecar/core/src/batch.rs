//! What one fetch returned: one arena and an index, shared as it is by everything downstream.
//!
//! `range` is the position before and after: records hidden from us (markers, aborted or compacted
//! ones) are inside it. Where offsets are missing, `gap` says so; compaction and markers look alike.

use std::ops::Range;

use crate::offset::{Epoch, Offset, Partition};
use crate::partitioner::partition_of;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub partition: Partition,
    /// From the position before the batch to the position after it (exclusive).
    pub range: Range<Offset>,
    /// Each leader epoch seen with the first offset it was seen at, ascending.
    pub epochs: Vec<(Epoch, Offset)>,
    /// The log's cleaner had not passed this offset when the records were read: the high watermark
    /// of that fetch, or a later one; at the end, the end itself.
    pub clean_bound: Offset,
    /// Offsets are missing inside `range`.
    pub gap: bool,
    /// `range.end` was the end of what a reader of committed records could see.
    pub at_end: bool,
    /// Records whose key belongs to another partition (another tool's mistake): left out.
    pub misplaced: u32,
    /// Records without a key, which a compacted topic cannot hold by its own rules: left out.
    pub keyless: u32,
    /// The newest leader epoch that the whole fetch told, whatever was split off.
    newest: Option<Epoch>,
    /// A record is of an earlier leader epoch than one before it.
    falls: bool,
    arena: Vec<u8>,
    records: Vec<RecordRef>,
}

/// Where a record lies in the arena: the key, then the value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RecordRef {
    offset: Offset,
    start: u32,
    key_bytes: u32,
    value_bytes: Option<u32>,
}

/// One record as the log holds it. No value is a tombstone; an empty value is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: Offset,
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

impl Batch {
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.records.iter().map(|record| self.read(record))
    }

    /// Record `number`, counted from 0.
    pub(crate) fn record(&self, number: u32) -> Record<'_> {
        self.read(&self.records[index(number)])
    }

    fn read(&self, record: &RecordRef) -> Record<'_> {
        let bytes = &self.arena[index(record.start)..];
        let (key, behind) = bytes.split_at(index(record.key_bytes));
        let value = record.value_bytes.map(|length| &behind[..index(length)]);
        Record { offset: record.offset, key, value }
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// The newest epoch that the fetch told: a leader of it, or of a later one, answered.
    pub(crate) fn leader(&self) -> Option<Epoch> {
        self.newest
    }

    /// It is of another history than what was read up to a record of `before`, or than a part of itself: leader epochs
    /// never fall along a log.
    pub(crate) fn falls_below(&self, before: Option<Epoch>) -> bool {
        let first = self.epochs.first().map(|(epoch, _)| *epoch);
        self.falls || first.is_some() && first < before
    }

    /// The position after the last record below `offset`, or the start of `range`; it is lower than that where a record
    /// was left out.
    pub(crate) fn unbroken_to(&self, offset: Offset) -> Offset {
        if !self.gap {
            return offset;
        }
        let before = self.records.partition_point(|record| record.offset < offset);
        let last = before.checked_sub(1).map(|last| self.records[last].offset.next());
        last.unwrap_or(self.range.start)
    }

    /// The newest epoch that was seen below `offset`.
    pub(crate) fn epoch_before(&self, offset: Offset) -> Option<Epoch> {
        let seen = self.epochs.partition_point(|(_, first)| *first < offset);
        seen.checked_sub(1).map(|last| self.epochs[last].0)
    }

    /// The first record at `offset` or after it.
    pub(crate) fn next_record(&self, offset: Offset) -> Option<Offset> {
        let before = self.records.partition_point(|record| record.offset < offset);
        self.records.get(before).map(|record| record.offset)
    }

    /// Returns the two sides of `at`, which lies inside `range`. Each tells its own `gap`; where records were left out,
    /// both may tell one. The counts of records that were left out go to the second.
    ///
    /// Inside a hole nothing tells which epoch a position is of: the newest below it may have ended before, and whoever
    /// reads on from there would look as if it came from another history. The next one is a leader's that has
    /// everything below, so both sides tell it.
    pub(crate) fn split_at(mut self, at: Offset) -> (Batch, Batch) {
        let range = self.range.start..at;
        assert!(!range.is_empty() && at < self.range.end, "{at} is not inside {:?}", self.range);
        let first = self.records.partition_point(|record| record.offset < at);
        let cut = self.records.get(first).map_or(small(self.arena.len()), |record| record.start);
        let in_hole = first == 0 || self.records[first - 1].offset.next() < at;
        let epochs = self.epochs.partition_point(|(_, offset)| *offset < at);
        let next = self.epochs.get(epochs).copied().filter(|_| in_hole);
        let mut behind = Batch {
            range: at..self.range.end,
            epochs: self.epochs.split_off(epochs),
            arena: self.arena.split_off(index(cut)),
            records: self.records.split_off(first),
            ..self
        };
        for record in &mut behind.records {
            record.start -= cut;
        }
        let mut before = Batch {
            range,
            epochs: self.epochs.into_iter().chain(next).collect(),
            at_end: false,
            misplaced: 0,
            keyless: 0,
            arena: self.arena,
            records: self.records,
            ..behind
        };
        for side in [&mut before, &mut behind] {
            let records = u64::try_from(side.records.len()).expect("lengths fit 64 bits");
            side.gap &= records < side.range.end.since(side.range.start);
        }
        (before, behind)
    }

    /// Returns both as one batch, as one fetch would have returned it; `behind` continues this one.
    pub(crate) fn join(self, behind: Batch) -> Batch {
        assert_eq!(self.range.end, behind.range.start, "what is joined has no hole between");
        let end = behind.range.end;
        let gaps = [(self.gap, self.clean_bound), (behind.gap, behind.clean_bound)];
        let bounds = gaps.into_iter().filter_map(|(gap, bound)| gap.then_some(bound));
        let bound = bounds.max().unwrap_or(behind.clean_bound);
        let known = self.epochs.last().map(|(epoch, _)| *epoch);
        let later = behind.epochs.into_iter().filter(|(epoch, _)| Some(*epoch) > known);
        let shift = small(self.arena.len());
        let shifted = |record: RecordRef| RecordRef { start: record.start + shift, ..record };
        Batch {
            partition: self.partition,
            range: self.range.start..end,
            epochs: self.epochs.into_iter().chain(later).collect(),
            clean_bound: bound.max(end),
            gap: self.gap || behind.gap,
            at_end: behind.at_end,
            misplaced: self.misplaced + behind.misplaced,
            keyless: self.keyless + behind.keyless,
            newest: self.newest.max(behind.newest),
            falls: self.falls || behind.falls,
            arena: [self.arena, behind.arena].concat(),
            records: self
                .records
                .into_iter()
                .chain(behind.records.into_iter().map(shifted))
                .collect(),
        }
    }

    /// About how many bytes a store keeps in memory for it until it is flushed: tiny records cost more than their
    /// bytes.
    pub fn unflushed_bytes(&self) -> usize {
        const PER_RECORD: usize = 50;
        self.arena.len() + PER_RECORD * self.records.len()
    }
}

/// Fills a batch record by record in offset order.
#[derive(Debug)]
pub struct BatchBuilder {
    batch: Batch,
    partitions: u32,
}

impl BatchBuilder {
    /// A batch that starts at position `from` of a topic with `partitions` partitions.
    pub fn new(partition: Partition, partitions: u32, from: Offset) -> BatchBuilder {
        assert!(partition.0 < partitions, "partition {partition} of {partitions}");
        let batch = Batch {
            partition,
            range: from..from,
            epochs: Vec::new(),
            clean_bound: from,
            gap: false,
            at_end: false,
            misplaced: 0,
            keyless: 0,
            newest: None,
            falls: false,
            arena: Vec::new(),
            records: Vec::new(),
        };
        BatchBuilder { batch, partitions }
    }

    pub fn bytes(&self) -> usize {
        self.batch.arena.len()
    }

    /// Whether there is no record and no progress yet.
    pub fn is_empty(&self) -> bool {
        self.batch.range.is_empty()
    }

    pub fn push(
        &mut self,
        offset: Offset,
        epoch: Option<Epoch>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        self.advance(offset, epoch);
        self.batch.range.end = offset.next();
        let Some(key) = key else {
            self.batch.keyless += 1;
            return;
        };
        if partition_of(key, self.partitions) != self.batch.partition {
            self.batch.misplaced += 1;
            return;
        }
        let start = small(self.batch.arena.len());
        self.batch.arena.extend_from_slice(key);
        self.batch.arena.extend_from_slice(value.unwrap_or_default());
        let (key_bytes, value_bytes) = (small(key.len()), value.map(|value| small(value.len())));
        self.batch.records.push(RecordRef { offset, start, key_bytes, value_bytes });
    }

    /// Ends the batch where the reader met the end of what it may see: at `position`, with every hidden record below
    /// it.
    pub fn at_end(mut self, position: Offset, epoch: Option<Epoch>) -> Batch {
        self.advance(position, epoch);
        self.batch.range.end = position;
        self.batch.at_end = true;
        self.finish(position)
    }

    /// Ends the batch. A `clean_bound` (see the field) below the batch's own end is raised to that.
    pub fn finish(mut self, clean_bound: Offset) -> Batch {
        self.batch.clean_bound = clean_bound.max(self.batch.range.end);
        self.batch
    }

    fn advance(&mut self, offset: Offset, epoch: Option<Epoch>) {
        let end = self.batch.range.end;
        assert!(offset >= end, "the log went back from {end} to {offset}");
        self.batch.gap |= offset > end;
        let Some(epoch) = epoch else { return };
        self.batch.falls |= Some(epoch) < self.batch.newest;
        if self.batch.newest < Some(epoch) {
            self.batch.epochs.push((epoch, offset));
            self.batch.newest = Some(epoch);
        }
    }
}

fn small(length: usize) -> u32 {
    u32::try_from(length).expect("one fetch has less than 4 GiB")
}

pub(crate) fn index(number: u32) -> usize {
    usize::try_from(number).expect("usize holds 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> BatchBuilder {
        BatchBuilder::new(Partition(0), 1, Offset(10))
    }

    #[test]
    fn contiguous_records_leave_no_gap() {
        let mut builder = builder();
        builder.push(Offset(10), None, Some(b"a"), Some(b""));
        builder.push(Offset(11), None, Some(b"b"), None);
        let batch = builder.finish(Offset(12));
        assert!(!batch.gap);
        assert_eq!(batch.range, Offset(10)..Offset(12));
        let values: Vec<_> = batch.records().map(|record| record.value).collect();
        assert_eq!(values, [Some(&b""[..]), None]);
    }

    #[test]
    fn a_hole_before_between_or_after_is_a_gap() {
        let mut before = builder();
        before.push(Offset(11), None, Some(b"a"), None);
        assert!(before.finish(Offset(12)).gap);
        let mut after = builder();
        after.push(Offset(10), None, Some(b"a"), None);
        let after = after.at_end(Offset(12), None);
        assert!(after.gap && after.at_end);
        assert_eq!((after.range.end, after.clean_bound), (Offset(12), Offset(12)));
    }

    #[test]
    fn another_partitions_key_and_a_missing_key_are_counted_not_kept() {
        let mut builder = BatchBuilder::new(Partition(0), 1_000, Offset(0));
        builder.push(Offset(0), None, Some(b"abc"), Some(b"x"));
        builder.push(Offset(1), None, None, Some(b"x"));
        let batch = builder.finish(Offset(2));
        assert_eq!(
            (batch.misplaced, batch.keyless, batch.records().len(), batch.gap),
            (1, 1, 0, false)
        );
    }

    #[test]
    fn epochs_that_fall_are_of_two_histories() {
        let batch = |epochs: &[u32]| {
            let mut builder = builder();
            for (offset, epoch) in (10..).map(Offset).zip(epochs) {
                builder.push(offset, Some(Epoch(*epoch)), Some(b"a"), None);
            }
            builder.finish(Offset(20))
        };
        let falls = |epochs: &[u32], before| batch(epochs).falls_below(before);
        assert!(falls(&[2, 3, 1], None) && falls(&[2, 3, 2, 4], None));
        assert!(falls(&[1, 3], Some(Epoch(2))));
        assert!(!falls(&[2, 3], Some(Epoch(2))) && !falls(&[], Some(Epoch(2))));
    }

    /// 10 to 12 are records, 13 and 14 are missing, 15 is one, 16 to 19 are missing before the end.
    fn holed() -> Batch {
        let mut builder = builder();
        builder.push(Offset(10), Some(Epoch(1)), Some(b"a"), Some(b""));
        builder.push(Offset(11), Some(Epoch(1)), Some(b""), Some(b""));
        builder.push(Offset(12), Some(Epoch(2)), Some(b"c"), None);
        builder.push(Offset(15), Some(Epoch(3)), Some(b"d"), Some(b"long"));
        builder.at_end(Offset(20), Some(Epoch(4)))
    }

    #[test]
    fn the_two_sides_of_a_split_are_the_batch() {
        let whole = holed();
        for at in 11..20 {
            let at = Offset(at);
            let (before, behind) = holed().split_at(at);
            assert_eq!(
                (before.range.clone(), behind.range.clone()),
                (Offset(10)..at, at..Offset(20))
            );
            assert!(before.records().all(|record| record.offset < at), "{at}: {before:?}");
            assert!(behind.records().all(|record| record.offset >= at), "{at}: {behind:?}");
            let both: Vec<_> = before.records().chain(behind.records()).collect();
            assert_eq!(both, whole.records().collect::<Vec<_>>(), "{at}");
            let mut epochs = [before.epochs, behind.epochs].concat();
            epochs.dedup();
            assert_eq!(epochs, whole.epochs, "{at}");
            assert_eq!((before.at_end, behind.at_end), (false, true));
            assert_eq!((before.clean_bound, behind.clean_bound), (Offset(20), Offset(20)));
        }
    }

    #[test]
    fn the_two_sides_of_a_split_joined_are_the_batch() {
        for at in 11..20 {
            let (before, behind) = holed().split_at(Offset(at));
            let (whole, joined) = (holed(), before.join(behind));
            assert_eq!((&joined.range, joined.gap, joined.at_end), (&whole.range, true, true));
            assert_eq!((&joined.epochs, joined.newest), (&whole.epochs, whole.newest), "{at}");
            assert_eq!(joined.clean_bound, whole.clean_bound);
            assert!(joined.records().eq(whole.records()), "{at}: {joined:?}");
        }
    }

    #[test]
    fn only_where_offsets_are_missing_a_joined_batch_asks_how_far_the_cleaner_was() {
        let piece = |from: u64, gap: u64, bound: u64| {
            let mut builder = BatchBuilder::new(Partition(0), 1, Offset(from));
            builder.push(Offset(from + gap), None, Some(b"a"), None);
            builder.finish(Offset(bound))
        };
        let bound = |first: Batch, second: Batch| {
            let joined = first.join(second);
            (joined.gap, joined.clean_bound.0)
        };
        assert_eq!(bound(piece(10, 1, 30), piece(12, 0, 90)), (true, 30));
        assert_eq!(bound(piece(10, 0, 30), piece(11, 1, 90)), (true, 90));
        assert_eq!(bound(piece(10, 1, 12), piece(12, 0, 13)), (true, 13), "not below its end");
        assert_eq!(bound(piece(10, 0, 30), piece(11, 0, 90)), (false, 90));
    }

    #[test]
    fn a_position_inside_a_hole_is_of_the_epoch_behind_it() {
        let newest = |at| holed().split_at(Offset(at)).0.epochs.last().copied();
        let (second, third, fourth) =
            ((Epoch(2), Offset(12)), (Epoch(3), Offset(15)), (Epoch(4), Offset(20)));
        assert_eq!([newest(13), newest(14), newest(15)], [second, third, third].map(Some));
        assert_eq!([newest(16), newest(17), newest(19)], [third, fourth, fourth].map(Some));
    }

    #[test]
    fn a_gap_is_on_the_side_where_offsets_are_missing() {
        let gaps = |at: u64| {
            let (before, behind) = holed().split_at(Offset(at));
            (before.gap, behind.gap)
        };
        assert_eq!(
            [gaps(12), gaps(13), gaps(14), gaps(16)],
            [(false, true), (false, true), (true, true), (true, true)]
        );
        let mut full = builder();
        full.push(Offset(10), None, Some(b"a"), None);
        full.push(Offset(11), None, Some(b"b"), None);
        full.push(Offset(12), None, None, None);
        let (before, behind) = full.finish(Offset(13)).split_at(Offset(11));
        assert!(!before.gap && !behind.gap, "a record without a key is not missing");
        assert_eq!((before.keyless, behind.keyless), (0, 1));
    }

    #[test]
    fn epochs_are_recorded_where_they_begin() {
        let mut builder = builder();
        builder.push(Offset(10), Some(Epoch(3)), Some(b"a"), None);
        builder.push(Offset(11), Some(Epoch(3)), Some(b"b"), None);
        builder.push(Offset(12), Some(Epoch(5)), Some(b"c"), None);
        assert_eq!(
            builder.finish(Offset(13)).epochs,
            [(Epoch(3), Offset(10)), (Epoch(5), Offset(12))]
        );
    }
}
