//! Makes a failing plan small: what is left is what it takes to fail.
//!
//! Delta debugging (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, TSE 2002) over faults and
//! operations, then over the world they happen in, and last over times and numbers. A candidate is taken only if it
//! fails by the same oracle. The result depends on the plan and the bounds alone, not on how many threads try
//! candidates. Nothing here knows files.

mod numbers;
mod parts;
mod setting;
mod sweep;
#[cfg(test)]
mod tests;
mod times;
mod trial;

use std::time::{Duration, Instant};

pub use trial::headline;

use crate::oracle::Violation;
use crate::plan::Plan;
use crate::run::run;
use crate::trace::Trace;
use trial::{Judge, Trial};

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub tries: u64,
    pub time: Duration,
    pub threads: usize,
}

impl Bounds {
    pub const USUAL: Bounds = Bounds { tries: 50_000, time: Duration::from_secs(60), threads: 1 };
}

#[derive(Clone, Debug)]
pub struct Shrunk {
    pub plan: Plan,
    /// The violation of the small plan.
    pub violation: Violation,
    pub tries: u64,
    pub took: Duration,
    /// Whether nothing that is tried makes it smaller; otherwise a bound was reached before.
    pub minimal: bool,
}

type Pass = fn(&mut Trial<'_>);

/// What makes later passes faster comes first: a shorter run, then a smaller one.
const PASSES: [Pass; 14] = [
    times::cut,
    setting::calm,
    parts::pins,
    parts::watches,
    parts::faults,
    parts::operations,
    parts::entries,
    parts::pairs,
    parts::crashes,
    setting::smaller,
    setting::plain,
    times::grid,
    times::closer,
    numbers::plain,
];

/// None: the plan does not fail.
pub fn shrink(plan: &Plan, bounds: Bounds) -> Option<Shrunk> {
    shrink_by(plan, bounds, &|plan| run(plan, &Trace::default()).violation)
}

fn shrink_by(plan: &Plan, bounds: Bounds, judge: &Judge) -> Option<Shrunk> {
    let began = Instant::now();
    let mut trial = Trial::begin(plan, bounds, judge)?;
    let minimal = loop {
        let before = trial.best().clone();
        for pass in PASSES.iter() {
            pass(&mut trial);
        }
        if trial.is_spent() {
            break false;
        }
        if *trial.best() == before {
            break true;
        }
    };
    let (plan, violation, tries) = trial.end();
    Some(Shrunk { plan, violation, tries, took: began.elapsed(), minimal })
}
