//! A read's way to its snapshot: admitted by the gate, waited for, opened, and judged by what the snapshot holds.
//!
//! It is a machine without a clock or a disk, so that handlers and the simulator go the same way. A read that need not
//! wait never enters the node.
//!
//! ```text
//! next ---> Wait: Command::Await, then `reached` ---.
//!   ^  '--> Open: a snapshot, then `opened` --------+--> Answer
//!   '-----------------------------------------------'
//! ```
//! Time passes between the gate and the snapshot. Meanwhile the generation may be closed without a flush and opened
//! again, further back than the gate had said: so what is answered is judged by the lineages inside of the snapshot.

use std::sync::Arc;
use std::time::Duration;

use crate::gate::{Admit, Gate, ReadLevel, Rejection, Until, check_age};
use crate::lineage::Lineage;
use crate::offset::{Generation, Offset, Partition};
use crate::phase::Phase;
use crate::time::Now;
use crate::token::Token;

/// How many snapshots in a row may be too old, or of a generation that is closed. A gate that is read after a
/// generation was closed names another or none, so that more than a few in a row are no accident.
const OPENED_MAX: u32 = 5;

/// What a read asks of the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    pub level: ReadLevel,
    /// The partition of all keys that are read, if they have one in common: LATEST asks no other leader.
    pub partition: Option<Partition>,
    /// What LATEST must include too, such as the session's token; it is waited for first.
    pub first: Option<Token>,
    /// Oldest confirmation to accept.
    pub staleness_ms_max: Option<u64>,
}

#[derive(Debug)]
pub struct ReadPath {
    demand: Demand,
    /// Monotonic; no wait is longer.
    until: Duration,
    /// The ends that the leaders answered to LATEST, once they are applied.
    end: Option<Vec<Offset>>,
    /// The gate that admitted the snapshot that is being opened.
    gate: Option<Arc<Gate>>,
    opened: u32,
}

/// What is to be done for a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `Command::Await` is to be sent; its answer goes to `reached`.
    Wait { until: Until, deadline: Duration },
    /// A snapshot of this generation is to be opened; its lineages go to `opened`.
    Open(Generation),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    Answer(Answer),
    /// The gate was an old one: `next` is to be asked with the gate as it is now.
    Again,
}

/// What the answer says about the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The token of the snapshot itself: the store runs ahead of the gate.
    pub token: Token,
    pub exact: bool,
    /// Wall clock, ms, when the snapshot was last known to hold everything; 0: never.
    pub confirmed_at_ms: u64,
}

impl From<ReadLevel> for Demand {
    fn from(level: ReadLevel) -> Demand {
        Demand { level, partition: None, first: None, staleness_ms_max: None }
    }
}

impl ReadPath {
    /// `until` is monotonic.
    pub fn new(demand: Demand, until: Duration) -> ReadPath {
        ReadPath { demand, until, end: None, gate: None, opened: 0 }
    }

    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    /// The next step, by the gate as it is now. An error ends the read.
    pub fn next(&mut self, gate: &Arc<Gate>, now: Now) -> Result<Step, Rejection> {
        let first = self.demand.first.clone().map(ReadLevel::AtLeast);
        if let Some(first) = first
            && let Admit::Wait(until) = self.admit(&first, gate, now)?
        {
            return Ok(self.wait(until, now));
        }
        // The end that was asked for is applied: what is left to demand is the copy as it is.
        let level = match &self.end {
            Some(_) => ReadLevel::Local,
            None => self.demand.level.clone(),
        };
        match self.admit(&level, gate, now)? {
            Admit::Wait(until) => Ok(self.wait(until, now)),
            Admit::Now(generation) => {
                self.gate = Some(gate.clone());
                Ok(Step::Open(generation))
            }
        }
    }

    fn admit(&self, level: &ReadLevel, gate: &Gate, now: Now) -> Result<Admit, Rejection> {
        gate.admit(level, self.demand.staleness_ms_max, now)
    }

    fn wait(&self, until: Until, now: Now) -> Step {
        let until = match until {
            Until::Latest(_) => Until::Latest(self.demand.partition),
            Until::AtLeast(_) => until,
        };
        Step::Wait { until, deadline: self.until.saturating_sub(now.mono) }
    }

    /// What was waited for is there. `end`: what the leaders answered, after `Until::Latest`.
    pub fn reached(&mut self, end: Option<Vec<Offset>>) {
        if end.is_some() {
            self.end = end;
        }
    }

    /// Judges the snapshot by what it says of itself; none: the generation is not open. An error ends the read.
    pub fn opened(&mut self, lineages: Option<&[Lineage]>, now: Now) -> Result<Opened, Rejection> {
        let gate = self.gate.take().expect("a snapshot is opened after a step that says so");
        self.opened += 1;
        let Some(lineages) = lineages else { return self.again() };
        for token in self.tokens() {
            check_history(token, lineages)?;
        }
        if self.is_behind(&gate, lineages) {
            // The log may have lost the end that it told: it is asked for anew.
            self.end = None;
            return self.again();
        }
        self.demand.level.check_snapshot(lineages)?;
        let confirmed_at_ms = confirmed_at_ms(&gate, lineages);
        check_age(confirmed_at_ms, self.demand.staleness_ms_max, now)?;
        let topic = gate.topic.expect("a copy is opened only after the log told the topic's id");
        let exact = lineages.iter().all(Lineage::exact);
        Ok(Opened::Answer(Answer { token: Token::of(topic, lineages), exact, confirmed_at_ms }))
    }

    fn tokens(&self) -> impl Iterator<Item = &Token> {
        let level = match &self.demand.level {
            ReadLevel::AtLeast(token) => Some(token),
            ReadLevel::Stale | ReadLevel::Local | ReadLevel::Latest => None,
        };
        self.demand.first.iter().chain(level)
    }

    /// Whether the snapshot lacks what was demanded or waited for, or what the READY copy that admitted it had.
    fn is_behind(&self, gate: &Gate, lineages: &[Lineage]) -> bool {
        let before = |wanted: &Offset, lineage: &Lineage| lineage.position < *wanted;
        let any = |wanted: &[Offset]| wanted.iter().zip(lineages).any(|(at, has)| before(at, has));
        let token = |token: &Token| {
            token.positions.iter().zip(lineages).any(|((at, _), has)| before(at, has))
        };
        let ready = self.demand.level != ReadLevel::Stale && any(&gate.positions);
        ready || self.end.as_deref().is_some_and(any) || self.tokens().any(token)
    }

    fn again(&self) -> Result<Opened, Rejection> {
        if self.opened < OPENED_MAX {
            Ok(Opened::Again)
        } else {
            Err(Rejection::NotReady(Phase::Opening))
        }
    }
}

/// The snapshot may know elections that the gate did not.
fn check_history(token: &Token, lineages: &[Lineage]) -> Result<(), Rejection> {
    let foreign = token.positions.iter().zip(lineages).any(|((position, epoch), lineage)| {
        epoch.is_some_and(|epoch| !lineage.epochs.allows(epoch, *position))
    });
    if foreign { Err(Rejection::TokenOfAnotherHistory) } else { Ok(()) }
}

/// The gate's confirmation holds for a snapshot that has all that the gate shows; the lineages in a snapshot are
/// confirmed less often.
fn confirmed_at_ms(gate: &Gate, lineages: &[Lineage]) -> u64 {
    let shown = gate.positions.iter().zip(lineages).all(|(shown, has)| has.position >= *shown);
    if shown {
        gate.confirmed_at_ms
    } else {
        lineages.iter().map(|lineage| lineage.confirmed_at_ms).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
