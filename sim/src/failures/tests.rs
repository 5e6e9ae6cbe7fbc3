//! Grouping, on failures that are made up.

use std::time::Duration;

use super::{Failure, Key, add, next, show_seeds};
use crate::oracle::{OracleId, Violation};
use crate::plan::{Fault, FaultKind, Plan, draw};
use crate::shrink::Shrunk;

fn violation(oracle: OracleId, what: &str) -> Violation {
    let (at, node, keys) = (Duration::ZERO, None, Vec::new());
    Violation { oracle, at, node, keys, what: what.to_owned() }
}

fn shrunk(what: &str, faults: &[FaultKind], operations: usize) -> Shrunk {
    let mut plan = draw(1);
    plan.operations.truncate(operations);
    let fault = |what: &FaultKind| Fault { at_ms: 1, lasts_ms: 0, what: what.clone() };
    plan.faults = faults.iter().map(fault).collect();
    let violation = violation(OracleId::O4, what);
    Shrunk { plan, violation, tries: 1, took: Duration::ZERO, minimal: true }
}

fn failure(seed: u64, shrunk: Shrunk) -> Failure {
    let found: Plan = draw(seed);
    Failure { key: Key::of(&shrunk), seeds: vec![seed], found, shrunk }
}

#[test]
fn a_bug_is_its_oracle_what_it_says_and_the_kinds_of_its_faults() {
    let pause = |node| FaultKind::Pause { node };
    let one = Key::of(&shrunk("k1 is v3.0 at 7", &[pause(0)], 2));
    let same = Key::of(&shrunk("k12 is v44.1 at 70", &[pause(1), pause(0)], 5));
    assert_eq!(one, same);
    assert_eq!(one.name(), same.name());
    let others = [
        Key::of(&shrunk("k1 is nothing", &[pause(0)], 2)),
        Key::of(&shrunk("k1 is v3.0 at 7", &[FaultKind::Clean], 2)),
        Key::of(&shrunk("k1 is v3.0 at 7", &[], 2)),
    ];
    for other in others {
        assert_ne!(one.name(), other.name());
    }
}

#[test]
fn a_folder_has_the_same_name_in_every_run() {
    let headline =
        "panic at sidecar/core/src/node/keep_up.rs:#: attempt to subtract with overflow".to_owned();
    let key = Key { oracle: OracleId::O16, headline, kinds: Default::default() };
    assert_eq!(key.name(), "O16-cd191833");
}

#[test]
fn seeds_of_one_bug_come_together_with_the_smaller_plan() {
    let mut failures = Vec::new();
    add(&mut failures, failure(9, shrunk("k1 is v3.0 at 7", &[], 5)));
    add(&mut failures, failure(3, shrunk("k2 is v4.0 at 9", &[], 2)));
    add(&mut failures, failure(6, shrunk("k3 is v5.0 at 1", &[], 4)));
    add(&mut failures, failure(7, shrunk("k3 is nothing", &[], 4)));
    assert_eq!(failures.len(), 2);
    assert_eq!(failures[0].seeds, [3, 6, 9]);
    assert_eq!(failures[0].shrunk.plan.operations.len(), 2);
    assert_eq!(failures[0].found.seed, 3);
}

#[test]
fn what_was_shrunk_least_and_is_said_most_is_next() {
    let failing = [
        (1, violation(OracleId::O4, "k1 is nothing")),
        (2, violation(OracleId::O7, "k1 is nothing")),
        (3, violation(OracleId::O7, "k2 is nothing")),
    ];
    let waiting: Vec<_> = failing.iter().collect();
    let mut turns = std::collections::BTreeMap::new();
    assert_eq!(next(&waiting, &turns), Some(1));
    turns.insert((OracleId::O7, "k# is nothing".to_owned()), 1);
    assert_eq!(next(&waiting, &turns), Some(0));
    assert_eq!(next(&[], &turns), None);
}

#[test]
fn seeds_are_counted_and_the_first_five_named() {
    assert_eq!(show_seeds(&[4]), "1 seed: 4");
    assert_eq!(show_seeds(&[4, 5]), "2 seeds: 4, 5");
    assert_eq!(show_seeds(&[1, 2, 3, 4, 5, 6]), "6 seeds: 1, 2, 3, 4, 5, ...");
}
