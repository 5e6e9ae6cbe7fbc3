//! What a run found, as a person wants it: one folder per bug, not one line per red seed.
//!
//! A few failing seeds are shrunk; what is left of them names the bug: its oracle, what it says, the kinds of
//! faults it needs. Another seed is the same bug if it still fails with the faults of these kinds alone.

mod explain;
mod folder;
mod key;
mod show;

use std::collections::BTreeMap;

pub use explain::explain;
pub use folder::write;
pub use key::Key;

use crate::oracle::{OracleId, Violation};
use crate::plan::{Plan, draw};
use crate::run::run;
use crate::shrink::{Bounds, Shrunk, headline, shrink};
use crate::trace::Trace;

/// Seeds named in a list before it says how many more there are.
const SEEDS_NAMED: usize = 5;

/// One bug, as far as its plans tell.
#[derive(Clone, Debug)]
pub struct Failure {
    pub key: Key,
    /// Ascending.
    pub seeds: Vec<u64>,
    /// The plan of the seed that was shrunk.
    pub found: Plan,
    pub shrunk: Shrunk,
}

#[derive(Clone, Debug, Default)]
pub struct Gathered {
    pub failures: Vec<Failure>,
    /// Seeds that nobody shrunk, by oracle and what it says.
    pub others: BTreeMap<(OracleId, String), Vec<u64>>,
}

type Failing = (u64, Violation);

/// Shrinks at most this many seeds; `found` hears of each.
pub fn gather(
    failing: &[Failing],
    shrinks_max: usize,
    bounds: Bounds,
    mut found: impl FnMut(u64, &Shrunk),
) -> Gathered {
    let mut waiting: Vec<&Failing> = failing.iter().collect();
    let mut turns: BTreeMap<(OracleId, String), usize> = BTreeMap::new();
    let mut failures: Vec<Failure> = Vec::new();
    for _ in 0..shrinks_max {
        let Some(next) = next(&waiting, &turns) else {
            break;
        };
        let (seed, violation) = waiting.remove(next);
        *turns.entry(said(violation)).or_default() += 1;
        let plan = draw(*seed);
        let Some(shrunk) = shrink(&plan, bounds) else {
            continue;
        };
        found(*seed, &shrunk);
        let key = Key::of(&shrunk);
        let (same, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|other| is_same(other, violation, &key));
        waiting = rest;
        let seeds = same.iter().map(|(seed, _)| *seed).chain([*seed]).collect();
        add(&mut failures, Failure { key, seeds, found: plan, shrunk });
    }
    let mut others: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for (seed, violation) in waiting {
        others.entry(said(violation)).or_default().push(*seed);
    }
    Gathered { failures, others }
}

fn said(violation: &Violation) -> (OracleId, String) {
    (violation.oracle, headline(violation))
}

/// The index of a seed to shrink next: of what was shrunk least often, what most seeds say.
fn next(waiting: &[&Failing], turns: &BTreeMap<(OracleId, String), usize>) -> Option<usize> {
    let mut counts: BTreeMap<_, (usize, usize)> = BTreeMap::new();
    for (index, (_, violation)) in waiting.iter().enumerate() {
        counts.entry(said(violation)).or_insert((index, 0)).1 += 1;
    }
    let order = |(said, (index, count)): (_, (usize, usize))| {
        let shrunk = turns.get(&said).copied().unwrap_or(0);
        (shrunk, std::cmp::Reverse(count), index)
    };
    counts.into_iter().map(order).min().map(|(_, _, index)| index)
}

/// Whether the seed said the same, and still fails by this oracle with no other kinds of faults than these.
fn is_same((seed, other): &Failing, violation: &Violation, key: &Key) -> bool {
    if said(other) != said(violation) {
        return false;
    }
    let mut plan = draw(*seed);
    plan.faults.retain(|fault| key.kinds.contains(fault.what.id()));
    let violation = run(&plan, &Trace::default()).violation;
    violation.is_some_and(|violation| violation.oracle == key.oracle)
}

/// Another seed may have shrunk to the same bug: the smaller plan stays.
fn add(failures: &mut Vec<Failure>, new: Failure) {
    let size = |failure: &Failure| {
        let Plan { operations, faults, .. } = &failure.shrunk.plan;
        faults.len() + operations.len()
    };
    let Some(known) = failures.iter_mut().find(|known| known.key == new.key) else {
        let mut new = new;
        new.seeds.sort_unstable();
        return failures.push(new);
    };
    let mut seeds = [known.seeds.as_slice(), &new.seeds].concat();
    seeds.sort_unstable();
    if size(&new) < size(known) {
        *known = new;
    }
    known.seeds = seeds;
}

/// The first few seeds, and how many there are.
pub fn show_seeds(seeds: &[u64]) -> String {
    let named = seeds.iter().take(SEEDS_NAMED).map(u64::to_string).collect::<Vec<_>>().join(", ");
    match seeds.len() {
        1 => format!("1 seed: {named}"),
        count if count <= SEEDS_NAMED => format!("{count} seeds: {named}"),
        count => format!("{count} seeds: {named}, ..."),
    }
}

#[cfg(test)]
mod tests;
