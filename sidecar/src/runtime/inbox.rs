//! What the core thread takes in.
//!
//! It is bounded by construction: a command holds a permit until its answer, a `Gone` and a `Withdraw` follow a command
//! at most once, damage is reported once until it was taken out, an operator sets one rate at a time, a fetch tells its
//! progress a few times a second, a log asks for its turn when there is something where nothing was, and everything
//! else answers a call that a node made. So the channel itself needs no bound, and neither commands nor answers block
//! the other.

use std::num::NonZeroU64;

use outrigger_core::log::LogEvent;
use outrigger_core::node::{Command, Reply};
use outrigger_core::offset::{Generation, RequestId};
use outrigger_core::peer::PeerEvent;
use outrigger_core::store::StoreEvent;
use tokio::sync::oneshot;

use super::admission::Permit;
use crate::index::StoreIndex;
use crate::telemetry::trace;

pub(super) enum Input {
    Command {
        store: StoreIndex,
        id: RequestId,
        command: Command,
        waiter: Waiter,
    },
    Gone(StoreIndex, RequestId),
    /// The caller still waits for the answer, but not for long.
    Withdraw(StoreIndex, RequestId),
    Damaged {
        store: StoreIndex,
        generation: Generation,
        detail: String,
    },
    Log(StoreIndex, LogEvent),
    /// The log asks for its turn.
    LogTurn,
    Store(StoreIndex, StoreEvent),
    /// Bytes per second that the restores of all stores together may read from now on; none: as fast as they
    /// can. Answered when it holds.
    RestoreRate(Option<NonZeroU64>, oneshot::Sender<()>),
    Peer(StoreIndex, PeerEvent),
    /// Ends the core thread where it stands.
    Stop,
}

/// Whoever asked, with what admitted the question.
pub(super) struct Waiter {
    pub(super) answer: oneshot::Sender<Reply>,
    /// The question's permit. `None`: it is a drain, of which there is one.
    pub(super) permit: Option<Permit>,
    /// What a write is in the trace of its call.
    pub(super) append: trace::Append,
}

impl Waiter {
    /// Somebody who asks for nothing to be written.
    pub(super) fn of(answer: oneshot::Sender<Reply>, permit: Option<Permit>) -> Waiter {
        Waiter { answer, permit, append: trace::Append::default() }
    }
}
