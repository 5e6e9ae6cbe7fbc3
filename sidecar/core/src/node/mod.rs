//! One replica of one store: everything it knows, and the only code that changes it.
//!
//! A node is always in one [`Stage`]. Unexpected news from the log or the disk never patches the state in
//! place: the node closes its generations without flushing, asks and opens again, and decides anew.
//!
//! ```text
//! Asking -> Opening -> Recording -> Preparing -> Reading        (restore, then the tail)
//!    ^                     |                       | anything unexpected
//!    |                     v                       v
//!    +----- Waiting (stale leader, refused, cancelled)   Suspended (disk) -> Closing -> Asking
//!    |         | a peer is to give what a rebuild would read        ^
//!    |         +------> Fetching -----------------------------------+
//! ```

mod ask;
mod awaits;
mod cancel;
mod drain;
mod event;
mod fetching;
mod gather;
mod heard;
mod keep_up;
mod leaderless;
mod open;
mod peers;
mod pins;
mod policy;
mod publish;
mod read;
mod reader;
mod reading;
mod refusals;
mod reopen;
mod stalls;
mod status;
mod throttle;
mod unanswered;
mod unheard;
mod write;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::clock::Moment;
use crate::dates::Dates;
use crate::gate::Gate;
use crate::limits::Limits;
use crate::log::{LogCall, LogEvent};
use crate::offset::{Epoch, Generation, Offset, Partition, RequestId};
use crate::phase::Phase;
use crate::store::{Found, StoreCall, StoreEvent};
use crate::time::Now;
use crate::topic::{Identity, LogFacts};

use ask::Ask;
use awaits::Awaits;
use drain::Drain;
pub use event::{Change, Command, Effect, Event, Notice, Outcome, PolicyWarning, Reply};
use fetching::Fetching;
use heard::Heard;
use peers::Peers;
use pins::Pins;
use reading::{Reading, Served};
use refusals::Refusals;
pub use stalls::Stall;
use stalls::Stalls;
pub use status::{PartitionStatus, Progress, Source, Status};
use throttle::Throttle;
use unanswered::Unanswered;
use unheard::Asking;
use write::Sent;

#[derive(Debug)]
pub struct Node {
    store: String,
    limits: Limits,
    /// Of the event being handled.
    now: Moment,
    dates: Dates,
    effects: VecDeque<Effect>,
    phase: Phase,
    stage: Stage,
    facts: Option<LogFacts>,
    /// Highest leader epoch that an answer has shown, per partition.
    epochs_known: Vec<Option<Epoch>>,
    /// When the question that `facts` answer was asked.
    asked_at: Moment,
    describe: Ask,
    ends: Ask,
    /// How far the log was known to reach when the outstanding question for the ends was asked.
    reached_at_ask: Vec<Offset>,
    topic_id: Ask,
    /// Assignments per partition that the log has not answered: only the last one's answer counts.
    assigning: BTreeMap<Partition, u32>,
    /// Generations open in the store.
    open: BTreeSet<Generation>,
    evidence: Evidence,
    heard: Heard,
    refusals: Refusals,
    peers: Peers,
    stalls: Stalls,
    unanswered: Unanswered,
    awaits: Awaits,
    throttle: Throttle,
    writes: BTreeMap<RequestId, Sent>,
    drain: Option<Drain>,
    /// An operator stopped the restore: what is decided is not begun.
    cancelled: bool,
    /// Tries to get going that failed in a row.
    failures: u32,
    ignored: u64,
    misplaced: u64,
    pins: Pins,
    gate: Gate,
    gate_changed: bool,
}

/// What neither the disk nor the log's facts show, learned from what they refused: of each generation for itself, until
/// it is gone.
#[derive(Debug, Default)]
struct Evidence {
    diverged: BTreeSet<(Generation, Partition)>,
    /// Can become exact no more: the log lost what their gaps may have been compacted for.
    inexact: BTreeSet<(Generation, Partition)>,
    corrupt: BTreeMap<Generation, String>,
    /// Met their tombstone horizon, while they ran, by a clock that a restart cannot ask.
    past_horizon: BTreeSet<Generation>,
}

impl Evidence {
    fn forget(&mut self, gone: Generation) {
        self.diverged.retain(|(generation, _)| *generation != gone);
        self.inexact.retain(|(generation, _)| *generation != gone);
        self.corrupt.remove(&gone);
        self.past_horizon.remove(&gone);
    }
}

