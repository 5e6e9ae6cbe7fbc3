//! What outlives a stage: what the node knows, whom it owes an answer, and the effects that it wants.
//!
//! Questions to the log are here because their answers may come to a later stage: an answer to an older question is no
//! answer to a newer one. So are the assignments, of which only the last one's answer counts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::clock::Moment;
use crate::dates::Dates;
use crate::gate::{Gate, Rejection};
use crate::limits::Limits;
use crate::log::{KafkaError, LogCall, LogCallKind};
use crate::offset::{Epoch, Generation, Partition, RequestId};
use crate::phase::{Phase, Refusal};
use crate::stall::StallKind;
use crate::store::{
    FoundCopy, FoundGeneration, GenerationState, StoreCall, StoreCallKind, StoreError,
    StoreErrorKind,
};
use crate::time::Now;
use crate::topic::{LogFacts, PartitionFacts, TopicFacts};

use super::ask::Ask;
use super::awaits::{Awaits, Settled};
use super::drain::Drain;
use super::heard::Heard;
use super::peers::Peers;
use super::reading::Refused;
use super::stage::News;
use super::stalls::Stalls;
use super::throttle::Throttle;
use super::unanswered::Unanswered;
use super::write::Sent;
use super::{Effect, Notice, PolicyWarning, Reply};

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
    /// Tries to get going that failed in a row.
    failures: u32,
    pub(super) ignored: u64,
    pub(super) misplaced: u64,
    pub(super) gate: Gate,
    pub(super) gate_changed: bool,
}

/// What neither the disk nor the log's facts show, learned from what they refused: of each generation for itself, until
/// it is gone.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) diverged: BTreeSet<(Generation, Partition)>,
    /// Can become exact no more: the log lost what their gaps may have been compacted for.
    pub(super) inexact: BTreeSet<(Generation, Partition)>,
    pub(super) corrupt: BTreeMap<Generation, String>,
    /// Met their tombstone horizon, while they ran, by a clock that a restart cannot ask.
    pub(super) past_horizon: BTreeSet<Generation>,
}

impl Evidence {
    fn forget(&mut self, gone: Generation) {
        self.diverged.retain(|(generation, _)| *generation != gone);
        self.inexact.retain(|(generation, _)| *generation != gone);
        self.corrupt.remove(&gone);
        self.past_horizon.remove(&gone);
    }
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

    pub(super) fn notice(&mut self, notice: Notice) {
        self.effects.push_back(Effect::Notice(notice));
    }

    pub(super) fn reply(&mut self, id: RequestId, reply: Reply) {
        self.effects.push_back(Effect::Reply(id, reply));
    }

    pub(super) fn settle(&mut self, settled: Settled) {
        for (id, result) in settled {
            let reply = match result {
                Ok(end) => Reply::Reached { end },
                Err(rejection) => Reply::Rejected(rejection),
            };
            self.reply(id, reply);
        }
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

    /// When (monotonic) the next try to get going begins, after one that failed.
    pub(super) fn pause(&mut self) -> Duration {
        let until = self.now.mono + self.limits.retry_after(self.failures);
        self.failures = self.failures.saturating_add(1);
        until
    }
}

/// What is known of the log, and asked of it.
impl Shared {
    /// What the log told last of the topic, safe or not.
    pub(super) fn known_facts(&self) -> &LogFacts {
        self.facts.as_ref().expect("nothing is opened or read before the log's facts came")
    }

    /// Asks for the log's facts again and again, as stages do before something is read; unless the time of a drain is up, and
    /// nothing waits for the answer.
    pub(super) fn ask_log(&mut self) {
        if !self.drain_is_due() {
            self.describe();
        }
    }

    /// When (monotonic) `ask_log` asks next.
    pub(super) fn asks_log_at(&self) -> Option<Duration> {
        self.describe.timer().filter(|_| !self.drain_is_due())
    }

    pub(super) fn describe(&mut self) {
        if self.describe.ask(self.now) {
            self.log(LogCall::Describe);
        }
    }

