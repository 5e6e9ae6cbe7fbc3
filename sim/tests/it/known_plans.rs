//! Whole runs, so that `cargo test` alone judges core with every oracle: what once failed, and the first seeds.

use std::fs;
use std::path::Path;

use outrigger_sim::plan::Plan;
use outrigger_sim::run::run;
use outrigger_sim::swarm::{Extent, swarm};
use outrigger_sim::trace::Trace;

const SEEDS: u64 = 200;

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
        let violation = run(&plan, &Trace::default()).violation;
        assert!(violation.is_none(), "{}: {}", path.display(), violation.unwrap());
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
