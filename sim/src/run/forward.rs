//! Reads that a node's own copy does not admit yet, forwarded to its peers as core's `forward` says.
//!
//! A peer answers as it answers its own callers, and is judged by the same oracles. One that sleeps says nothing;
//! whoever waits for it gives it up in time.

use std::collections::BTreeSet;
use std::time::Duration;

use outrigger_core::forward::{Attempt, Forward, Peers, may_be_forwarded};
use outrigger_core::gate::Rejection;
use outrigger_core::node::Event;
use outrigger_core::offset::RequestId;
use outrigger_core::phase::Phase;
use outrigger_core::read::ReadPath;

use super::clients::Pending;
use super::reads::PendingRead;
use super::{Due, Run};
use crate::oracle::{Least, OracleId, Wrong};
use crate::trace::Lane;

/// A read on its way through the peers of the node that was asked.
#[derive(Debug)]
pub(super) struct Forwarded {
    /// The node that the caller has asked.
    pub(super) by: usize,
    /// What its own copy says.
    own: Rejection,
    way: Forward,
    /// The peers that were READY when it began, with the number of their starts.
    ready: BTreeSet<(usize, u32)>,
    asked: Vec<usize>,
    /// When the one that is asked is given up. Monotonic.
    until: Duration,
}

/// The peer that `node` knows by this number.
fn peer(node: usize, number: usize) -> usize {
    if number < node { number } else { number + 1 }
}

/// The number by which `node` knows this peer.
fn number(node: usize, peer: usize) -> usize {
    if peer < node { peer } else { peer - 1 }
}

