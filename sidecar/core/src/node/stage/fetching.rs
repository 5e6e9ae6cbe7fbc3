//! A copy from a peer instead of the log: what is lost by a rebuild is put aside, a peer's checkpoint is fetched,
//! and the log is asked once more before it is adopted. Then everything is closed and opened anew, so that `decide`
//! judges what a peer gave as it judges what a crash left. Nothing that a peer says is taken over: targets and
//! confirmations are this node's own.

use std::collections::VecDeque;
use std::time::Duration;

use crate::decide::{Old, Plan, Then, policy_fault};
use crate::offset::Generation;
use crate::peer::{PeerCall, PeerEvent, Transfer};
use crate::phase::{Cause, Phase};
use crate::stall::StallKind;
use crate::store::{Found, GenerationState, StoreCall, StoreCallKind};
use crate::topic::{Identity, LogFacts};

use super::Stage;
use super::handlers::{Ease, Handlers, Leave, Next};
use super::waiting::Waiting;
use crate::node::event::{Effect, Notice};
use crate::node::shared::{News, Served, Shared, Wanted};
use crate::node::status::{Progress, Source};

#[derive(Debug)]
pub(in crate::node) struct Fetching {
    /// What was found on the disk, without what was set aside since.
    found: Found,
    identity: Identity,
    generation: Generation,
    cause: Cause,
    /// The log cannot give the whole state: until a peer has, the node refuses and leaves everything as it is.
    refused: bool,
    served: Option<Served>,
    /// When the stage began, on the monotonic clock.
    started: Duration,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// One store call is made after another, before anybody is asked.
    PuttingAside(VecDeque<StoreCall>),
    Asked(Coming),
    /// It is called off: whatever comes of it, everything is opened anew.
    Ending(Coming),
    /// It is here; what the log says now decides about it.
    Fetched(Given),
    Adopting(Given, VecDeque<StoreCall>),
}

#[derive(Debug)]
struct Coming {
    transfer: Option<Transfer>,
    /// Monotonic: when more of it last came.
    progress_at: Duration,
}

#[derive(Clone, Debug)]
struct Given {
    /// The address that gave it.
    peer: String,
    /// The smallest delete.retention.ms that it told.
    delete_retention_ms_min: u64,
    transfer: Option<Transfer>,
}

impl Fetching {
    pub(super) fn new(
        shared: &mut Shared,
        found: Found,
        identity: Identity,
        wanted: Wanted,
    ) -> Fetching {
        let Wanted { generation, cause, refused, old, served } = wanted;
        let calls = if refused {
            VecDeque::new()
        } else {
            // What speaks against it is known to this process only.
            shared.put_away(old.into_iter().filter(is_kept))
        };
        let (started, step) = (shared.now.mono, Step::PuttingAside(calls));
        Fetching { found, identity, generation, cause, refused, served, started, step }
    }

    /// Makes the next store call, or does what follows the last.
    fn next_call(&mut self, shared: &mut Shared) -> Next {
        match &mut self.step {
            // It may stop between two calls, as a crash may.
            Step::PuttingAside(_) | Step::Adopting(..) if shared.cancelled => {
                return Next::Leave(Leave::Reopen);
            }
            Step::PuttingAside(calls) => match calls.pop_front() {
                Some(call) => shared.store(call),
                None => self.ask_peers(shared),
            },
            Step::Adopting(given, calls) => {
                let Some(call) = calls.pop_front() else {
                    let peer = std::mem::take(&mut given.peer);
                    shared.peers.adopted(self.generation, peer, shared.now.mono);
                    return Next::Leave(Leave::Reopen);
                };
                shared.store(call);
            }
            Step::Asked(_) | Step::Ending(_) | Step::Fetched(_) => {}
        }
        Next::Stay
    }

    fn ask_peers(&mut self, shared: &mut Shared) {
        let now = shared.now.mono;
        self.step = Step::Asked(Coming { transfer: None, progress_at: now });
        let call = shared.peers.ask(self.generation, self.identity.clone(), now);
        shared.effects.push_back(Effect::Peer(call));
        if !self.refused {
            shared.refusal = None;
        }
        shared.end_stalls(|kind| {
            matches!(kind, StallKind::StaleLeader | StallKind::StoreFull | StallKind::StoreFailed)
        });
    }

