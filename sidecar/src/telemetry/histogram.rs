//! Latencies, counted where they happen, for calls that take microseconds: some atomic counters, and nothing else.
//!
//! The recorder's own histograms keep every sample until somebody looks, and are found by name. These cost two additions
//! for a sample, whoever looks.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const INFALLIBLE: &str = "a String takes every text";

/// Upper bounds of the buckets, in microseconds: from a read out of memory to the longest wait for the log.
const BOUNDS_US: [u64; 19] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

pub(super) struct Histogram {
    /// By bucket; the last one has no upper bound.
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    nanos: AtomicU64,
}

impl Histogram {
    pub(super) const fn new() -> Histogram {
        Histogram {
            counts: [const { AtomicU64::new(0) }; BOUNDS_US.len() + 1],
            nanos: AtomicU64::new(0),
        }
    }

    /// Counts a sample. Nothing waits for anything, and nothing is allocated.
    pub(super) fn record(&self, took: Duration) {
        let bucket = BOUNDS_US.partition_point(|bound| Duration::from_micros(*bound) < took);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }

    /// Writes the samples of these labels, such as `store="notes"`, as Prometheus reads them.
    pub(super) fn write(&self, name: &str, labels: &str, text: &mut String) {
        let mut below = 0;
        let bounds = BOUNDS_US.iter().map(|bound| seconds(*bound)).chain(["+Inf".to_owned()]);
        for (count, bound) in self.counts.iter().zip(bounds) {
            below += count.load(Ordering::Relaxed);
            writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}").expect(INFALLIBLE);
        }
        let sum = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64();
        writeln!(text, "{name}_sum{{{labels}}} {sum}").expect(INFALLIBLE);
        writeln!(text, "{name}_count{{{labels}}} {below}").expect(INFALLIBLE);
    }
}

fn seconds(micros: u64) -> String {
    Duration::from_micros(micros).as_secs_f64().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_in_every_bucket_that_it_is_not_above() {
        let histogram = Histogram::new();
        assert!(histogram.is_empty());
        for took in [50, 51, 1_000_000, 60_000_000] {
            histogram.record(Duration::from_micros(took));
        }
        let mut text = String::new();
        histogram.write("call_seconds", "rpc=\"Get\"", &mut text);
        let has = |line: &str| assert!(text.lines().any(|has| has == line), "{line} in\n{text}");
        has("call_seconds_bucket{rpc=\"Get\",le=\"0.00005\"} 1");
        has("call_seconds_bucket{rpc=\"Get\",le=\"0.0001\"} 2");
        has("call_seconds_bucket{rpc=\"Get\",le=\"0.5\"} 2");
        has("call_seconds_bucket{rpc=\"Get\",le=\"1\"} 3");
        has("call_seconds_bucket{rpc=\"Get\",le=\"30\"} 3");
        has("call_seconds_bucket{rpc=\"Get\",le=\"60\"} 4");
        has("call_seconds_bucket{rpc=\"Get\",le=\"+Inf\"} 4");
        has("call_seconds_sum{rpc=\"Get\"} 61.000101");
        has("call_seconds_count{rpc=\"Get\"} 4");
        assert!(!histogram.is_empty());
    }

    #[test]
    fn bounds_grow() {
        assert!(BOUNDS_US.is_sorted_by(|one, other| one < other));
    }
}
