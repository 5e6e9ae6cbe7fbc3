//! From nothing known to a generation that is read into: ask, open, decide, prepare.

use std::collections::VecDeque;

use crate::decide::{Old, Plan, Situation, decide};
use crate::lineage::Lineage;
use crate::log::{KafkaError, LogCallKind};
use crate::offset::{Epoch, Generation, Partition};
use crate::phase::{Cause, Operation, Phase};
use crate::stall::StallKind;
use crate::store::{
    Found, FoundCopy, FoundGeneration, GenerationState, StoreCall, StoreCallKind, Why,
};
use crate::topic::{Identity, LogFacts};

use super::peers::Wanted;
use super::reading::{Reading, Served, Start, Usage};
use super::{Node, Notice, PolicyWarning, Stage};

impl Node {
    pub(super) fn on_facts(&mut self, facts: LogFacts) {
        self.end_silence();
        let superseded = self.describe.superseded();
        let asked = self.describe.answered(self.now, self.limits.ends_interval);
        self.asked_at = asked.unwrap_or(self.now);
        self.warn_of(&facts);
        if self.facts.as_ref().is_some_and(|before| before.topic != facts.topic) {
            // A recreated topic begins its epochs again, and what its predecessor refused says nothing.
            self.epochs_known.clear();
            self.evidence.diverged.clear();
            self.refusals.clear();
            self.evidence.inexact.clear();
            self.heard.clear();
        } else {
            self.hear_retention(&facts);
        }
        if !matches!(self.stage, Stage::Reading(_)) {
            // Also when nothing comes of it, because the disk fails for instance. What a reading node goes by
            // are the ends, which an audit may overtake.
            self.epochs_known.resize(facts.partitions.len(), None);
            self.learn_epochs(facts.partitions.iter().map(|facts| facts.epoch));
        }
        let before = self.facts.replace(facts.clone());
        self.peers.hear_retention(&facts, before.as_ref());
        match &self.stage {
            // Asked before the copy was closed, these ends may lie below what it holds: no proof of a loss.
            Stage::Asking(_) if superseded => {}
            // Nothing is open of what belongs to something else: an operator may have moved it away.
            Stage::Asking(_) | Stage::Waiting { found: Found::Foreign { .. }, .. } => {
                self.open_copy(&facts)
            }
            Stage::Waiting { identity, .. } if *identity == facts.identity(&self.store) => {
                self.decide_again()
            }
            Stage::Waiting { .. } => self.reopen(),
            Stage::Fetching(_) => self.on_facts_beside_fetch(&facts, superseded),
            Stage::Reading(_) => {
                self.audit(&facts, before.map(|before| before.policy).as_ref(), superseded);
            }
            Stage::Preparing { reading, .. } if reading.identity != facts.identity(&self.store) => {
                self.lose()
            }
            Stage::Suspended { .. } => self.close_to_another(&facts, before.as_ref()),
            Stage::Opening { .. }
            | Stage::Recording { .. }
            | Stage::Preparing { .. }
            | Stage::Closing
            | Stage::Stopped => {}
        }
    }

