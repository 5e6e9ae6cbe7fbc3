//! How many bytes lie where in a partition, from a few samples of it: what is left to read of a restore.
//!
//! Offsets do not tell: compaction leaves few records of many offsets, and the newest part of a log is dense.
//! Kafka can tell a partition's size on a broker's disk, but not to librdkafka, and compressed. So the log is
//! sampled where most may be hidden: evenly at first, then wherever two neighbours differ.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use outrigger_core::offset::Offset;

/// What samples the parts of a topic, one per partition, in order; none when that failed. It blocks for seconds.
pub type Sampler = Arc<dyn Fn(&str, &[Range<Offset>]) -> Option<Vec<Density>> + Send + Sync>;

/// The number of equal parts into which a range is cut before any of them is sampled twice.
const PARTS: u64 = 16;

/// The last sample is at most this part of the range away from its end: what was written last was never compacted.
const LAST_PART: u64 = 256;

/// Samples of one range in all.
const SAMPLES_MAX: usize = 48;

/// A difference of less than this part of the whole is not sampled: a 200th.
const DIFFERENCE_MIN: u64 = 200;

/// One sample: the records that were met from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Offset of the first record, or the end: below it there is nothing.
    pub first: Offset,
    /// The offset after the last record that was met.
    pub end: Offset,
    /// Bytes of keys and values of the records that were met.
    pub bytes: u64,
}

/// What is known of one range of offsets.
#[derive(Clone, Debug)]
pub struct Density {
    range: Range<Offset>,
    samples_max: usize,
    /// The samples by the offset that each began at.
    samples: BTreeMap<Offset, Sample>,
}