    /// `reads`: what a reading node goes by are the ends, which an audit may overtake.
    pub(super) fn learn(&mut self, facts: LogFacts, reads: bool) -> News {
        let superseded = self.describe.superseded();
        let asked = self.describe.answered(self.now, self.limits.ends_interval);
        self.asked_at = asked.unwrap_or(self.now);
        self.warn_of(&facts);
        if self.facts.as_ref().is_some_and(|before| before.topic != facts.topic) {
            // A recreated topic begins its epochs again, and what its predecessor refused says nothing.
            self.epochs_known.clear();
            self.evidence.diverged.clear();
            self.positions_refused.clear();
            self.evidence.inexact.clear();
            self.heard.clear();
        } else {
            self.hear_retention(facts.policy.delete_retention_ms);
        }
        if !reads {
            // They are learned whatever comes of it: the disk may fail, for instance.
            self.epochs_known.resize(facts.partitions.len(), None);
            self.learn_epochs(facts.partitions.iter().map(|facts| facts.epoch));
        }
        let before = self.facts.replace(facts.clone());
        self.peers.hear_retention(&facts, before.as_ref());
        News { facts, before, superseded }
    }

    pub(super) fn learn_epochs(&mut self, answered: impl Iterator<Item = Option<Epoch>>) {
        for (known, answered) in self.epochs_known.iter_mut().zip(answered) {
            *known = (*known).max(answered);
        }
    }

    pub(super) fn epoch_known(&self, partition: Partition) -> Option<Epoch> {
        self.epochs_known.get(partition.index()).copied().flatten()
    }

    /// The retention as it is now counts for all that is open.
    pub(super) fn hear_retention(&mut self, delete_retention_ms: u64) {
        for generation in &self.open {
            self.heard.hear(*generation, delete_retention_ms);
        }
    }

    /// The topic with the ends that were known before.
    pub(super) fn with_known_ends(&self, topic: TopicFacts) -> Option<LogFacts> {
        let TopicFacts { cluster, topic, policy, partitions: count } = topic;
        let mut partitions = self.facts.as_ref()?.partitions.clone();
        // Another number makes it another topic's identity, and the copy is opened anew.
        let count =
            usize::try_from(count).expect("usize holds 32 bits on every supported platform");
        partitions.resize(count, PartitionFacts::UNKNOWN);
        Some(LogFacts { cluster, topic, policy, partitions })
    }

    pub(super) fn on_log_failed(&mut self, call: LogCallKind, error: &KafkaError) {
        self.begin_stall(StallKind::of(error), error.to_string());
        let ask = match call {
            LogCallKind::Describe => &mut self.describe,
            LogCallKind::Ends => &mut self.ends,
            LogCallKind::TopicId => &mut self.topic_id,
        };
        ask.failed(self.now, &self.limits);
    }

    pub(super) fn assign(&mut self, partition: Partition) {
        *self.assigning.entry(partition).or_default() += 1;
    }

    /// Whether this answers the last assignment: after a quick reopening the answer to the older one comes first.
    pub(super) fn assigned(&mut self, partition: Partition) -> bool {
        let outstanding = self.assigning.entry(partition).or_default();
        *outstanding = outstanding.checked_sub(1).expect("an assignment is answered once");
        *outstanding == 0
    }

    /// Says once what changed in the topic that an operator should know.
    fn warn_of(&mut self, facts: &LogFacts) {
        let before = self.facts.as_ref();
        let partitions = (0..).map(Partition).zip(&facts.partitions);
        let incomplete = partitions.filter(|(partition, now)| {
            let known = before.and_then(|before| before.partitions.get(partition.index()));
            now.log_start.0 > 0 && known.is_none_or(|known| known.log_start < now.log_start)
        });
        let mut notices: Vec<_> = incomplete
            .map(|(partition, now)| Notice::LogIncomplete { partition, log_start: now.log_start })
            .collect();
        if before.is_none_or(|before| before.policy != facts.policy) {
            let warnings = PolicyWarning::of(&facts.policy, &self.limits);
            notices.extend(warnings.into_iter().map(Notice::Policy));
        }
        for notice in notices {
            self.notice(notice);
        }
    }
}

/// What is known of the disk.
impl Shared {
    pub(super) fn note_generations(&mut self, copy: &mut FoundCopy) {
        for generation in [&mut copy.current, &mut copy.building].into_iter().flatten() {
            self.note_generation(generation);
        }
    }

