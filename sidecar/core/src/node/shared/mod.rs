//! What outlives a stage: what the node knows, whom it owes an answer, and the effects that it wants.
//!
//! Questions to the log are here because their answers may come to a later stage: an answer to an older question is no
//! answer to a newer one. So are the assignments, of which only the last one's answer counts.

mod ask;
mod awaits;
mod disk;
mod heard;
mod log;
mod peers;
mod refused;
mod stalls;
mod throttle;
mod unanswered;
mod write;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::clock::Moment;
use crate::dates::Dates;
use crate::gate::Gate;
use crate::horizon::Horizon;
use crate::limits::Limits;
use crate::log::LogCall;
use crate::offset::{Epoch, Generation, Partition, RequestId};
use crate::phase::{Phase, Refusal};
use crate::store::{FoundGeneration, StoreCall};
use crate::time::Now;
use crate::topic::LogFacts;
use crate::watch::ring::RingNews;

use super::event::{Effect, Notice, Reply};
pub(super) use ask::Ask;
use awaits::Awaits;
pub(super) use awaits::beyond;
use disk::Evidence;
use heard::Heard;
pub(super) use log::News;
use peers::Peers;
pub(super) use peers::Wanted;
use refused::Refused;
pub use stalls::Stall;
use stalls::Stalls;
use throttle::Throttle;
use unanswered::Unanswered;
use write::Sent;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: String,
    pub(super) limits: Limits,
    /// The time of the event that is handled.
    pub(super) now: Moment,
    pub(super) dates: Dates,
    pub(super) effects: VecDeque<Effect>,
    /// The phase that was told last.
    pub(super) phase: Phase,
    /// What the last decision refuses, until something is read or fetched.
    pub(super) refusal: Option<Refusal>,
    /// An operator stopped the restore: what is decided is not begun.
    pub(super) cancelled: bool,
    pub(super) facts: Option<LogFacts>,
    /// When the question was asked that `facts` answer.
    pub(super) asked_at: Moment,
    /// Highest leader epoch that an answer has shown, per partition.
    pub(super) epochs_known: Vec<Option<Epoch>>,
    pub(super) describe: Ask,
    pub(super) ends: Ask,
    pub(super) topic_id: Ask,
    /// Assignments per partition that the log has not answered.
    assigning: BTreeMap<Partition, u32>,
    /// Positions that leaders refused.
    pub(super) positions_refused: Refused,
    /// Generations open in the store.
    pub(super) open: BTreeSet<Generation>,
    pub(super) evidence: Evidence,
    pub(super) heard: Heard,
    pub(super) peers: Peers,
    pub(super) stalls: Stalls,
    pub(super) unanswered: Unanswered,
    pub(super) awaits: Awaits,
    pub(super) throttle: Throttle,
    pub(super) writes: BTreeMap<RequestId, Sent>,
    pub(super) drain: Option<Drain>,
    /// How many tries to start failed in a row.
    failures: u32,
    pub(super) ignored: u64,
    pub(super) misplaced: u64,
    pub(super) gate: Gate,
    pub(super) gate_changed: bool,
}

/// An old generation that answers STALE reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) generation: Generation,
    pub(super) confirmed_at_ms: u64,
    /// The smallest retention that this generation has seen.
    pub(super) delete_retention_ms_min: u64,
}

impl Served {
    pub(super) fn of(found: &FoundGeneration) -> Served {
        Served {
            generation: found.generation,
            confirmed_at_ms: found.confirmed_at_ms(),
            delete_retention_ms_min: found.delete_retention_ms_min(),
        }
    }

    /// How long this copy may still go on from the log, and how long it could if it were confirmed now.
    pub(super) fn horizon(&self, shared: &Shared) -> Horizon {
        // What it is told while it waits is not in the copy yet.
        let heard = shared.heard.retention_ms(self.generation);
        let of = shared.limits.trusted(self.delete_retention_ms_min.min(heard));
        let left = match self.confirmed_at_ms {
            0 => Duration::ZERO,
            at => of.saturating_sub(shared.now.since(shared.dates.moment(self.generation, at))),
        };
        Horizon { left, of }
    }
}

/// The orderly end, once somebody asked for it.
#[derive(Debug)]
pub(super) struct Drain {
    /// Everybody who asked for it.
    pub(super) ids: Vec<RequestId>,
    /// Monotonic: whatever is not done by then is left to the next start, which is as safe.
    pub(super) until: Duration,
}

impl Shared {
    pub(super) fn new(store: String, limits: Limits, now: Now) -> Shared {
        let dates = Dates::new(now);
        let now = dates.now();
        Shared {
            store,
            limits,
            now,
            dates,
            effects: VecDeque::new(),
            phase: Phase::Opening,
            refusal: None,
            cancelled: false,
            facts: None,
            asked_at: now,
            epochs_known: Vec::new(),
            describe: Ask::default(),
            ends: Ask::default(),
            topic_id: Ask::default(),
            assigning: BTreeMap::new(),
            positions_refused: Refused::default(),
            open: BTreeSet::new(),
            evidence: Evidence::default(),
            heard: Heard::default(),
            peers: Peers::default(),
            stalls: Stalls::default(),
            unanswered: Unanswered::default(),
            awaits: Awaits::default(),
            throttle: Throttle::default(),
            writes: BTreeMap::new(),
            drain: None,
            failures: 0,
            ignored: 0,
            misplaced: 0,
            gate: Gate::closed(),
            gate_changed: true,
        }
    }

    pub(super) fn log(&mut self, call: LogCall) {
        self.effects.push_back(Effect::Log(call));
    }

    pub(super) fn store(&mut self, call: StoreCall) {
        self.unanswered.sent(call.kind(), self.now.mono);
        self.effects.push_back(Effect::Store(call));
    }

    pub(super) fn ring(&mut self, news: RingNews) {
        self.effects.push_back(Effect::Ring(news));
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.effects.push_back(Effect::Notice(notice));
    }

    pub(super) fn reply(&mut self, id: RequestId, reply: Reply) {
        self.effects.push_back(Effect::Reply(id, reply));
    }

    /// What the last decision refuses; or what an operator stopped.
    pub(super) fn refused_phase(&self) -> Option<Phase> {
        let stopped = self.cancelled.then_some(Refusal::Cancelled);
        self.refusal.clone().or(stopped).map(Phase::Refused)
    }

    /// READY begins: what led to the restore is over.
    pub(super) fn begin_ready(&mut self) {
        self.failures = 0;
        self.throttle.forget_debt();
        self.peers.forget_asking();
        self.evidence = Evidence::default();
    }

    pub(super) fn drain_is_due(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.until <= self.now.mono)
    }

    /// When (monotonic) the next try to get going begins, after one that failed.
    pub(super) fn pause(&mut self) -> Duration {
        let until = self.now.mono + self.limits.retry_after(self.failures);
        self.failures = self.failures.saturating_add(1);
        until
    }
}
