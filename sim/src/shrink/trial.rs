//! The smallest failing plan so far, and whether a candidate may replace it.

use std::collections::BTreeSet;
use std::time::Instant;

use xxhash_rust::xxh3::xxh3_64;

use super::Bounds;
use crate::oracle::{Class, OracleId, Violation};
use crate::plan::Plan;

/// Plays a plan.
pub(super) type Judge = dyn Fn(&Plan) -> Option<Violation> + Sync;

pub(super) struct Trial<'a> {
    judge: &'a Judge,
    best: Plan,
    violation: Violation,
    target: Target,
    bounds: Bounds,
    end: Instant,
    tries: u64,
    /// Hashes of candidates that did not fail the same way: passes propose them again and again.
    refused: BTreeSet<u64>,
}

/// What makes two failures the same one.
#[derive(Clone, Debug)]
struct Target {
    oracle: OracleId,
    /// None: every wording will do.
    headline: Option<String>,
}

impl<'a> Trial<'a> {
    /// None: the plan does not fail.
    pub(super) fn begin(plan: &Plan, bounds: Bounds, judge: &'a Judge) -> Option<Trial<'a>> {
        let violation = judge(plan)?;
        let target = Target::of(&violation);
        let end = Instant::now() + bounds.time;
        let (best, refused) = (plan.clone(), BTreeSet::new());
        Some(Trial { judge, best, violation, target, bounds, end, tries: 1, refused })
    }

    pub(super) fn end(self) -> (Plan, Violation, u64) {
        (self.best, self.violation, self.tries)
    }

    pub(super) fn best(&self) -> &Plan {
        &self.best
    }

    /// The violation of the best plan.
    pub(super) fn violation(&self) -> &Violation {
        &self.violation
    }

    pub(super) fn is_spent(&self) -> bool {
        self.tries >= self.bounds.tries || Instant::now() >= self.end
    }

    /// Takes the candidate if it fails the same way.
    pub(super) fn take(&mut self, candidate: Plan) -> bool {
        self.take_first([candidate]).is_some()
    }

    /// Takes the first candidate that fails the same way, and says which one it was. Several are tried at
    /// once, but always the first that fails is taken.
    pub(super) fn take_first(
        &mut self,
        candidates: impl IntoIterator<Item = Plan>,
    ) -> Option<usize> {
        let mut candidates = candidates.into_iter().map(in_order).enumerate().peekable();
        while candidates.peek().is_some() && !self.is_spent() {
            let mut batch = Vec::new();
            while batch.len() < self.bounds.threads.max(1) {
                let Some((index, candidate)) = candidates.next() else {
                    break;
                };
                let hash = hash(&candidate);
                if candidate != self.best
                    && candidate.check().is_ok()
                    && !self.refused.contains(&hash)
                {
                    batch.push((index, hash, candidate));
                }
            }
            if let Some(index) = self.take_of(batch) {
                return Some(index);
            }
        }
        None
    }

    fn take_of(&mut self, batch: Vec<(usize, u64, Plan)>) -> Option<usize> {
        let plans: Vec<&Plan> = batch.iter().map(|(_, _, plan)| plan).collect();
        let found = self.played(&plans);
        for ((index, hash, plan), violation) in batch.into_iter().zip(found) {
            // Those behind the one that is taken do not count: one thread would not have tried them.
            self.tries += 1;
            match violation.filter(|violation| self.target.is(violation)) {
                Some(violation) => {
                    (self.best, self.violation) = (plan, violation);
                    return Some(index);
                }
                None => self.refused.insert(hash),
            };
        }
        None
    }

    fn played(&self, plans: &[&Plan]) -> Vec<Option<Violation>> {
        let judge = self.judge;
        if let [plan] = plans {
            return vec![judge(plan)];
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                plans.iter().map(|plan| scope.spawn(move || judge(plan))).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().expect("a run catches its panics")
            };
            threads.into_iter().map(join).collect()
        })
    }
}

fn in_order(mut plan: Plan) -> Plan {
    plan.operations.sort_by_key(|operation| (operation.at_ms, operation.id));
    plan.faults.sort_by_key(|fault| fault.at_ms);
    plan
}

fn hash(plan: &Plan) -> u64 {
    xxh3_64(&serde_json::to_vec(plan).expect("a plan has string keys only"))
}

impl Target {
    /// Oracles of contents say one bug in many ways; the others name by their first words what is wrong.
    fn of(violation: &Violation) -> Target {
        let headline = match violation.oracle.class() {
            Class::Safety | Class::NonDeterminism => None,
            Class::Liveness | Class::Panic | Class::Bound | Class::ModelSelfCheck => {
                Some(headline(violation))
            }
        };
        Target { oracle: violation.oracle, headline }
    }

    fn is(&self, violation: &Violation) -> bool {
        let same = |own: &String| *own == headline(violation);
        self.oracle == violation.oracle && self.headline.as_ref().is_none_or(same)
    }
}

/// What a violation says, without the numbers, keys and values of its run.
pub fn headline(violation: &Violation) -> String {
    let what = violation.what.split([';', '\n']).next().unwrap_or_default();
    let mut said = String::new();
    for c in what.chars() {
        match c {
            '0'..='9' if said.ends_with('#') => {}
            '0'..='9' => said.push('#'),
            _ => said.push(c),
        }
        for (several, one) in [("k#, k#", "k#"), ("#, #", "#"), ("#.#", "#"), ("#/#", "#")] {
            if said.ends_with(several) {
                said.truncate(said.len() - several.len() + one.len());
            }
        }
    }
    said
}
