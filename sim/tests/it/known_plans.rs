//! Whole runs, so that `cargo test` alone judges core with every oracle: what once failed, and the first seeds.

use std::fs;
use std::path::Path;

use outrigger_sim::plan::Plan;
use outrigger_sim::run::run;
use outrigger_sim::swarm::{Extent, swarm};
use outrigger_sim::trace::Trace;

const SEEDS: u64 = 200;

/// Regression plans of which this many faults are left out of the run, for they would prove nothing.
const LEFT_OUT: [(&str, u64); 2] = [
    // This is what it holds.
    ("clocks-of-peers-apart", 1),
    ("retention-seen-while-refused", 4),
];

#[test]
fn what_once_failed_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut played = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let plan = Plan::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let outcome = run(&plan, &Trace::default());
        let violation = outcome.violation;
        assert!(violation.is_none(), "{}: {}", path.display(), violation.unwrap());
        // A rule that leaves faults out may leave out what a plan is there for.
        let begun: u64 = outcome.faults.values().sum();
        let named = |(plan, _): &&(&str, u64)| path.file_stem().is_some_and(|stem| stem == *plan);
        let left_out = LEFT_OUT.iter().find(named).map_or(0, |(_, faults)| *faults);
        let planned = u64::try_from(plan.faults.len()).unwrap();
        assert_eq!(begun + left_out, planned, "{}: faults that happen", path.display());
        played += 1;
    }
    assert!(played > 0, "no plans in {}", folder.display());
}

#[test]
fn the_first_seeds_pass() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // Mutants judge by this test: the first violation is enough.
    let swarmed = swarm(Extent::Seeds(1..=SEEDS), threads, true);
    assert!(swarmed.failures.is_empty(), "{:?}", swarmed.failures);
    assert_eq!(swarmed.seeds, SEEDS);
}
