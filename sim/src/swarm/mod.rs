//! Many seeds on several threads, and what they came to together.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::marks::Marks;
use crate::oracle::Violation;
use crate::plan::draw;
use crate::run::{Outcome, run};
use crate::trace::Trace;

/// Which seeds are played.
#[derive(Clone, Debug)]
pub enum Extent {
    Seeds(RangeInclusive<u64>),
    Until { from: u64, end: Instant },
}

/// What the seeds came to. Failures ascend by seed.
#[derive(Debug, Default)]
pub struct Swarmed {
    pub first_seed: u64,
    pub seeds: u64,
    pub threads: usize,
    pub took: Duration,
    pub simulated: Duration,
    pub operations: u64,
    pub marks: Marks,
    /// How often each fault came, by its catalogue id and the phase of the node that it hit.
    pub faults: BTreeMap<(&'static str, &'static str), u64>,
    pub failures: Vec<(u64, Violation)>,
}

pub fn swarm(extent: Extent, threads: usize, first: bool) -> Swarmed {
    let began = Instant::now();
    let from = match &extent {
        Extent::Seeds(seeds) => *seeds.start(),
        Extent::Until { from, .. } => *from,
    };
    let (next, stop) = (AtomicU64::new(from), AtomicBool::new(false));
    let total = Mutex::new(Swarmed { first_seed: from, threads, ..Swarmed::default() });
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Swarmed::default();
                while let Some(seed) = take(&extent, &next, &stop) {
                    let outcome = run(&draw(seed), &Trace::default());
                    stop.fetch_or(first && outcome.violation.is_some(), Ordering::Relaxed);
                    own.count(seed, outcome);
                }
                total.lock().expect("no thread panics while it holds the sum").add(own);
            });
        }
    });
    let mut total = total.into_inner().expect("no thread panics while it holds the sum");
    total.failures.sort_by_key(|(seed, _)| *seed);
    total.took = began.elapsed();
    total
}

fn take(extent: &Extent, next: &AtomicU64, stop: &AtomicBool) -> Option<u64> {
    if stop.load(Ordering::Relaxed) {
        return None;
    }
    let seed = next.fetch_add(1, Ordering::Relaxed);
    let on = match extent {
        Extent::Seeds(seeds) => seeds.contains(&seed),
        Extent::Until { end, .. } => Instant::now() < *end,
    };
    on.then_some(seed)
}

impl Swarmed {
    fn count(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        self.simulated += outcome.elapsed;
        self.operations += u64::try_from(outcome.operations).expect("lengths fit 64 bits");
        self.marks.add(&outcome.marks);
        for (fault, hits) in outcome.faults {
            *self.faults.entry(fault).or_default() += hits;
        }
        self.failures.extend(outcome.violation.map(|violation| (seed, violation)));
    }

    fn add(&mut self, other: Swarmed) {
        self.seeds += other.seeds;
        self.simulated += other.simulated;
        self.operations += other.operations;
        self.marks.add(&other.marks);
        for (fault, hits) in other.faults {
            *self.faults.entry(fault).or_default() += hits;
        }
        self.failures.extend(other.failures);
    }

    /// Faults by catalogue id.
    pub fn faults_by_id(&self) -> BTreeMap<&'static str, u64> {
        let mut sums = BTreeMap::new();
        for ((id, _), hits) in &self.faults {
            *sums.entry(*id).or_default() += hits;
        }
        sums
    }
}
