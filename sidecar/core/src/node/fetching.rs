//! A copy from a peer instead of the log: what is lost by a rebuild is put aside, a peer's checkpoint is fetched,
//! and the log is asked once more before it is adopted. Then everything is closed and opened anew, so that `decide`
//! judges what a peer gave as it judges what a crash left. Nothing that a peer says is taken over: targets and
//! confirmations are this node's own.

use std::collections::VecDeque;
use std::time::Duration;

use crate::decide::{Old, Plan, policy_fault};
use crate::offset::Generation;
use crate::peer::{PeerCall, PeerEvent, Transfer};
use crate::phase::{Cause, Phase};
use crate::stall::StallKind;
use crate::store::{Found, GenerationState, StoreCall, StoreCallKind};
use crate::topic::{Identity, LogFacts};

use super::peers::Wanted;
use super::reading::Served;
use super::{Effect, Node, Notice, Stage};

#[derive(Debug)]
pub(super) struct Fetching {
    /// Less what was set aside since.
    found: Found,
    identity: Identity,
    generation: Generation,
    pub(super) cause: Cause,
    /// The log cannot give the whole state: until a peer has, the node refuses and leaves everything as it is.
    refused: bool,
    pub(super) served: Option<Served>,
    pub(super) started: Duration,
    /// Monotonic: when more of it last came.
    progress_at: Duration,
    pub(super) transfer: Option<Transfer>,
    /// The address that gave it, once it is here, and the smallest delete.retention.ms that it told.
    giver: Option<(String, u64)>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// One store call after another, before anybody is asked.
    PuttingAside(VecDeque<StoreCall>),
    Asked,
    /// Called off: whatever comes of it, everything is opened anew.
    Ending,
    /// It is here; what the log says now decides about it.
    Fetched,
    Adopting(VecDeque<StoreCall>),
}

impl Node {
    pub(super) fn fetch(&mut self, found: Found, identity: Identity, wanted: Wanted) {
        let Wanted { generation, cause, refused, old, served } = wanted;
        let calls = match refused {
            true => VecDeque::new(),
            // What speaks against it is known to this process only.
            false => self.put_away(old.into_iter().filter(is_kept)),
        };
        self.stage = Stage::Fetching(Box::new(Fetching {
            found,
            identity,
            generation,
            cause,
            refused,
            served,
            started: self.now.mono,
            progress_at: self.now.mono,
            transfer: None,
            giver: None,
            step: Step::PuttingAside(calls),
        }));
        self.fetch_next();
    }

    fn fetching(&mut self) -> Option<&mut Fetching> {
        match &mut self.stage {
            Stage::Fetching(fetching) => Some(fetching),
            Stage::Asking(_)
            | Stage::Opening { .. }
            | Stage::Recording { .. }
            | Stage::Preparing { .. }
            | Stage::Reading(_)
            | Stage::Waiting { .. }
            | Stage::Suspended { .. }
            | Stage::Closing
            | Stage::Stopped => None,
        }
    }

    pub(super) fn fetches(&self) -> bool {
        matches!(self.stage, Stage::Fetching(_))
    }

    /// The next store call, or what follows the last.
    fn fetch_next(&mut self) {
        let cancelled = self.cancelled;
        let Some(fetching) = self.fetching() else { return };
        match &mut fetching.step {
            // A crash between two of them is as good.
            Step::PuttingAside(_) | Step::Adopting(_) if cancelled => self.reopen(),
            Step::PuttingAside(calls) => match calls.pop_front() {
                Some(call) => self.store(call),
                None => self.ask_peers(),
            },
            Step::Adopting(calls) => match calls.pop_front() {
                Some(call) => self.store(call),
                None => self.adopted(),
            },
            Step::Asked | Step::Ending | Step::Fetched => {}
        }
    }

    fn ask_peers(&mut self) {
        let now = self.now.mono;
        let Some(fetching) = self.fetching() else { return };
        let (generation, identity) = (fetching.generation, fetching.identity.clone());
        let (cause, refused) = (fetching.cause, fetching.refused);
        (fetching.step, fetching.progress_at) = (Step::Asked, now);
        self.effects.push_back(Effect::Peer(self.peers.ask(generation, identity, now)));
        if !refused {
            self.become_phase(Phase::Restoring(cause));
        }
        self.end_stalls(|kind| {
            matches!(kind, StallKind::StaleLeader | StallKind::StoreFull | StallKind::StoreFailed)
        });
    }

