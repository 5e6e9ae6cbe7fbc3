//! Coverage marks: what a run came across, counted (oracle O20).
//!
//! Read off the events and effects at core's seams, so that production code carries no switches. A mark that
//! many seeds never hit means a fault that is dead or a workload that is missing.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    hits: BTreeMap<&'static str, u64>,
}

impl Marks {
    pub fn hit(&mut self, mark: &'static str) {
        *self.hits.entry(mark).or_default() += 1;
    }

    pub fn add(&mut self, other: &Marks) {
        for (mark, hits) in &other.hits {
            *self.hits.entry(mark).or_default() += hits;
        }
    }

    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.hits.iter().map(|(mark, hits)| (*mark, *hits))
    }

    pub fn of(&self, mark: &str) -> u64 {
        self.hits.get(mark).copied().unwrap_or(0)
    }
}
