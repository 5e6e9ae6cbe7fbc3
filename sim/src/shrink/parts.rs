//! Fewer faults, fewer operations, and fewer things in each of them.

use super::sweep::needed;
use super::trial::Trial;
use crate::plan::{Act, Fault, FaultKind, Operation, Plan, Watches};

/// With this many faults at most, any two are tried together: some come in pairs, such as a change and its undoing.
const PAIRED_MAX: usize = 12;

pub(super) fn faults(trial: &mut Trial<'_>) {
    let all = trial.best().clone();
    needed(all.faults.len(), |sets| {
        trial.take_first(sets.map(|kept| Plan { faults: only(&all.faults, &kept), ..all.clone() }))
    });
}

/// Tries to remove any two faults.
pub(super) fn pairs(trial: &mut Trial<'_>) {
    loop {
        let all = trial.best().clone();
        let count = all.faults.len();
        if count > PAIRED_MAX {
            return;
        }
        let pairs = (0..count).flat_map(|one| (0..one).map(move |other| [one, other]));
        let taken = trial.take_first(pairs.map(|pair| {
            let kept: Vec<_> = (0..count).filter(|index| !pair.contains(index)).collect();
            Plan { faults: only(&all.faults, &kept), ..all.clone() }
        }));
        if taken.is_none() {
            return;
        }
    }
}

/// Tries a plain crash instead of whatever else happens to a node: many faults matter only because they restart it.
pub(super) fn crashes(trial: &mut Trial<'_>) {
    for index in 0..trial.best().faults.len() {
        let mut plan = trial.best().clone();
        let what = &mut plan.faults[index].what;
        let Some(node) = what.node().filter(|_| !matches!(what, FaultKind::Crash { .. })) else {
            continue;
        };
        *what = FaultKind::Crash { node, effects: 0, keep_permille: 0 };
        trial.take(plan);
    }
}

pub(super) fn pins(trial: &mut Trial<'_>) {
    let all = trial.best().clone();
    needed(all.pins.len(), |sets| {
        trial.take_first(sets.map(|kept| Plan { pins: only(&all.pins, &kept), ..all.clone() }))
    });
}

/// Fewer watches, and fewer turns of each.
pub(super) fn watches(trial: &mut Trial<'_>) {
    let all = trial.best().clone();
    let Some(watches) = &all.watches else { return };
    if trial.take(Plan { watches: None, ..all.clone() }) {
        return;
    }
    needed(watches.watches.len(), |sets| {
        trial.take_first(sets.map(|kept| {
            let watches = Watches { watches: only(&watches.watches, &kept), ..watches.clone() };
            Plan { watches: Some(watches), ..all.clone() }
        }))
    });
    let count = trial.best().watches.as_ref().map_or(0, |watches| watches.watches.len());
    for index in 0..count {
        turns(trial, index);
    }
}

fn turns(trial: &mut Trial<'_>, index: usize) {
    let all = trial.best().clone();
    let Some(watches) = &all.watches else { return };
    needed(watches.watches[index].turns.len(), |sets| {
        trial.take_first(sets.map(|kept| {
            let mut watches = watches.clone();
            watches.watches[index].turns = only(&watches.watches[index].turns, &kept);
            Plan { watches: Some(watches), ..all.clone() }
        }))
    });
}

pub(super) fn operations(trial: &mut Trial<'_>) {
    let all = trial.best().clone();
    needed(all.operations.len(), |sets| {
        let with =
            |kept: Vec<usize>| Plan { operations: only(&all.operations, &kept), ..all.clone() };
        trial.take_first(sets.map(with))
    });
}

/// Tries to remove changes of a batch, records of other tools, nodes that still reach an isolated broker.
pub(super) fn entries(trial: &mut Trial<'_>) {
    for index in 0..trial.best().operations.len() {
        let all = trial.best().clone();
        needed(entries_of(&all.operations[index]), |sets| {
            trial.take_first(sets.filter_map(|kept| {
                let mut plan = all.clone();
                plan.operations[index].act = with_entries(&all.operations[index].act, &kept)?;
                Some(plan)
            }))
        });
        singly(trial, index);
    }
    for index in 0..trial.best().faults.len() {
        reached(trial, index);
    }
}

fn entries_of(operation: &Operation) -> usize {
    match &operation.act {
        Act::Batch { changes, .. } => changes.len(),
        Act::Foreign { records } => records.len(),
        Act::Transaction { keys, .. } => keys.len(),
        Act::Put { .. } | Act::Delete { .. } | Act::Get { .. } | Act::Scan { .. } => 0,
    }
}

/// None: it would not ask for anything.
fn with_entries(act: &Act, kept: &[usize]) -> Option<Act> {
    if kept.is_empty() {
        return None;
    }
    match act.clone() {
        Act::Batch { node, changes } => Some(Act::Batch { node, changes: only(&changes, kept) }),
        Act::Foreign { records } => Some(Act::Foreign { records: only(&records, kept) }),
        Act::Transaction { keys, commit, lasts_ms } => {
            Some(Act::Transaction { keys: only(&keys, kept), commit, lasts_ms })
        }
        Act::Put { .. } | Act::Delete { .. } | Act::Get { .. } | Act::Scan { .. } => None,
    }
}

/// A batch of one change is a put or a delete.
fn singly(trial: &mut Trial<'_>, index: usize) {
    let mut plan = trial.best().clone();
    let Act::Batch { node, changes } = &plan.operations[index].act else {
        return;
    };
    if let [(key, deletes)] = changes[..] {
        let node = *node;
        plan.operations[index].act =
            if deletes { Act::Delete { node, key } } else { Act::Put { node, key } };
        trial.take(plan);
    }
}

fn reached(trial: &mut Trial<'_>, index: usize) {
    let all = trial.best().clone();
    let FaultKind::IsolateBroker { broker, nodes, reach } = &all.faults[index].what else {
        return;
    };
    needed(nodes.len(), |sets| {
        trial.take_first(sets.map(|kept| {
            let mut plan = all.clone();
            let (broker, reach) = (*broker, *reach);
            let what = FaultKind::IsolateBroker { broker, nodes: only(nodes, &kept), reach };
            plan.faults[index] = Fault { what, ..all.faults[index].clone() };
            plan
        }))
    });
}

fn only<T: Clone>(all: &[T], kept: &[usize]) -> Vec<T> {
    kept.iter().map(|index| all[*index].clone()).collect()
}
