//! Shrinking, judged by made-up failures: whether it finds what they need.

use std::time::Duration;

use super::{Bounds, Shrunk, headline, shrink_by};
use crate::oracle::{OracleId, Violation};
use crate::plan::{Act, FaultKind, Plan, draw};

const BOUNDS: Bounds = Bounds { tries: 20_000, time: Duration::from_secs(600), threads: 1 };

fn violation(oracle: OracleId, what: &str) -> Violation {
    let (node, keys, what) = (None, Vec::new(), what.to_owned());
    Violation { oracle, at: Duration::from_millis(1), node, keys, what }
}

/// A put and, at least 700 ms later, a read at the same node and between them a pause of that node.
fn stale_after_pause(plan: &Plan) -> Option<Violation> {
    let paused = |node: usize, from: u64, to: u64| {
        let within = |at: u64| at > from && at < to;
        let mut faults = plan.faults.iter();
        faults.any(|fault| fault.what == FaultKind::Pause { node } && within(fault.at_ms))
    };
    let puts = plan.operations.iter().filter_map(|operation| {
        let Act::Put { node, .. } = operation.act else {
            return None;
        };
        Some((node, operation.at_ms))
    });
    let mut pairs = puts.flat_map(|(node, from)| {
        let read = move |act: &Act| matches!(act, Act::Get { node: at, .. } if *at == node);
        let reads = plan.operations.iter().filter(move |operation| read(&operation.act));
        let reads = reads.map(|operation| operation.at_ms);
        reads.filter(move |to| *to >= from + 700).map(move |to| (node, from, to))
    });
    pairs
        .any(|(node, from, to)| paused(node, from, to))
        .then(|| violation(OracleId::O7, "k1 is v1.0 at 3"))
}

fn failing() -> Plan {
    let plans = (1..).map(draw);
    let mut plans = plans.filter(|plan| plan.faults.len() > 10 && plan.setting.nodes > 2);
    plans.find(|plan| stale_after_pause(plan).is_some()).expect("pauses are common")
}

fn shrunk(threads: usize) -> Shrunk {
    shrink_by(&failing(), Bounds { threads, ..BOUNDS }, &stale_after_pause).expect("it fails")
}

#[test]
fn what_is_left_is_what_it_takes_to_fail() {
    let Shrunk { plan, minimal, .. } = shrunk(1);
    assert!(minimal && stale_after_pause(&plan).is_some());
    assert_eq!((plan.operations.len(), plan.faults.len()), (2, 1));
    assert_eq!((plan.setting.nodes, plan.setting.partitions), (1, 1));
    assert_eq!(plan.setting.kafka.brokers, 1);
    let times: Vec<u64> = plan.operations.iter().map(|operation| operation.at_ms).collect();
    assert_eq!(times[0], 0);
    assert!((700..=1_000).contains(&times[1]), "{times:?}");
    plan.check().expect("what is left is a plan");
}

#[test]
fn what_matters_only_by_restarting_a_node_is_told_as_a_crash() {
    let restarts = |plan: &Plan| {
        let mut faults = plan.faults.iter();
        let any = faults.any(|fault| fault.what.node().is_some());
        any.then(|| violation(OracleId::O6, "went back"))
    };
    let shrunk = shrink_by(&failing(), BOUNDS, &restarts).expect("it fails");
    let [fault] = &shrunk.plan.faults[..] else {
        panic!("one fault is enough: {:?}", shrunk.plan.faults);
    };
    assert_eq!(fault.what, FaultKind::Crash { node: 0, effects: 0, keep_permille: 0 });
}

#[test]
fn threads_do_not_change_the_result() {
    assert_eq!(shrunk(1).plan, shrunk(2).plan);
}

#[test]
fn every_step_fails_by_the_same_oracle() {
    let other_without_faults = |plan: &Plan| match stale_after_pause(plan) {
        None => Some(violation(OracleId::O1, "another bug")),
        found => found,
    };
    let shrunk = shrink_by(&failing(), BOUNDS, &other_without_faults).expect("it fails");
    assert_eq!(shrunk.violation.oracle, OracleId::O7);
    assert_eq!(shrunk.plan.faults.len(), 1);
}

#[test]
fn a_panic_elsewhere_is_another_failure() {
    let panics = |plan: &Plan| {
        let place = if plan.faults.is_empty() { "b.rs" } else { "a.rs" };
        Some(violation(OracleId::O16, &format!("panic at {place}:{}: no", plan.operations.len())))
    };
    let shrunk = shrink_by(&failing(), BOUNDS, &panics).expect("it fails");
    assert_eq!((shrunk.plan.operations.len(), shrunk.plan.faults.len()), (0, 1));
}

#[test]
fn a_plan_that_passes_is_not_shrunk() {
    assert!(shrink_by(&failing(), BOUNDS, &|_| None).is_none());
}

#[test]
fn bounds_end_it_with_the_smallest_plan_so_far() {
    let few = Bounds { tries: 10, ..BOUNDS };
    let shrunk = shrink_by(&failing(), few, &stale_after_pause).expect("it fails");
    assert!(!shrunk.minimal && shrunk.tries <= 10);
    assert!(stale_after_pause(&shrunk.plan).is_some());
}

#[test]
fn a_headline_has_nothing_of_its_run() {
    let says = |what: &str| headline(&violation(OracleId::O4, what));
    assert_eq!(says("k13 is v52.0 at 7, should be nothing"), "k# is v# at #, should be nothing");
    assert_eq!(says("positions [1, 22, 333]; told: more"), "positions [#]");
    assert_eq!(says("panic at sim/a.rs:12: no\nmore"), "panic at sim/a.rs:#: no");
    assert_eq!(says("the log does not have it at 1/26"), "the log does not have it at #");
}