    pub(super) fn on_peer(&mut self, event: PeerEvent) {
        let now = self.now.mono;
        let Some(fetching) = self.fetching() else { return };
        let asked = matches!(fetching.step, Step::Asked);
        if !asked && !matches!(fetching.step, Step::Ending) {
            return;
        }
        match event {
            PeerEvent::Progress(transfer) => {
                (fetching.transfer, fetching.progress_at) = (Some(transfer), now);
                self.end_stalls(|kind| kind == StallKind::PeerSilent);
            }
            PeerEvent::Fetched { generation, peer, delete_retention_ms_min } if asked => {
                assert_eq!(generation, fetching.generation, "what was asked for is answered");
                (fetching.step, fetching.giver) =
                    (Step::Fetched, Some((peer, delete_retention_ms_min)));
                self.peers.answered(now);
                self.describe.hurry();
                self.end_stalls(|kind| kind == StallKind::PeerSilent);
            }
            PeerEvent::Fetched { .. } => self.stop_fetching(),
            PeerEvent::Failed { generation, detail } => {
                assert_eq!(generation, fetching.generation, "what was asked for is answered");
                self.notice(Notice::PeerFailed { detail });
                self.stop_fetching();
            }
        }
    }

    fn stop_fetching(&mut self) {
        self.peers.answered(self.now.mono);
        self.end_stalls(|kind| kind == StallKind::PeerSilent);
        let Some(fetching) = self.fetching() else { return };
        let Fetching { found, identity, served, .. } = fetching;
        let (found, identity, served) = (found.clone(), identity.clone(), *served);
        match fetching.refused && matches!(fetching.step, Step::Asked) {
            true => self.stage = Stage::Waiting { found, identity, served },
            false => self.reopen(),
        }
    }

    /// True while an answer is to come that `Cancel` has been sent for.
    pub(super) fn calls_off_fetch(&mut self) -> bool {
        let Some(fetching) = self.fetching() else { return false };
        match fetching.step {
            Step::Asked => {
                fetching.step = Step::Ending;
                self.effects.push_back(Effect::Peer(PeerCall::Cancel));
                true
            }
            Step::Ending => true,
            Step::PuttingAside(_) | Step::Fetched | Step::Adopting(_) => false,
        }
    }

    /// The topic as it is now, against what is fetched, and what decides once it is here.
    pub(super) fn on_facts_beside_fetch(&mut self, facts: &LogFacts, superseded: bool) {
        let (safe, identity) =
            (policy_fault(&facts.policy, &self.limits).is_none(), facts.identity(&self.store));
        let Some(fetching) = self.fetching() else { return };
        let fits = safe && identity == fetching.identity;
        match &fetching.step {
            Step::Asked if !fits => drop(self.calls_off_fetch()),
            Step::Fetched if !fits => self.reopen(),
            Step::Fetched if !superseded => self.decide_about_fetched(facts),
            Step::PuttingAside(_)
            | Step::Asked
            | Step::Ending
            | Step::Fetched
            | Step::Adopting(_) => {}
        }
    }

    /// What is kept meanwhile, as far as is heard. It is written when it is opened anew, or waited with.
    fn found_beside_fetch(&self) -> Found {
        let Stage::Fetching(fetching) = &self.stage else { return Found::Nothing };
        let mut found = fetching.found.clone();
        if let Found::Copy(copy) = &mut found {
            drop(self.heard.apply_to(copy));
        }
        found
    }

