//! Reads that a node cannot answer before its own copy is READY, and that a peer answers from its copy: which may
//! be forwarded, to whom in which order, and for how long one peer is waited for.
//!
//! A peer answers from its own copy or not at all: it never forwards what was forwarded to it, so that two nodes
//! which both restore cannot wait for each other.

use std::time::Duration;

use crate::gate::{ReadLevel, Rejection};
use crate::phase::{Phase, Refusal};

/// How long a peer may take to answer from the copy that it has. After that it is thought to hang.
pub const ANSWER_MAX: Duration = Duration::from_secs(1);

/// How long all peers together may take, where no copy has to be waited for.
const ALL_MAX: Duration = Duration::from_secs(5);

/// Whether a peer may answer what this node has turned away.
///
/// STALE asks for whatever copy this node has. What a person has to decide is not covered up; but where the log lost its
/// beginning, the copy of a peer is what the node itself waits for.
pub fn may_be_forwarded(level: &ReadLevel, rejection: &Rejection) -> bool {
    let of_the_own_copy = match rejection {
        Rejection::NotReady(phase) => match phase {
            Phase::Opening | Phase::Restoring(_) | Phase::CatchingUp => true,
            Phase::Ready | Phase::Refused(_) | Phase::Stopped => false,
        },
        Rejection::Refused(refusal) => matches!(refusal, Refusal::LogIncomplete { .. }),
        Rejection::Draining
        | Rejection::TooStale { .. }
        | Rejection::TokenOfAnotherTopic { .. }
        | Rejection::TokenMalformed { .. }
        | Rejection::TokenOfAnotherHistory
        | Rejection::TokenBeyondLog { .. }
        | Rejection::Passed { .. }
        | Rejection::NoRestore(_)
        | Rejection::NotCancelled(_)
        | Rejection::Overloaded
        | Rejection::Deadline { .. }
        | Rejection::Leaderless { .. } => false,
    };
    of_the_own_copy && *level != ReadLevel::Stale
}

/// What is known of the peers, from the reads that they were asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers {
    /// When each last failed to answer; none: it has answered since, or was never asked. Monotonic.
    failed: Vec<Option<Duration>>,
    /// The one that answered last: a caller whose reads one peer answers is not moved without need.
    last: usize,
}

/// One read on its way through the peers: each is asked once at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    asked: Vec<usize>,
    /// Monotonic; no peer is waited for longer.
    until: Duration,
    /// Whether the peer's copy may have to be waited for, or only its answer.
    waits: bool,
}

/// A peer is to be asked, and to be given up after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub peer: usize,
    pub within: Duration,
}

impl Peers {
    /// Peers are numbered `0..count`, in the order in which they are preferred.
    pub fn new(count: usize) -> Peers {
        Peers { failed: vec![None; count], last: 0 }
    }

    /// Whom to ask next; none: nobody is left, or no time. Whoever answers is asked before those that have failed, and
    /// of these the one that failed longest ago comes first.
    pub fn next(&self, forward: &mut Forward, now: Duration) -> Option<Attempt> {
        let left = forward.until.checked_sub(now).filter(|left| !left.is_zero())?;
        let candidates = || (0..self.failed.len()).filter(|one| !forward.asked.contains(one));
        let order = |one: &usize| (self.failed[*one], *one != self.last, *one);
        let peer = candidates().min_by_key(order)?;
        // One that hangs leaves time for the others; the last one has all that is left.
        let peers = u32::try_from(candidates().count()).expect("a node has few peers");
        let share = left / peers;
        let within = if forward.waits || peers == 1 { share } else { share.min(ANSWER_MAX) };
        forward.asked.push(peer);
        Some(Attempt { peer, within })
    }

    /// It has answered from its copy, or said what is wrong with the read itself.
    pub fn answered(&mut self, peer: usize) {
        self.failed[peer] = None;
        self.last = peer;
    }

    /// It is not there, has no READY copy, or hangs. That a READY one cannot answer this read is no such failure.
    pub fn failed(&mut self, peer: usize, now: Duration) {
        self.failed[peer] = Some(now);
    }
}

impl Forward {
    /// A read that may wait this long for the copy, and is given up at `deadline`, if it has one. All times are monotonic
    /// but `wait`.
    pub fn new(
        level: &ReadLevel,
        wait: Duration,
        deadline: Option<Duration>,
        now: Duration,
    ) -> Forward {
        let (waits, most) = match level {
            ReadLevel::AtLeast(_) | ReadLevel::Latest => (true, wait + ANSWER_MAX),
            ReadLevel::Stale | ReadLevel::Local => (false, ALL_MAX),
        };
        let until = deadline.map_or(now + most, |deadline| deadline.min(now + most));
        Forward { asked: Vec::new(), until, waits }
    }
}

#[cfg(test)]
mod tests;