    /// What this process saw of a generation outweighs what opening it shows.
    fn note_generation(&mut self, found: &mut FoundGeneration) {
        if let GenerationState::Intact(_) = found.state {
            self.open.insert(found.generation);
            self.dates.meet(found);
            if let Some(detail) = self.evidence.corrupt.get(&found.generation) {
                found.state = GenerationState::Corrupt(detail.clone());
            }
        }
    }

    pub(super) fn note_done(&mut self, call: StoreCallKind, generation: Generation) {
        match call {
            StoreCallKind::Close => drop(self.open.remove(&generation)),
            StoreCallKind::Remove | StoreCallKind::Quarantine => {
                self.open.remove(&generation);
                // This was not forgotten before: had the call failed, it would still count.
                self.evidence.forget(generation);
                self.dates.forget(generation);
                self.heard.forget(generation);
            }
            StoreCallKind::Open
            | StoreCallKind::Look
            | StoreCallKind::Create
            | StoreCallKind::Adopt
            | StoreCallKind::Apply
            | StoreCallKind::Confirm
            | StoreCallKind::Flush
            | StoreCallKind::Activate
            | StoreCallKind::Pin
            | StoreCallKind::Unpin => {}
        }
    }

    /// `written`: the generation that the call was for.
    pub(super) fn disk_failed(&mut self, error: &StoreError, written: Option<Generation>) {
        let kind = match error.kind {
            StoreErrorKind::Full => StallKind::StoreFull,
            StoreErrorKind::Io | StoreErrorKind::Corrupt => StallKind::StoreFailed,
        };
        self.begin_stall(kind, error.to_string());
        if let (StoreErrorKind::Corrupt, Some(generation)) = (error.kind, written) {
            self.evidence.corrupt.insert(generation, error.detail.clone());
        }
    }
}

/// What is waited for, by name.
impl Shared {
    pub(super) fn begin_stall(&mut self, kind: StallKind, detail: String) {
        if self.stalls.begin(kind, detail.clone(), self.now.mono) {
            self.notice(Notice::StallBegan { kind, detail });
        }
    }

    pub(super) fn end_stalls(&mut self, over: impl Fn(StallKind) -> bool) {
        for kind in self.stalls.end(over) {
            self.notice(Notice::StallEnded { kind });
        }
    }

    /// An answer of the log ends what was named because none came, but not the name of a leader that is still silent.
    pub(super) fn end_silence(&mut self, leaderless: bool) {
        self.end_stalls(|kind| {
            kind.ends_with_an_answer() && !(leaderless && kind == StallKind::LeaderUnavailable)
        });
    }

    /// The leaders that answer are those that count; unless the reader reaches others.
    pub(super) fn end_stale_leader(&mut self) {
        if !self.positions_refused.any() {
            self.end_stalls(|kind| kind == StallKind::StaleLeader);
        }
    }

    pub(super) fn settle_awaits(&mut self, leaderless: &[(Partition, KafkaError)]) {
        let settled = match &self.phase {
            Phase::Refused(refusal) => self.awaits.reject_all(&Rejection::Refused(refusal.clone())),
            Phase::Stopped => self.awaits.reject_all(&Rejection::Draining),
            Phase::Opening | Phase::Restoring(_) | Phase::CatchingUp | Phase::Ready => {
                self.awaits.on_gate(&self.gate)
            }
        };
        self.settle(settled);
        let stall = self.stalls.first().map(|stall| stall.kind);
        let leaderless: Vec<_> = leaderless.iter().map(|(partition, _)| *partition).collect();
        let late = self.awaits.expire(self.now, stall, &leaderless);
        self.settle(late);
    }
}
