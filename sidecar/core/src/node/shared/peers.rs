//! What a process knows of its peers: whether they may be asked, which gave damaged copies, and what retention
//! counts for a copy that came from one.

use std::time::Duration;

use crate::decide::Old;
use crate::limits::Limits;
use crate::offset::Generation;
use crate::peer::PeerCall;
use crate::phase::Cause;
use crate::store::{Found, FoundGeneration, Why};
use crate::topic::{Identity, LogFacts};

use super::{Served, Shared};

/// After this many damaged copies that were in use already, and are kept for that, only a restart asks again: each
/// takes the disk's room.
const DAMAGED_IN_USE_MAX: u32 = 3;

#[derive(Debug, Default)]
pub(in crate::node) struct Peers {
    pub(in crate::node) configured: bool,
    /// Monotonic: when one was asked last, or had answered, since the node was READY.
    asked: Option<Duration>,
    adopted: Option<Adopted>,
    /// Addresses that gave damaged copies, each once, in the order in which they last did.
    suspects: Vec<String>,
    /// How many copies from peers were damaged, and how many of them were in use already.
    damaged: u32,
    damaged_in_use: u32,
    /// How many in a row, since the node was READY, were too old when they came.
    outdated: u32,
    /// Smallest delete.retention.ms that this process heard of for the topic.
    retention_ms_min: Option<u64>,
}

/// The last generation that came from a peer.
#[derive(Debug)]
struct Adopted {
    generation: Generation,
    /// When it was adopted, on the monotonic clock.
    at: Duration,
    peer: String,
    /// It was damaged, or too old to be put into use, and that is counted.
    wasted: bool,
}

/// What a peer is asked for.
pub(in crate::node) struct Wanted {
    pub(in crate::node) generation: Generation,
    pub(in crate::node) cause: Cause,
    pub(in crate::node) refused: bool,
    pub(in crate::node) old: Vec<(Generation, Old)>,
    pub(in crate::node) served: Option<Served>,
}

impl Shared {
    pub(in crate::node) fn may_ask_peers(
        &self,
        found: &Found,
        wanted: &Wanted,
        facts: &LogFacts,
    ) -> bool {
        let (now, limits) = (self.now.mono, &self.limits);
        let due = self.peers.due(wanted, facts, now, limits);
        due && self.peers.bearable(found, wanted, now, limits) && self.drain.is_none()
    }
}

impl Peers {
    /// Peers are asked once between two READYs: what one gives may be damaged or too old, and then only the log helps. Where
    /// the log cannot help either, they are asked again and again.
    fn due(&self, wanted: &Wanted, facts: &LogFacts, now: Duration, limits: &Limits) -> bool {
        let due = match (self.asked, wanted.refused) {
            (None, true) => true,
            (None, false) => facts.offsets() >= limits.peer_offsets_min,
            (Some(asked), true) => now >= asked + limits.peer_retry,
            (Some(_), false) => false,
        };
        self.configured && due
    }

    /// Whether the last copy from a peer leaves hope for another.
    fn bearable(&self, found: &Found, wanted: &Wanted, now: Duration, limits: &Limits) -> bool {
        let Some((adopted, old)) = self.adopted_among(&wanted.old) else { return true };
        let rested = |times: u32| now >= adopted.at + limits.peer_retry * (1 << times);
        match (old, wanted.refused) {
            (Old::Quarantine(Why::Damaged(_)), true) => {
                self.damaged_in_use <= DAMAGED_IN_USE_MAX && rested(self.damaged.min(4))
            }
            (Old::Quarantine(Why::Damaged(_)), false) => false,
            // The next copy would be no better, and be kept beside this one, unless this one was put into use.
            (Old::Quarantine(Why::Lost(_) | Why::Superseded), _) => {
                is_in_use(found, adopted.generation)
            }
            // Its giver, or the clock of one of the two, has to change first: a copy may take hours.
            (Old::Discard, true) => rested(self.outdated.min(8)),
            (Old::Discard, false) | (Old::ServeStale, _) => true,
        }
    }