    pub(in crate::node) fn on_peer(&mut self, shared: &mut Shared, event: PeerEvent) -> Next {
        let asked = matches!(self.step, Step::Asked(_));
        let (Step::Asked(coming) | Step::Ending(coming)) = &mut self.step else {
            return Next::Stay;
        };
        match event {
            PeerEvent::Progress(transfer) => {
                *coming = Coming { transfer: Some(transfer), progress_at: shared.now.mono };
                shared.end_stalls(|kind| kind == StallKind::PeerSilent);
                Next::Stay
            }
            PeerEvent::Fetched { generation, peer, delete_retention_ms_min } if asked => {
                assert_eq!(generation, self.generation, "what was asked for is answered");
                let transfer = coming.transfer.take();
                self.step = Step::Fetched(Given { peer, delete_retention_ms_min, transfer });
                shared.peers.answered(shared.now.mono);
                shared.describe.hurry();
                shared.end_stalls(|kind| kind == StallKind::PeerSilent);
                Next::Stay
            }
            PeerEvent::Fetched { .. } => self.stop(shared),
            PeerEvent::Failed { generation, detail } => {
                assert_eq!(generation, self.generation, "what was asked for is answered");
                shared.notice(Notice::PeerFailed { detail });
                self.stop(shared)
            }
        }
    }

    fn stop(&self, shared: &mut Shared) -> Next {
        shared.peers.answered(shared.now.mono);
        shared.end_stalls(|kind| kind == StallKind::PeerSilent);
        if self.refused && matches!(self.step, Step::Asked(_)) {
            Next::to(Stage::Waiting(Waiting {
                found: self.found.clone(),
                identity: self.identity.clone(),
                served: self.served,
            }))
        } else {
            Next::Leave(Leave::Reopen)
        }
    }

    /// Sends `Cancel` while an answer is to come. Returns whether one is.
    fn calls_off(&mut self, shared: &mut Shared) -> bool {
        match &mut self.step {
            Step::Asked(coming) => {
                let Coming { transfer, progress_at } = coming;
                let (transfer, progress_at) = (transfer.take(), *progress_at);
                self.step = Step::Ending(Coming { transfer, progress_at });
                shared.effects.push_back(Effect::Peer(PeerCall::Cancel));
                true
            }
            Step::Ending(_) => true,
            Step::PuttingAside(_) | Step::Fetched(_) | Step::Adopting(..) => false,
        }
    }

    /// What is kept meanwhile, with what was heard. That is written when it is opened anew, or waited with.
    fn kept(&self, shared: &Shared) -> Found {
        let mut found = self.found.clone();
        if let Found::Copy(copy) = &mut found {
            drop(shared.heard.apply_to(copy));
        }
        found
    }

    /// The fetch may have begun hours ago, and the log may have changed since: what is put away is decided anew.
    fn decide(&mut self, shared: &mut Shared, given: Given, facts: &LogFacts) -> Next {
        let found = self.kept(shared);
        let Plan { mut old, then, .. } = shared.decide(&found, facts);
        match then {
            Then::Rebuild { generation, .. } => {
                assert_eq!(generation, self.generation, "the disk is as when it was asked for");
                shared.end_stalls(|kind| kind == StallKind::StaleLeader);
                shared.peers.discard_damaged(&found, &mut old);
                self.adopt(shared, given, old, &found)
            }
            Then::Wait(deposed) => {
                shared.begin_stall(StallKind::StaleLeader, deposed.to_string());
                Next::Stay
            }
            Then::Refuse(_) | Then::Resume { .. } | Then::Continue { .. } => {
                Next::Leave(Leave::Reopen)
            }
        }
    }

    /// Nothing is deleted before the new generation is there.
    fn adopt(
        &mut self,
        shared: &mut Shared,
        given: Given,
        old: Vec<(Generation, Old)>,
        replaced: &Found,
    ) -> Next {
        let heard = shared.peers.heard_for(replaced);
        let (kept, rest): (Vec<_>, Vec<_>) = old.into_iter().partition(is_kept);
        let mut calls = shared.put_away(kept);
        let discarded = shared.put_away(rest);
        let (generation, identity) = (self.generation, self.identity.clone());
        let delete_retention_ms_min = heard.min(given.delete_retention_ms_min);
        calls.push_back(StoreCall::Adopt { generation, identity, delete_retention_ms_min });
        calls.extend(discarded);
        self.step = Step::Adopting(given, calls);
        self.next_call(shared)
    }

    fn name_silence(&self, shared: &mut Shared) {
        let Some(coming) = self.coming() else { return };
        if coming.progress_at + shared.limits.stall_after <= shared.now.mono {
            let since = shared.now.mono - coming.progress_at;
            let detail = match &coming.transfer {
                Some(Transfer { peer, bytes, bytes_total }) => {
                    format!("{bytes} of {bytes_total} bytes from {peer}, none for {since:?}")
                }
                None => format!("no peer gives anything for {since:?}"),
            };
            shared.begin_stall(StallKind::PeerSilent, detail);
        }
    }

