//! Plays a plan: operations and faults at their times, then healing, liveness, audit and judgement.
//!
//! A run is a pure function of the plan. A panic is an outcome too: one of core is O16, one of a model O17.

mod clients;
mod explain;
mod faults;
mod finish;
mod forward;
mod losses;
mod others;
mod panics;
mod pins;
mod promises;
mod reads;
mod watches;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outrigger_core::forward::Peers;
use outrigger_core::offset::RequestId;

use crate::history::{self, Evidence, History};
use crate::marks::Marks;
use crate::oracle::{OracleId, Violation, Wrong};
use crate::plan::Plan;
use crate::trace::{Lane, Line, Trace};
use crate::world::{Latencies, START, World};
use clients::{Pending, Session};
use faults::Active;
use losses::Losses;

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub violation: Option<Violation>,
    pub marks: Marks,
    /// Simulated time.
    pub elapsed: Duration,
    pub operations: usize,
    /// Faults that took place, by catalogue id and the phase of the node that they hit.
    pub faults: BTreeMap<(&'static str, &'static str), u64>,
}

/// Plays the plan; what happens is told to `trace`.
pub fn run(plan: &Plan, trace: &Trace) -> Outcome {
    play(plan, trace, |_| ()).0
}

/// Plays the plan as `run` does. The text tells what was there and what should have been; of a panic it tells only
/// where that was, of a run that passes nothing.
pub fn explained(plan: &Plan, trace: &Trace) -> (Outcome, String) {
    let (outcome, text) = play(plan, trace, |run| run.explanation());
    let violation = outcome.violation.as_ref().map(Violation::to_string);
    let text = text.flatten().or(violation).unwrap_or_default();
    (outcome, text)
}

/// Plays the plan. `look` sees how the run ended, unless it panicked.
fn play<T>(plan: &Plan, trace: &Trace, look: impl FnOnce(&Run<'_>) -> T) -> (Outcome, Option<T>) {
    let played = panics::caught(|| {
        let mut run = Run::new(plan, trace.clone());
        run.play();
        let seen = look(&run);
        (run.outcome(), Some(seen))
    });
    let (outcome, seen) = played.unwrap_or_else(|violation| {
        let outcome = Outcome {
            violation: Some(violation),
            marks: Marks::default(),
            elapsed: Duration::ZERO,
            operations: plan.operations.len(),
            faults: BTreeMap::new(),
        };
        (outcome, None)
    });
    if let Some(violation) = &outcome.violation {
        note_violation(trace, violation);
    }
    (outcome, seen)
}

fn note_violation(trace: &Trace, violation: &Violation) {
    let lane = violation.node.map_or(Lane::World, Lane::Node);
    trace.note_with(violation.at, Line::NONE, lane, "violation", || {
        let more = serde_json::json!({
            "oracle": violation.oracle.to_string(),
            "class": violation.oracle.class().name(),
            "keys": violation.keys,
        });
        (violation.what.clone(), more)
    });
}

/// A topic that is no more, as callers saw it.
struct Past {
    history: History,
    evidence: Evidence,
    /// Keys of which the log lost a record.
    lost_some: BTreeSet<Vec<u8>>,
}

/// What is to be done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Fault(usize),
    Lift(usize),
    Operation(usize),
    EndTransaction(usize),
    Restart(usize),
    /// One more round of a crash loop.
    CrashAgain(usize),
    Pin(usize),
    Unpin(usize),
    Watch(usize),
    /// A caller that watches takes what there is for it.
    Pull(usize),
    /// Something becomes of a caller that watches.
    Turn(usize, usize),
    /// A node's read opens its snapshot.
    Open(usize, RequestId),
    /// A peer is given up that has not answered a read which was forwarded to it.
    GiveUp(usize, RequestId),
}