#[derive(Debug)]
enum Stage {
    Asking(Asking),
    /// For what is on disk, judged against this identity.
    Opening {
        expected: Identity,
    },
    /// What was heard is written to what was found, one store call after another, then the decision.
    Recording {
        calls: VecDeque<StoreCall>,
        found: Found,
        identity: Identity,
        served: Option<Served>,
    },
    /// The plan's store calls one after another, then reading.
    Preparing {
        calls: VecDeque<StoreCall>,
        reading: Box<Reading>,
    },
    Reading(Box<Reading>),
    Fetching(Box<Fetching>),
    /// Until the log's facts allow another plan for what was found.
    Waiting {
        found: Found,
        identity: Identity,
        served: Option<Served>,
    },
    /// The disk failed: reads go on as they can, nothing is applied until it is opened again.
    Suspended {
        until: Duration,
        served: Option<Served>,
    },
    Closing,
    Stopped,
}

impl Node {
    /// A node of `store`; drain its first effects with `poll`.
    pub fn new(store: String, limits: Limits, now: Now) -> Node {
        let dates = Dates::new(now);
        let now = dates.now();
        let mut node = Node {
            store,
            limits,
            dates,
            now,
            effects: VecDeque::new(),
            phase: Phase::Opening,
            stage: Stage::Asking(Asking::begin(now)),
            facts: None,
            epochs_known: Vec::new(),
            asked_at: now,
            describe: Ask::default(),
            ends: Ask::default(),
            reached_at_ask: Vec::new(),
            topic_id: Ask::default(),
            assigning: BTreeMap::new(),
            open: BTreeSet::new(),
            evidence: Evidence::default(),
            heard: Heard::default(),
            refusals: Refusals::default(),
            peers: Peers::default(),
            stalls: Stalls::default(),
            unanswered: Unanswered::default(),
            awaits: Awaits::default(),
            throttle: Throttle::default(),
            writes: BTreeMap::new(),
            drain: None,
            cancelled: false,
            failures: 0,
            ignored: 0,
            misplaced: 0,
            pins: Pins::default(),
            gate: Gate::closed(),
            gate_changed: true,
        };
        node.advance();
        node
    }

    pub fn handle(&mut self, now: Now, event: Event) {
        assert!(now.mono >= self.now.mono, "the monotonic clock went back");
        self.dates.observe(now);
        self.now = self.dates.now();
        match event {
            Event::Log(event) => self.on_log(event),
            Event::Store(event) => self.on_store(event),
            Event::Peer(event) => self.on_peer(event),
            Event::Command(id, command) => self.on_command(id, command),
            Event::Gone(id) => {
                self.awaits.remove(id);
                self.unpin(id);
            }
            Event::Withdraw(id) => self.withdraw(id),
            Event::Damaged { generation, detail } => self.on_damaged(generation, detail),
            Event::RestoreRate(rate) => self.throttle.set(rate),
            Event::Timer => {}
        }
        self.advance();
    }

    /// The next thing to carry out. Between two polls lies a crash point.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Monotonic time at which `Event::Timer` is wanted at the latest.
    pub fn next_timer(&self) -> Option<Duration> {
        let asks = match &self.stage {
            Stage::Asking(_) | Stage::Waiting { .. } => [self.describe.timer(), None, None],
            Stage::Fetching(fetching) if fetching.asks_log() => [self.describe.timer(), None, None],
            Stage::Reading(_) => [self.describe.timer(), self.ends.timer(), self.topic_id.timer()],
            Stage::Fetching(_)
            | Stage::Opening { .. }
            | Stage::Recording { .. }
            | Stage::Preparing { .. }
            | Stage::Suspended { .. }
            | Stage::Closing
            | Stage::Stopped => [None; 3],
        };
        let own = match &self.stage {
            Stage::Reading(reading) => self.reading_timer(reading),
            Stage::Fetching(fetching) => self.fetching_timer(fetching),
            Stage::Suspended { until, .. } => Some(*until),
            Stage::Asking(asking) => self.asking_timer(asking),
            Stage::Opening { .. }
            | Stage::Recording { .. }
            | Stage::Preparing { .. }
            | Stage::Waiting { .. }
            | Stage::Closing
            | Stage::Stopped => None,
        };
        let drain =
            self.drain.as_ref().map(|drain| drain.until).filter(|until| *until > self.now.mono);
        let waits = [self.slow_store_timer(), self.awaits.timer(), self.pins.timer()];
        asks.into_iter().chain(waits).chain([own, drain]).flatten().min()
    }

    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The gate, once per change.
    pub fn changed_gate(&mut self) -> Option<Gate> {
        std::mem::take(&mut self.gate_changed).then(|| self.gate.clone())
    }