    /// The log may have changed for hours: what is put away is decided anew.
    fn decide_about_fetched(&mut self, facts: &LogFacts) {
        let Some(fetching) = self.fetching() else { return };
        let generation = fetching.generation;
        let found = self.found_beside_fetch();
        match self.decide(&found, facts) {
            Plan::Rebuild { generation: next, mut old, .. }
            | Plan::Incomplete { generation: next, mut old, .. } => {
                assert_eq!(next, generation, "nothing on disk changed while it was fetched");
                self.end_stalls(|kind| kind == StallKind::StaleLeader);
                self.peers.discard_damaged(&found, &mut old);
                self.adopt(old, &found);
            }
            Plan::Wait { deposed, .. } => {
                self.begin_stall(StallKind::StaleLeader, deposed.to_string());
            }
            Plan::Refuse { .. } | Plan::Resume { .. } | Plan::Continue { .. } => self.reopen(),
        }
    }

    /// Nothing is deleted before the new generation is there.
    fn adopt(&mut self, old: Vec<(Generation, Old)>, replaced: &Found) {
        let heard = self.peers.heard_for(replaced);
        let (kept, rest): (Vec<_>, Vec<_>) = old.into_iter().partition(is_kept);
        let mut calls = self.put_away(kept);
        let discarded = self.put_away(rest);
        let Some(fetching) = self.fetching() else { return };
        let (generation, identity) = (fetching.generation, fetching.identity.clone());
        let (_, told) = fetching.giver.as_ref().expect("what is adopted was given");
        let delete_retention_ms_min = heard.min(*told);
        calls.push_back(StoreCall::Adopt { generation, identity, delete_retention_ms_min });
        calls.extend(discarded);
        fetching.step = Step::Adopting(calls);
        self.fetch_next();
    }

    fn adopted(&mut self) {
        let now = self.now.mono;
        let Some(fetching) = self.fetching() else { return };
        let (giver, _) = fetching.giver.take().expect("what is adopted was given");
        let generation = fetching.generation;
        self.peers.adopted(generation, giver, now);
        self.reopen();
    }

    pub(super) fn on_fetching_done(&mut self, call: StoreCallKind, generation: Generation) {
        let Some(fetching) = self.fetching() else { return };
        if let (StoreCallKind::Quarantine, Found::Copy(copy)) = (call, &mut fetching.found) {
            copy.forget(generation);
        }
        self.fetch_next();
    }

    /// A read met damage in what is served meanwhile.
    pub(super) fn note_damage_beside_fetch(&mut self, damaged: Generation, detail: &str) {
        let Some(fetching) = self.fetching() else { return };
        fetching.served.take_if(|served| served.generation == damaged);
        let Found::Copy(copy) = &mut fetching.found else { return };
        for found in [&mut copy.current, &mut copy.building].into_iter().flatten() {
            if found.generation == damaged {
                found.state = GenerationState::Corrupt(detail.to_owned());
            }
        }
    }

    pub(super) fn name_silence(&mut self) {
        let Stage::Fetching(fetching) = &self.stage else { return };
        if fetching.silent_at(self.limits.stall_after).is_some_and(|at| at <= self.now.mono) {
            let since = self.now.mono - fetching.progress_at;
            let detail = match &fetching.transfer {
                Some(Transfer { peer, bytes, bytes_total }) => {
                    format!("{bytes} of {bytes_total} bytes from {peer}, none for {since:?}")
                }
                None => format!("no peer gives anything for {since:?}"),
            };
            self.begin_stall(StallKind::PeerSilent, detail);
        }
    }

    pub(super) fn fetching_timer(&self, fetching: &Fetching) -> Option<Duration> {
        let at = fetching.silent_at(self.limits.stall_after)?;
        (!self.stalls.has(StallKind::PeerSilent)).then_some(at)
    }
}

impl Fetching {
    /// The log is asked only while the disk has nothing to answer.
    pub(super) fn asks_log(&self) -> bool {
        match self.step {
            Step::Asked | Step::Ending | Step::Fetched => true,
            Step::PuttingAside(_) | Step::Adopting(_) => false,
        }
    }

    fn silent_at(&self, stall_after: Duration) -> Option<Duration> {
        match self.step {
            Step::Asked => Some(self.progress_at + stall_after),
            Step::PuttingAside(_) | Step::Ending | Step::Fetched | Step::Adopting(_) => None,
        }
    }
}

fn is_kept((_, old): &(Generation, Old)) -> bool {
    match old {
        Old::Quarantine(_) => true,
        Old::ServeStale | Old::Discard => false,
    }
}