struct Run<'a> {
    plan: &'a Plan,
    world: World,
    agenda: BTreeSet<(Duration, Due)>,
    history: History,
    /// What callers saw of topics that are no more, with everything that those took.
    past: Vec<Past>,
    /// Operations that the history's violation speaks of.
    accused: Vec<history::Operation>,
    /// Counts what callers do and hear: finer than simulated time.
    clock: u64,
    sessions: BTreeMap<u32, Session>,
    next_session: u32,
    pending: BTreeMap<(usize, RequestId), Pending>,
    /// What each node knows of those that it forwards reads to.
    peers: BTreeMap<usize, Peers>,
    /// What was asked for, by the number of the plan's pins, until it is not wanted any more.
    pinned: BTreeMap<usize, pins::Asked>,
    /// By the number of the plan's watches.
    watching: BTreeMap<usize, watches::Watching>,
    active: BTreeMap<usize, Active>,
    lossy: BTreeSet<usize>,
    /// Faults whose process still has effects left.
    crashing: BTreeMap<usize, usize>,
    losses: Losses,
    counts: BTreeMap<(&'static str, &'static str), u64>,
    topics: u8,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, trace: Trace) -> Run<'a> {
        let setting = &plan.setting;
        let latencies = Latencies {
            seed: plan.seed,
            log_call: Duration::from_micros(setting.latencies.log_call_us),
            log_answer: Duration::from_micros(setting.latencies.log_answer_us),
            disk: Duration::from_micros(setting.latencies.disk_us),
        };
        let world = World::new(setting.log(), setting.nodes, plan.limits())
            .with_latencies(latencies)
            .with_trace(trace)
            .attentive();
        let world = match &setting.peers {
            Some(peers) => world.with_peers(peers.pace()),
            None => world,
        };
        let at = |ms: u64| START.mono + Duration::from_millis(ms);
        let operations = plan.operations.iter().enumerate();
        let operations =
            operations.map(|(index, operation)| (at(operation.at_ms), Due::Operation(index)));
        let faults = plan.faults.iter().enumerate();
        let faults = faults.map(|(index, fault)| (at(fault.at_ms), Due::Fault(index)));
        let pins = plan.pins.iter().enumerate();
        let pins = pins.map(|(index, pins)| (at(pins.at_ms), Due::Pin(index)));
        let watches = plan.watches.iter().flat_map(|watches| watches.watches.iter().enumerate());
        let watches = watches.flat_map(|(index, watch)| {
            let turns = watch.turns.iter().enumerate();
            let turns = turns.map(move |(turn, what)| (at(what.at_ms), Due::Turn(index, turn)));
            turns.chain([(at(watch.at_ms), Due::Watch(index))])
        });
        Run {
            plan,
            world,
            agenda: operations.chain(faults).chain(pins).chain(watches).collect(),
            history: History::default(),
            past: Vec::new(),
            accused: Vec::new(),
            clock: 0,
            sessions: BTreeMap::new(),
            next_session: 0,
            pending: BTreeMap::new(),
            peers: BTreeMap::new(),
            pinned: BTreeMap::new(),
            watching: BTreeMap::new(),
            active: BTreeMap::new(),
            lossy: BTreeSet::new(),
            crashing: BTreeMap::new(),
            losses: Losses::default(),
            counts: BTreeMap::new(),
            topics: 1,
        }
    }

    fn play(&mut self) {
        for node in 0..self.world.count() {
            self.world.start(node);
        }
        let heal = self.heals_at();
        while let Some((at, due)) = self.agenda.first().copied().filter(|(at, _)| *at < heal) {
            self.pass(at);
            if self.world.violation().is_some() {
                break;
            }
            self.agenda.remove(&(at, due));
            self.take_up(due);
        }
        self.pass(heal);
        self.finish();
    }

    fn heals_at(&self) -> Duration {
        START.mono + Duration::from_millis(self.plan.heal_ms)
    }

    /// Lets time pass, hearing what nodes answer and burying those that crash.
    fn pass(&mut self, until: Duration) {
        loop {
            self.world.advance_to(until);
            self.attend();
            if self.world.violation().is_some()
                || !self.world.interrupted() && self.world.now.mono >= until
            {
                return;
            }
        }
    }

    /// Takes up whatever the world stopped for.
    fn attend(&mut self) {
        self.hear();
        for node in 0..self.world.count() {
            if self.world.must_crash(node) {
                self.crash_as_planned(node);
            }
        }
        self.note_losses();
    }

    fn take_up(&mut self, due: Due) {
        match due {
            Due::Fault(index) => self.begin_fault(index),
            Due::Lift(index) => self.lift(index),
            Due::Operation(index) => self.operate(index),
            Due::EndTransaction(index) => self.end_transaction(index, None),
            Due::Restart(node) => self.restart(node),
            Due::CrashAgain(index) => self.crash_again(index),
            Due::Pin(index) => self.pin(index),
            Due::Unpin(index) => self.unpin(index),
            Due::Watch(index) => self.begin_watch(index),
            Due::Pull(index) => self.pull(index),
            Due::Turn(index, turn) => self.turn(index, turn),
            Due::Open(node, id) => self.open_late(node, id),
            Due::GiveUp(node, id) => self.give_up(node, id),
        }
        self.attend();
    }

    fn later(&mut self, after: Duration, due: Due) {
        self.agenda.insert((self.world.now.mono + after, due));
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn violate(&mut self, oracle: OracleId, wrong: Wrong) {
        self.world.violate(oracle, wrong);
    }

    fn explanation(&self) -> Option<String> {
        self.world.violation().map(|violation| self.explain(violation))
    }

    fn outcome(self) -> Outcome {
        Outcome {
            violation: self.world.violation().cloned(),
            marks: self.world.marks.clone(),
            elapsed: self.world.elapsed(),
            operations: self.plan.operations.len(),
            faults: self.counts,
        }
    }
}

impl From<history::Oracle> for OracleId {
    fn from(oracle: history::Oracle) -> OracleId {
        match oracle {
            history::Oracle::O1 => OracleId::O1,
            history::Oracle::O2 => OracleId::O2,
            history::Oracle::O3 => OracleId::O3,
            history::Oracle::O4 => OracleId::O4,
            history::Oracle::O7 => OracleId::O7,
            history::Oracle::O9 => OracleId::O9,
            history::Oracle::O13 => OracleId::O13,
        }
    }
}