impl Sample {
    /// Returns the bytes that `offsets` after its first record hold, if they are like those that were met.
    fn bytes_of(&self, offsets: u64) -> u64 {
        let met = self.end.since(self.first);
        let bytes = u128::from(self.bytes) * u128::from(offsets);
        bytes
            .checked_div(u128::from(met))
            .map_or(0, |bytes| u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

impl Density {
    /// Makes the density of a partition that shares the samples with `partitions` in all.
    pub fn new(range: Range<Offset>, partitions: usize) -> Density {
        let samples_max = (SAMPLES_MAX / partitions.max(1)).max(2);
        Density { range, samples_max, samples: BTreeMap::new() }
    }

    /// Returns the offset from which another sample tells most; none when nothing is worth it.
    pub fn next(&self) -> Option<Offset> {
        if self.samples.len() >= self.samples_max || self.range.is_empty() {
            return None;
        }
        if !self.samples.contains_key(&self.range.start) {
            return Some(self.range.start);
        }
        let length = self.range.end.since(self.range.start);
        let last = Offset(self.range.end.0 - (length / LAST_PART).max(1));
        if !self.knows(last) {
            return Some(last);
        }
        self.widest(length / PARTS).or_else(|| self.most_different())
    }

    pub fn add(&mut self, from: Offset, sample: Sample) {
        self.samples.insert(from, sample);
    }

    /// Returns the bytes of keys and values in `part`; behind the range it counts as at its end.
    pub fn bytes(&self, part: Range<Offset>) -> u64 {
        let cells = self.cells().map(|(cell, sample)| {
            let last = cell.end == self.range.end;
            let end = if last { part.end } else { part.end.min(cell.end) };
            sample.bytes_of(end.since(part.start.max(cell.start).max(sample.first)))
        });
        cells.fold(0, u64::saturating_add)
    }

    /// Returns each sample with the offsets that it stands for.
    fn cells(&self) -> impl Iterator<Item = (Range<Offset>, &Sample)> {
        let ends = self.samples.keys().copied().skip(1).chain([self.range.end]);
        self.samples.iter().zip(ends).map(|((from, sample), end)| (*from..end, sample))
    }

    /// Whether an offset lies in what was sampled, holes included.
    fn knows(&self, offset: Offset) -> bool {
        let before = self.samples.range(..=offset).next_back();
        before.is_some_and(|(_, sample)| offset < sample.end)
    }

    /// Returns what a sample stands for without having met it.
    fn unknown(cell: &Range<Offset>, sample: &Sample) -> Range<Offset> {
        sample.end.min(cell.end)..cell.end
    }

    /// Returns the middle of the widest unknown part, where it is wider than `offsets`.
    fn widest(&self, offsets: u64) -> Option<Offset> {
        let unknown = self.cells().map(|(cell, sample)| Density::unknown(&cell, sample));
        let widest = unknown.max_by_key(|part| part.end.since(part.start))?;
        (widest.end.since(widest.start) > offsets.max(1)).then(|| middle(&widest))
    }

    /// Returns the middle of the unknown part that would hold most more, or less, if it were as its other neighbour.
    fn most_different(&self) -> Option<Offset> {
        let whole = self.bytes(self.range.clone());
        let pairs = self.cells().zip(self.samples.iter().skip(1));
        let differences = pairs.map(|((cell, sample), (from, after))| {
            let part = Density::unknown(&cell, sample);
            let length = part.end.since(part.start);
            // The hole that the other begins with may reach back into this part.
            let after = Sample { first: *from, ..*after };
            (sample.bytes_of(length).abs_diff(after.bytes_of(length)), part)
        });
        let (difference, part) = differences
            .filter(|(_, part)| part.end.since(part.start) > 1)
            .max_by_key(|(difference, _)| *difference)?;
        (difference > whole / DIFFERENCE_MIN).then(|| middle(&part))
    }
}

fn middle(part: &Range<Offset>) -> Offset {
    Offset(part.start.0 + part.end.since(part.start) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD_BYTES: u64 = 100;

    /// Takes samples until nothing more is worth it, of a log that has a record at each of these offsets.
    fn density(range: Range<u64>, has: impl Fn(u64) -> bool) -> Density {
        let mut density = Density::new(Offset(range.start)..Offset(range.end), 1);
        while let Some(from) = density.next() {
            let met: Vec<_> = (from.0..range.end).filter(|offset| has(*offset)).take(50).collect();
            let end = Offset(range.end);
            let sample = Sample {
                first: met.first().map_or(end, |offset| Offset(*offset)),
                end: met.last().map_or(end, |offset| Offset(offset + 1)),
                bytes: u64::try_from(met.len()).unwrap() * RECORD_BYTES,
            };
            density.add(from, sample);
        }
        density
    }

    /// Asserts that the estimate is off by this many percent at most, asked from every tenth of the range on.
    fn assert_near(density: &Density, has: impl Fn(u64) -> bool, percent: u64) {
        let (start, end) = (density.range.start.0, density.range.end.0);
        for tenth in 0..9 {
            let from = start + (end - start) * tenth / 10;
            let there = u64::try_from((from..end).filter(|offset| has(*offset)).count()).unwrap();
            let told = density.bytes(Offset(from)..Offset(end));
            let off = told.abs_diff(there * RECORD_BYTES) * 100;
            assert!(
                off <= percent * there * RECORD_BYTES,
                "from {from}: {told}, not {there} records"
            );
        }
    }

    #[test]
    fn a_uniform_log_needs_few_looks() {
        let uniform = density(1_000..101_000, |_| true);
        assert_near(&uniform, |_| true, 1);
        assert!(uniform.samples.len() <= 20, "{} samples", uniform.samples.len());
    }

    #[test]
    fn a_sparse_part_and_a_dense_head_are_told_apart() {
        for border in [30_000, 71_234, 97_000] {
            let has = |offset: u64| offset >= border || offset.is_multiple_of(50);
            assert_near(&density(0..100_000, has), has, 10);
        }
    }

    /// Keys are overwritten in turn: the cleaner leaves the last turn and nothing of those before.
    #[test]
    fn a_hole_holds_nothing() {
        let has = |offset| (40_000..50_000).contains(&offset) || offset >= 90_000;
        assert_near(&density(0..100_000, has), has, 10);
    }

    #[test]
    fn behind_the_range_it_goes_on_as_at_its_end() {
        let uniform = density(0..10_000, |_| true);
        assert_eq!(uniform.bytes(Offset(10_000)..Offset(10_010)), 10 * RECORD_BYTES);
    }

    #[test]
    fn nothing_to_read_needs_no_look() {
        let nothing = density(5..5, |_| true);
        assert_eq!((nothing.samples.len(), nothing.bytes(Offset(5)..Offset(5))), (0, 0));
        let one = density(5..6, |_| true);
        assert_eq!(one.bytes(Offset(5)..Offset(6)), RECORD_BYTES);
    }

    #[test]
    fn partitions_share_the_looks() {
        let mut shared = Density::new(Offset(0)..Offset(1_000_000), 1_000);
        while let Some(from) = shared.next() {
            shared.add(from, Sample { first: from, end: from.next(), bytes: 1 });
        }
        assert_eq!(shared.samples.len(), 2);
    }
}