impl Run<'_> {
    /// Takes the read where it may be answered. Returns it, with what its caller is told, if that is nowhere.
    pub(super) fn elsewhere(
        &mut self,
        mut read: PendingRead,
        rejection: Rejection,
    ) -> Option<(PendingRead, Rejection)> {
        if read.is_forwarded() {
            return self.turned_away(read, rejection);
        }
        let forwards = self.plan.setting.peers.as_ref().is_some_and(|peers| peers.forward_reads);
        let known = self.world.node(read.node).gate().topic.is_some();
        if !forwards || !known || !may_be_forwarded(&read.path.demand().level, &rejection) {
            return Some((read, rejection));
        }
        let now = self.world.now.mono;
        let others = (0..self.world.count()).filter(|node| *node != read.node);
        let ready = others.filter(|node| self.would_answer(*node));
        let ready = ready.map(|node| (node, self.world.starts(node))).collect();
        read.forwarded = Some(Box::new(Forwarded {
            by: read.node,
            own: rejection,
            way: Forward::new(&read.path.demand().level, read.wait, None, now),
            ready,
            asked: Vec::new(),
            until: now,
        }));
        self.ask_next(read)
    }

    /// A peer has answered with a rejection.
    fn turned_away(
        &mut self,
        read: PendingRead,
        rejection: Rejection,
    ) -> Option<(PendingRead, Rejection)> {
        match rejection {
            // It is READY, and knows the log better than a node that is not.
            Rejection::TokenOfAnotherTopic { .. }
            | Rejection::TokenOfAnotherHistory
            | Rejection::TokenBeyondLog { .. }
            | Rejection::TokenMalformed { .. } => {
                self.answered(&read);
                Some((read, rejection))
            }
            // Its copy does not do for this read; that says nothing of the next one.
            Rejection::TooStale { .. }
            | Rejection::Overloaded
            | Rejection::Deadline { .. }
            | Rejection::Leaderless { .. } => self.ask_next(read),
            Rejection::NotReady(_)
            | Rejection::Refused(_)
            | Rejection::Draining
            | Rejection::Passed { .. }
            | Rejection::NoRestore(_)
            | Rejection::NotCancelled(_) => {
                self.note_failed(&read);
                self.ask_next(read)
            }
        }
    }

    /// The peer is gone, or silent, or its disk fails.
    pub(super) fn not_answered(&mut self, read: PendingRead) {
        self.note_failed(&read);
        if let Some((read, rejection)) = self.ask_next(read) {
            self.refuse(&read, &rejection);
        }
    }

    /// Asks the next peer. Returns the read, with what the node itself said, when nobody is left.
    fn ask_next(&mut self, mut read: PendingRead) -> Option<(PendingRead, Rejection)> {
        let now = self.world.now.mono;
        let forwarded = read.forwarded.as_mut().expect("it is forwarded");
        let (by, others) = (forwarded.by, self.world.count() - 1);
        let peers = self.peers.entry(by).or_insert_with(|| Peers::new(others));
        let Some(Attempt { peer: next, within }) = peers.next(&mut forwarded.way, now) else {
            self.nobody_is_left(&read);
            let own = read.forwarded.take().expect("it is forwarded").own;
            read.node = by;
            return Some((read, own));
        };
        let next = peer(by, next);
        if forwarded.asked.contains(&next) {
            let what = format!("node {next} was asked twice for one read");
            self.violate(OracleId::O15, Wrong::of(by, what));
        }
        forwarded.asked.push(next);
        forwarded.until = now + within;
        self.world.marks.hit("read: forwarded");
        self.world.note(read.line, Lane::Node(by), "forward", || format!("to node {next}"));
        read.node = next;
        let demand = read.path.demand().clone();
        read.path = ReadPath::new(demand, now + within.min(read.wait));
        read.least = Least::default();
        if !self.world.is_running(next) || !self.is_of_one_topic(by, next) {
            self.not_answered(read);
        } else if self.world.is_paused(next) {
            self.hear_nothing(read);
        } else {
            self.go_on(read);
        }
        None
    }

    /// Whether a peer's copy is of the topic that the node asks for; what it does not know yet it refuses itself.
    fn is_of_one_topic(&self, node: usize, peer: usize) -> bool {
        let (own, its) = (self.world.node(node).gate().topic, self.world.node(peer).gate().topic);
        its.is_none_or(|its| own == Some(its))
    }

    fn hear_nothing(&mut self, read: PendingRead) {
        self.world.marks.hit("read: a peer is silent");
        let (node, id) = (read.node, self.world.take_id());
        self.bound(&read, id);
        self.pending.insert((node, id), Pending::Silent(read));
    }

    /// Sees to it that a peer is not waited for beyond its time.
    pub(super) fn bound(&mut self, read: &PendingRead, id: RequestId) {
        if let Some(forwarded) = &read.forwarded {
            self.agenda.insert((forwarded.until, Due::GiveUp(read.node, id)));
        }
    }

    pub(super) fn give_up(&mut self, node: usize, id: RequestId) {
        match self.pending.remove(&(node, id)) {
            Some(Pending::Read(read)) => {
                if self.world.is_running(node) {
                    self.world.event(node, Event::Gone(id));
                }
                self.not_answered(read);
            }
            Some(Pending::Opening(read, _) | Pending::Silent(read)) => self.not_answered(read),
            Some(other @ (Pending::Write { .. } | Pending::Pin | Pending::Watch(_))) => {
                unreachable!("nobody bounds {other:?}")
            }
            None => {}
        }
    }

    /// Nobody sleeps any more: whoever waited for one that did asks elsewhere.
    pub(super) fn hears_again(&mut self, node: usize, id: RequestId) {
        if let Some(Pending::Silent(_)) = self.pending.get(&(node, id)) {
            self.give_up(node, id);
        }
    }

    /// The peer has answered, if one was asked.
    pub(super) fn answered(&mut self, read: &PendingRead) {
        if let Some(forwarded) = &read.forwarded
            && let Some(peers) = self.peers.get_mut(&forwarded.by)
        {
            peers.answered(number(forwarded.by, read.node));
        }
    }

    fn note_failed(&mut self, read: &PendingRead) {
        let forwarded = read.forwarded.as_ref().expect("it is forwarded");
        let now = self.world.now.mono;
        if let Some(peers) = self.peers.get_mut(&forwarded.by) {
            peers.failed(number(forwarded.by, read.node), now);
        }
    }

    /// O12: a read is not refused while a peer that could answer it was not even asked.
    fn nobody_is_left(&mut self, read: &PendingRead) {
        let forwarded = read.forwarded.as_ref().expect("it is forwarded");
        let still = |(node, starts): &&(usize, u32)| {
            self.would_answer(*node) && self.world.starts(*node) == *starts
        };
        let mut ready = forwarded.ready.iter().filter(still).map(|(node, _)| *node);
        let left_out = ready.find(|node| !forwarded.asked.contains(node));
        if let Some(node) = left_out {
            let what = format!("a read is refused, and node {node}, which is READY, was not asked");
            self.violate(OracleId::O12, Wrong::of(forwarded.by, what));
        }
    }

    fn would_answer(&self, node: usize) -> bool {
        self.world.is_running(node)
            && !self.world.is_paused(node)
            && self.world.node(node).gate().phase == Phase::Ready
    }
}
