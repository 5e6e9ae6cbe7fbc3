//! What a process knows of when the copies that it finds were confirmed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::offset::{Generation, Partition};
use crate::store::FoundGeneration;
use crate::time::Now;

#[derive(Clone, Debug)]
pub struct Dates {
    clock: Clock,
    /// Generations that this process began, and when: no date in them is earlier.
    begun: BTreeMap<Generation, Moment>,
    /// Dates that were met in the others, and when: they are no younger.
    met: BTreeMap<(Generation, Partition), Met>,
}

#[derive(Clone, Copy, Debug)]
struct Met {
    confirmed_at_ms: u64,
    /// When it was met, on the monotonic clock.
    at: Duration,
}

impl Dates {
    /// The dates of a process that begins.
    pub fn new(now: Now) -> Dates {
        Dates { clock: Clock::new(now), begun: BTreeMap::new(), met: BTreeMap::new() }
    }

    pub(crate) fn observe(&mut self, now: Now) {
        self.clock.observe(now);
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Nothing in the generation is confirmed before `at`.
    pub(crate) fn begin(&mut self, generation: Generation, at: Moment) {
        self.begun.insert(generation, at);
    }

    pub(crate) fn meet(&mut self, found: &FoundGeneration) {
        let at = self.now().mono;
        let lineages = found.lineages().into_iter().flatten();
        for (partition, lineage) in (0..).map(Partition).zip(lineages) {
            let met = Met { confirmed_at_ms: lineage.confirmed_at_ms, at };
            let known = self.met.entry((found.generation, partition)).or_insert(met);
            if known.confirmed_at_ms != met.confirmed_at_ms {
                *known = met;
            }
        }
    }

    pub(crate) fn forget(&mut self, gone: Generation) {
        self.begun.remove(&gone);
        self.met.retain(|(generation, _), _| *generation != gone);
    }

    /// How old the confirmation is; none: it proves nothing. One from the future by no more than `margin_ms`, which two
    /// clocks may differ by, is of now; one from beyond that proves nothing. Neither does one that this process's clock
    /// makes younger than it has been known for: that clock is behind the one which confirmed it, and would make it
    /// young when it has caught up.
    pub(crate) fn age(
        &self,
        generation: Generation,
        partition: Partition,
        confirmed_at_ms: u64,
        margin_ms: u64,
    ) -> Option<Duration> {
        let age_ms = self.age_ms(generation, confirmed_at_ms);
        if age_ms < 0 && age_ms.unsigned_abs() > margin_ms {
            return None;
        }
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        let met = self.met.get(&(generation, partition));
        let met = met.filter(|met| met.confirmed_at_ms == confirmed_at_ms);
        let known = met.map_or(Duration::ZERO, |met| self.now().mono.saturating_sub(met.at));
        (age + Duration::from_millis(margin_ms) >= known).then_some(age)
    }

    /// When it was confirmed; now, if that is still to come.
    pub(crate) fn moment(&self, generation: Generation, confirmed_at_ms: u64) -> Moment {
        self.now().before(self.age_ms(generation, confirmed_at_ms))
    }

    fn age_ms(&self, generation: Generation, confirmed_at_ms: u64) -> i64 {
        self.clock.age_ms(confirmed_at_ms, self.begun.get(&generation).copied())
    }
}

#[cfg(test)]
mod tests;