    fn on_log(&mut self, event: LogEvent) {
        match event {
            LogEvent::Facts(facts) => self.on_facts(facts),
            LogEvent::Leaderless { topic, partition, error } => {
                self.on_leaderless(topic, partition, &error);
            }
            LogEvent::Assigned { partition } => self.on_assigned(partition),
            LogEvent::Fetched(batch) => self.on_fetched(batch),
            LogEvent::Lost { partition, loss } => self.on_lost(partition, loss),
            LogEvent::Ends(ends) => self.on_ends(&ends),
            LogEvent::TopicId(topic) => self.on_topic_id(topic),
            LogEvent::PartitionCount(count) => self.on_partition_count(count),
            LogEvent::Appended { id, results } => self.on_appended(id, results),
            LogEvent::Failed { call, error } => self.on_log_failed(call, &error),
            LogEvent::Trouble(error) => self.on_trouble(&error),
        }
    }

    fn on_store(&mut self, event: StoreEvent) {
        self.note_answer(&event);
        match event {
            StoreEvent::Found(found) => self.on_found(found),
            StoreEvent::Looked(looked) => self.on_looked(looked),
            StoreEvent::Applied { generation, partition, position } => {
                self.on_applied(generation, partition, position);
            }
            StoreEvent::Pinned { pin, partition } => self.on_pinned(pin, partition),
            StoreEvent::Done { call, generation } => self.on_done(call, generation),
            StoreEvent::Failed { call, error } => self.on_store_failed(call, &error),
        }
    }

    /// Everything that is due, whatever the event was: decisions stand in one place, not in each handler.
    fn advance(&mut self) {
        // First: what waits for the disk gets no other name.
        self.name_slow_store();
        self.advance_stage();
        self.advance_drain();
        self.assess();
        self.publish();
        self.settle_awaits();
        self.expire_pins();
        if let Stage::Reading(reading) = &self.stage {
            reading.readers.iter().for_each(reader::Reader::assert_ordered);
        }
    }

    fn advance_stage(&mut self) {
        match &self.stage {
            Stage::Asking(_) | Stage::Waiting { .. } => {
                // Where a drain's time is up nothing waits for the answer.
                if !self.drain_is_due() && self.describe.ask(self.now) {
                    self.log(LogCall::Describe);
                }
                self.look_meanwhile();
            }
            Stage::Reading(_) => self.keep_up(),
            Stage::Fetching(fetching) => {
                if fetching.asks_log() && self.describe.ask(self.now) {
                    self.log(LogCall::Describe);
                }
                self.name_silence();
            }
            Stage::Suspended { until, .. } if *until <= self.now.mono => self.reopen(),
            Stage::Suspended { .. }
            | Stage::Opening { .. }
            | Stage::Recording { .. }
            | Stage::Preparing { .. }
            | Stage::Closing
            | Stage::Stopped => {}
        }
    }

    fn log(&mut self, call: LogCall) {
        self.effects.push_back(Effect::Log(call));
    }

    fn store(&mut self, call: StoreCall) {
        self.unanswered.sent(call.kind(), self.now.mono);
        self.effects.push_back(Effect::Store(call));
    }

    fn notice(&mut self, notice: Notice) {
        self.effects.push_back(Effect::Notice(notice));
    }

    fn become_phase(&mut self, next: Phase) {
        if self.phase == next {
            return;
        }
        assert!(self.phase.may_become(&next), "{} may not become {next}", self.phase);
        self.phase = next;
        self.notice(Notice::Phase(self.phase.clone()));
    }

    fn reading(&mut self) -> Option<&mut Reading> {
        match &mut self.stage {
            Stage::Reading(reading) => Some(reading),
            Stage::Asking(_)
            | Stage::Opening { .. }
            | Stage::Recording { .. }
            | Stage::Preparing { .. }
            | Stage::Fetching(_)
            | Stage::Waiting { .. }
            | Stage::Suspended { .. }
            | Stage::Closing
            | Stage::Stopped => None,
        }
    }
}
