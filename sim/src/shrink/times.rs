//! A shorter run: nothing after the failure, everything as early as it may be, at plain times.

use std::collections::{BTreeMap, BTreeSet};

use super::trial::Trial;
use crate::plan::{Act, Plan};

/// What happens after the failure did not cause it.
pub(super) fn cut(trial: &mut Trial<'_>) {
    let at = u64::try_from(trial.violation().at.as_millis()).expect("simulated centuries fit");
    let mut plan = trial.best().clone();
    if at == 0 || at >= plan.heal_ms {
        return;
    }
    plan.operations.retain(|operation| operation.at_ms <= at);
    plan.faults.retain(|fault| fault.at_ms <= at);
    plan.heal_ms = at + 1;
    trial.take(plan);
}

/// Tries everything in its order, evenly spaced.
pub(super) fn grid(trial: &mut Trial<'_>) {
    let plan = trial.best().clone();
    let points = points(&plan);
    let spaced = |step: u64| {
        let times = (1..).map(|number: u64| number * step);
        moved(&plan, &points.iter().copied().zip(times).collect())
    };
    trial.take_first(
        [10, 100, 1_000, 10_000]
            .map(spaced)
            .into_iter()
            .filter(|spaced| spaced.heal_ms < plan.heal_ms),
    );
}

/// One point after the other comes closer to the one before it, and all later ones with it.
pub(super) fn closer(trial: &mut Trial<'_>) {
    let mut before = None;
    for number in 0..points(trial.best()).len() {
        let plan = trial.best().clone();
        let points = points(&plan);
        let at = points[number];
        let earlier = earlier(before, at);
        let candidates = earlier.iter().map(|to| {
            let shifted = |point: u64| if point < at { point } else { point - at + to };
            moved(&plan, &points.iter().map(|point| (*point, shifted(*point))).collect())
        });
        before = match trial.take_first(candidates) {
            Some(taken) => Some(earlier[taken]),
            None => Some(at),
        };
    }
}

/// Times after `before` and earlier than `at`: first the plainest of those close to `before`, then `at` rounded.
fn earlier(before: Option<u64>, at: u64) -> Vec<u64> {
    let next = before.map_or(0, |before| before + 1);
    let after = [1_000, 100, 10, 1].map(|unit| next.next_multiple_of(unit));
    let halfway = [2, 10].map(|part| (next + (at.max(next) - next) / part).next_multiple_of(10));
    let rounded = [100_000, 10_000, 1_000, 100, 10].map(|unit| at / unit * unit);
    let mut seen = BTreeSet::new();
    let all = after.into_iter().chain(halfway).chain(rounded);
    all.filter(|to| *to < at && *to >= next && seen.insert(*to)).collect()
}

/// Every time at which something begins or ends, up to the end.
fn points(plan: &Plan) -> Vec<u64> {
    let operations = plan.operations.iter().flat_map(|operation| {
        let lasts = match operation.act {
            Act::Transaction { lasts_ms, .. } => lasts_ms,
            Act::Put { .. }
            | Act::Delete { .. }
            | Act::Batch { .. }
            | Act::Get { .. }
            | Act::Scan { .. }
            | Act::Foreign { .. } => 0,
        };
        [operation.at_ms, operation.at_ms + lasts]
    });
    let faults = plan.faults.iter().flat_map(|fault| [fault.at_ms, fault.at_ms + fault.lasts_ms]);
    let all = operations.chain(faults).chain([plan.heal_ms]);
    let points: BTreeSet<u64> = all.map(|point| point.min(plan.heal_ms)).collect();
    points.into_iter().collect()
}

/// The plan with its points elsewhere. What lasts longer than the run ends with it.
fn moved(plan: &Plan, to: &BTreeMap<u64, u64>) -> Plan {
    let mut plan = plan.clone();
    let heal = plan.heal_ms;
    let to = |point: u64| to[&point.min(heal)];
    let lasting = |at: u64, lasts: u64| if lasts == 0 { 0 } else { to(at + lasts) - to(at) };
    for operation in &mut plan.operations {
        let at = operation.at_ms;
        if let Act::Transaction { lasts_ms, .. } = &mut operation.act {
            *lasts_ms = lasting(at, *lasts_ms);
        }
        operation.at_ms = to(at);
    }
    for fault in &mut plan.faults {
        fault.lasts_ms = lasting(fault.at_ms, fault.lasts_ms);
        fault.at_ms = to(fault.at_ms);
    }
    plan.heal_ms = to(heal);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_times_are_plain_and_between_the_points() {
        assert_eq!(earlier(None, 0), [] as [u64; 0]);
        assert_eq!(earlier(Some(9), 12), [10]);
        let earlier = earlier(Some(1_000), 54_321);
        assert_eq!(earlier[0], 2_000);
        assert!(earlier.iter().all(|to| (1_001..54_321).contains(to)), "{earlier:?}");
        assert!(earlier.contains(&50_000) && earlier.contains(&54_320), "{earlier:?}");
    }
}