    /// The node was READY: peers may be asked again.
    pub(in crate::node) fn forget_asking(&mut self) {
        self.asked = None;
        self.outdated = 0;
    }

    pub(in crate::node) fn ask(
        &mut self,
        generation: Generation,
        identity: Identity,
        now: Duration,
    ) -> PeerCall {
        self.asked = Some(now);
        PeerCall::Fetch { generation, identity, suspects: self.suspects.clone() }
    }

    pub(in crate::node) fn answered(&mut self, now: Duration) {
        self.asked = Some(now);
    }

    pub(in crate::node) fn adopted(&mut self, generation: Generation, peer: String, at: Duration) {
        self.adopted = Some(Adopted { generation, at, peer, wasted: false });
    }

    /// Smallest delete.retention.ms that counts for a copy which replaces these: it may have been lowered and raised again
    /// since a peer took its checkpoint, and the peer may have known nothing of it then.
    pub(in crate::node) fn heard_for(&self, replaced: &Found) -> u64 {
        let replaced = match replaced {
            Found::Copy(copy) => [&copy.current, &copy.building].map(Option::as_ref),
            Found::Nothing | Found::Foreign { .. } => [None, None],
        };
        let lineages = replaced.into_iter().flatten().filter_map(FoundGeneration::lineages);
        let seen = lineages.flatten().map(|lineage| lineage.delete_retention_ms_min);
        seen.chain(self.retention_ms_min).min().unwrap_or(u64::MAX)
    }

    fn adopted_among<'a>(&self, old: &'a [(Generation, Old)]) -> Option<(&Adopted, &'a Old)> {
        let adopted = self.adopted.as_ref()?;
        let (_, old) = old.iter().find(|(generation, _)| *generation == adopted.generation)?;
        Some((adopted, old))
    }

    /// Whoever gave a copy that is damaged, or too old to be put into use, is asked last from now on.
    pub(in crate::node) fn note_waste(&mut self, found: &Found, old: &[(Generation, Old)]) {
        let Some((_, old)) = self.adopted_among(old) else { return };
        let damaged = match old {
            Old::Quarantine(Why::Damaged(_)) => true,
            Old::Discard => false,
            Old::Quarantine(Why::Lost(_) | Why::Superseded) | Old::ServeStale => return,
        };
        let Some(adopted) = self.adopted.as_mut().filter(|adopted| !adopted.wasted) else {
            return;
        };
        adopted.wasted = true;
        if damaged {
            self.damaged += 1;
            self.damaged_in_use += u32::from(is_in_use(found, adopted.generation));
        } else {
            self.outdated = self.outdated.saturating_add(1);
        }
        self.suspects.retain(|suspect| *suspect != adopted.peer);
        self.suspects.push(adopted.peer.clone());
    }

    /// A damaged copy from a peer is not kept when the next one is here, if it was never in use: the peer has it too.
    pub(in crate::node) fn discard_damaged(&self, found: &Found, old: &mut [(Generation, Old)]) {
        let adopted = self.adopted.as_ref().map(|adopted| adopted.generation);
        for (generation, old) in old {
            let damaged = matches!(old, Old::Quarantine(Why::Damaged(_)));
            if damaged && adopted == Some(*generation) && !is_in_use(found, *generation) {
                *old = Old::Discard;
            }
        }
    }

    /// `before`: what was heard of the topic's predecessor says nothing.
    pub(in crate::node) fn hear_retention(&mut self, topic: &LogFacts, before: Option<&LogFacts>) {
        let same = before.is_none_or(|before| before.topic == topic.topic);
        let heard = self.retention_ms_min.filter(|_| same);
        let now = topic.policy.delete_retention_ms;
        self.retention_ms_min = Some(heard.map_or(now, |heard| heard.min(now)));
    }

    /// What was heard until a peer's copy is opened counts for it, as what was heard before it was adopted.
    pub(in crate::node) fn heard_of_adopted(&self) -> Option<(Generation, u64)> {
        Some((self.adopted.as_ref()?.generation, self.retention_ms_min?))
    }
}

fn is_in_use(found: &Found, generation: Generation) -> bool {
    found.in_use().is_some_and(|found| found.generation == generation)
}