    /// A node that waits for its disk takes writes and gives its old copy, but not for a topic that was not accepted: keys
    /// would lie where this one puts them, and nobody would find them there; and the copy would be told as that topic's.
    fn close_to_another(&mut self, facts: &LogFacts, before: Option<&LogFacts>) {
        let same = before
            .is_some_and(|before| before.identity(&self.store) == facts.identity(&self.store));
        if same {
            return;
        }
        if let Stage::Suspended { served, .. } = &mut self.stage {
            *served = None;
        }
        if self.phase.admits(Operation::Write) {
            self.become_phase(Phase::Opening);
        }
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

    pub(super) fn on_trouble(&mut self, error: &KafkaError) {
        self.begin_stall(StallKind::of(error), error.to_string());
    }

    fn open_copy(&mut self, facts: &LogFacts) {
        let expected = facts.identity(&self.store);
        self.open.clear();
        self.store(StoreCall::Open { expected: expected.clone() });
        self.stage = Stage::Opening { expected };
    }

    pub(super) fn on_found(&mut self, mut found: Found) {
        let Stage::Opening { expected } = &self.stage else {
            return;
        };
        let identity = expected.clone();
        if let Found::Copy(copy) = &mut found {
            self.note_generations(copy);
            if let Some((adopted, retention_ms)) = self.peers.heard_of_adopted() {
                self.heard.hear(adopted, retention_ms);
            }
        }
        let facts = self.facts.clone().expect("the copy is opened only after the log's facts came");
        self.hear_retention(&facts);
        self.record(found, identity, None);
    }

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

    fn decide_again(&mut self) {
        let Stage::Waiting { found, identity, served } = &self.stage else {
            return;
        };
        let (found, identity, served) = (found.clone(), identity.clone(), *served);
        self.record(found, identity, served);
    }

    pub(super) fn decide(&self, found: &Found, facts: &LogFacts) -> Plan {
        let plan = decide(Situation {
            store: &self.store,
            found,
            facts,
            epochs_known: &self.epochs_known,
            diverged: &self.evidence.diverged,
            inexact: &self.evidence.inexact,
            past_horizon: &self.evidence.past_horizon,
            dates: &self.dates,
            limits: &self.limits,
        });
        if self.cancelled { plan.cancelled() } else { plan }
    }

    pub(super) fn act_on(&mut self, found: Found, identity: Identity, facts: &LogFacts) {
        let plan = self.decide(&found, facts);
        if !matches!(plan, Plan::Wait { .. } | Plan::Resume { .. } | Plan::Continue { .. }) {
            self.refusals.clear();
        }
        let confirmed_at_ms = confirmed_at_ms(&found);
        let served = |generation| Served { generation, confirmed_at_ms };
        match plan {
            Plan::Wait { deposed, serve } => {
                let served = serve.map(served);
                self.begin_stall(StallKind::StaleLeader, deposed.to_string());
                self.become_phase(Phase::Opening);
                self.stage = Stage::Waiting { found, identity, served };
            }
            Plan::Refuse { refusal, serve } => {
                let served = serve.map(served);
                self.become_phase(Phase::Refused(refusal));
                self.stage = Stage::Waiting { found, identity, served };
            }
            Plan::Incomplete { refusal, serve, generation, cause, old } => {
                let served = serve.map(served);
                self.become_phase(Phase::Refused(refusal));
                self.peers.note_waste(&found, &old);
                let wanted = Wanted { generation, cause, refused: true, old, served };
                match self.may_ask_peers(&found, &wanted, facts) {
                    true => self.fetch(found, identity, wanted),
                    false => self.stage = Stage::Waiting { found, identity, served },
                }
            }
            Plan::Resume { generation, lineages, unfinished } => {
                let start = Start {
                    identity,
                    generation,
                    lineages,
                    cause: Cause::Resume,
                    usage: Usage::Active,
                };
                let calls = self.put_away(unfinished);
                self.prepare(calls, start, facts);
            }
            Plan::Continue { building, lineages, serve, aside } => {
                let replaced = in_use(&found).filter(|_| aside.is_none());
                let usage = Usage::Building {
                    serve: serve.map(served),
                    replaced: replaced.map(|found| found.generation).into_iter().collect(),
                };
                let start = Start {
                    identity,
                    generation: building,
                    lineages,
                    cause: Cause::Unfinished,
                    usage,
                };
                let calls = aside.map(|(generation, why)| self.set_aside(generation, why));
                self.prepare(calls.into_iter().collect(), start, facts);
            }
            Plan::Rebuild { generation, cause, old } => {
                let stale = old
                    .iter()
                    .find(|(_, old)| *old == Old::ServeStale)
                    .map(|(generation, _)| *generation);
                let served = stale.map(served);
                let wanted = Wanted { generation, cause, refused: false, old, served };
                if self.may_ask_peers(&found, &wanted, facts) {
                    return self.fetch(found, identity, wanted);
                }
                let old = wanted.old;
                let usage =
                    Usage::Building { serve: served, replaced: stale.into_iter().collect() };
                let lineages = vec![self.empty_lineage(facts); facts.partitions.len()];
                let start = Start { identity, generation, lineages, cause, usage };
                self.rebuild(old, start, facts);
            }
        }
    }

    /// What a generation starts with: the horizon counts from before its first fetch, and of an empty log it is
    /// all that there was when that was asked.
    fn empty_lineage(&self, facts: &LogFacts) -> Lineage {
        Lineage::empty(self.asked_at.wall_ms, facts.policy.delete_retention_ms)
    }

    fn rebuild(&mut self, old: Vec<(Generation, Old)>, start: Start, facts: &LogFacts) {
        let mut calls = self.put_away(old);
        self.dates.begin(start.generation, self.asked_at);
        calls.push_back(StoreCall::Create {
            generation: start.generation,
            identity: start.identity.clone(),
            lineages: start.lineages.clone(),
        });
        self.prepare(calls, start, facts);
    }

    pub(super) fn put_away(
        &mut self,
        old: impl IntoIterator<Item = (Generation, Old)>,
    ) -> VecDeque<StoreCall> {
        let call = |(generation, old)| match old {
            Old::ServeStale => None,
            Old::Discard => Some(StoreCall::Remove { generation }),
            Old::Quarantine(why) => Some(self.set_aside(generation, why)),
        };
        old.into_iter().filter_map(call).collect()
    }

    fn set_aside(&mut self, generation: Generation, why: Why) -> StoreCall {
        self.notice(Notice::Quarantined { generation, why: why.clone() });
        StoreCall::Quarantine { generation, why }
    }

    fn prepare(&mut self, calls: VecDeque<StoreCall>, start: Start, facts: &LogFacts) {
        let reading = Box::new(Reading::new(start, facts, self.asked_at, &self.dates));
        self.stage = Stage::Preparing { calls, reading };
        self.prepare_next();
    }

    fn prepare_next(&mut self) {
        let Stage::Preparing { calls, .. } = &mut self.stage else {
            return;
        };
        if self.cancelled && !calls.is_empty() {
            // A crash between two of them is as good: what was done is found when it goes on.
            return self.reopen();
        }
        match calls.pop_front() {
            Some(call) => self.store(call),
            None => self.begin_reading(),
        }
    }

    fn begin_reading(&mut self) {
        let Stage::Preparing { reading, .. } = std::mem::replace(&mut self.stage, Stage::Closing)
        else {
            return;
        };
        self.open.insert(reading.generation);
        if self.cancelled || self.drain.is_some() {
            return self.reopen();
        }
        let cause = reading.cause;
        self.stage = Stage::Reading(reading);
        self.assign(|_| true);
        self.become_phase(Phase::Restoring(cause));
        self.end_stale_leader();
        self.end_stalls(|kind| {
            matches!(kind, StallKind::StoreFull | StallKind::StoreFailed | StallKind::Inexact)
        });
        self.reached_at_ask.clear();
        self.describe.rest(self.now, self.limits.describe_interval);
        self.ends.hurry();
        self.topic_id.hurry();
    }

    pub(super) fn on_done(&mut self, call: StoreCallKind, generation: Generation) {
        match call {
            StoreCallKind::Close => drop(self.open.remove(&generation)),
            StoreCallKind::Remove | StoreCallKind::Quarantine => {
                self.open.remove(&generation);
                // Not before: had that failed, it would still count.
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
        match &self.stage {
            Stage::Recording { .. } => self.recorded(),
            Stage::Preparing { .. } => self.prepare_next(),
            Stage::Fetching(_) => self.on_fetching_done(call, generation),
            Stage::Reading(_) => self.on_reading_done(call, generation),
            Stage::Closing if call == StoreCallKind::Close && self.open.is_empty() => self.closed(),
            Stage::Asking(_)
            | Stage::Opening { .. }
            | Stage::Waiting { .. }
            | Stage::Suspended { .. }
            | Stage::Closing
            | Stage::Stopped => {}
        }
    }

    pub(super) fn learn_epochs(&mut self, answered: impl Iterator<Item = Option<Epoch>>) {
        for (known, answered) in self.epochs_known.iter_mut().zip(answered) {
            *known = (*known).max(answered);
        }
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
        notices.into_iter().for_each(|notice| self.notice(notice));
    }
}

/// Of the generation in use: no other is ever served beside a rebuild.
fn confirmed_at_ms(found: &Found) -> u64 {
    in_use(found).map_or(0, FoundGeneration::confirmed_at_ms)
}

/// What CURRENT names; an unfinished rebuild is always a newer one.
pub(super) fn in_use(found: &Found) -> Option<&FoundGeneration> {
    match found {
        Found::Copy(copy) => copy.current.as_ref(),
        Found::Nothing | Found::Foreign { .. } => None,
    }
}