    /// The log is asked only while the disk has nothing to answer.
    fn asks_log(&self) -> bool {
        match self.step {
            Step::Asked(_) | Step::Ending(_) | Step::Fetched(_) => true,
            Step::PuttingAside(_) | Step::Adopting(..) => false,
        }
    }

    fn coming(&self) -> Option<&Coming> {
        match &self.step {
            Step::Asked(coming) => Some(coming),
            Step::PuttingAside(_) | Step::Ending(_) | Step::Fetched(_) | Step::Adopting(..) => None,
        }
    }

    fn transfer(&self) -> Option<&Transfer> {
        match &self.step {
            Step::PuttingAside(_) => None,
            Step::Asked(coming) | Step::Ending(coming) => coming.transfer.as_ref(),
            Step::Fetched(given) | Step::Adopting(given, _) => given.transfer.as_ref(),
        }
    }
}

impl Handlers for Fetching {
    fn phase(&self) -> Phase {
        match self.step {
            Step::PuttingAside(_) => Phase::Opening,
            Step::Asked(_) | Step::Ending(_) | Step::Fetched(_) | Step::Adopting(..) => {
                Phase::Restoring(self.cause)
            }
        }
    }

    fn served(&self) -> Option<Served> {
        self.served
    }

    fn progress(&self) -> Option<Progress> {
        Some(Progress {
            cause: self.cause,
            started: self.started,
            records: 0,
            bytes: 0,
            source: Source::Peer(self.transfer().cloned()),
        })
    }

    fn timer(&self, shared: &Shared) -> Option<Duration> {
        let asks = shared.describe.timer().filter(|_| self.asks_log());
        let named = shared.stalls.has(StallKind::PeerSilent);
        let silent = self.coming().filter(|_| !named);
        let silent = silent.map(|coming| coming.progress_at + shared.limits.stall_after);
        [asks, silent].into_iter().flatten().min()
    }

    fn begin(&mut self, shared: &mut Shared) -> Next {
        self.next_call(shared)
    }

    fn advance(&mut self, shared: &mut Shared) -> Next {
        if self.asks_log() {
            shared.describe();
        }
        self.name_silence(shared);
        Next::Stay
    }

    fn ease(&mut self, shared: &mut Shared) -> Ease {
        let called_off = !shared.drain_is_due() && self.calls_off(shared);
        if called_off || !self.asks_log() { Ease::Busy } else { Ease::Idle }
    }

    /// Holds the topic as it is now against what is fetched; once that is here, it decides.
    fn on_facts(&mut self, shared: &mut Shared, news: &News) -> Next {
        let safe = policy_fault(&news.facts.policy, &shared.limits).is_none();
        let fits = safe && news.facts.identity(&shared.store) == self.identity;
        match &self.step {
            Step::Asked(_) if !fits => {
                self.calls_off(shared);
                Next::Stay
            }
            Step::Fetched(_) if !fits => Next::Leave(Leave::Reopen),
            Step::Fetched(given) if !news.superseded => {
                let given = given.clone();
                self.decide(shared, given, &news.facts)
            }
            Step::PuttingAside(_)
            | Step::Asked(_)
            | Step::Ending(_)
            | Step::Fetched(_)
            | Step::Adopting(..) => Next::Stay,
        }
    }

    fn on_done(
        &mut self,
        shared: &mut Shared,
        call: StoreCallKind,
        generation: Generation,
    ) -> Next {
        if let (StoreCallKind::Quarantine, Found::Copy(copy)) = (call, &mut self.found) {
            copy.forget(generation);
        }
        self.next_call(shared)
    }

    /// A read met damage in what is served meanwhile.
    fn on_damaged(&mut self, damaged: Generation, detail: &str) -> Next {
        self.served.take_if(|served| served.generation == damaged);
        if let Found::Copy(copy) = &mut self.found {
            for found in [&mut copy.current, &mut copy.building].into_iter().flatten() {
                if found.generation == damaged {
                    found.state = GenerationState::Corrupt(detail.to_owned());
                }
            }
        }
        Next::Stay
    }

    /// The fetch is called off; what came of it stays on disk.
    fn on_cancel(&mut self, shared: &mut Shared) -> Next {
        self.calls_off(shared);
        Next::Stay
    }
}

fn is_kept((_, old): &(Generation, Old)) -> bool {
    match old {
        Old::Quarantine(_) => true,
        Old::ServeStale | Old::Discard => false,
    }
}
