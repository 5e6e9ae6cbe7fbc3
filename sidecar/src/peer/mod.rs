//! A copy from another node instead of from the log, as it is taken. `giver` gives one.
//!
//! ```text
//! READY node:  Giver -> checkpoint (hard links) -> gRPC stream -> Taker -> <store>/fetching-g<N>/ : empty node
//! ```
//! Only files travel. What is taken decides nothing: it becomes a generation when core adopts it, and is judged as one
//! that this node's own disk had. Everything a peer says is checked before it is used, every wait has an end, and any
//! failure is an answer with which core reads the log instead.

mod address;
mod aim;
mod call;
mod digests;
#[cfg(test)]
mod hostile_tests;
mod incoming;
mod manifest;
mod roll;
mod secret;
mod syncer;
mod taker;
#[cfg(test)]
mod tests;
mod transfer;

use std::num::NonZeroU64;
use std::time::Duration;

use outrigger_client::Tls;

pub use address::{AddressError, PeerAddress};
pub(crate) use address::{Place, places};
pub(crate) use aim::{Aim, Foremost};
pub(crate) use call::last_cause;
pub use digests::Digests;
pub(crate) use digests::{NoDigest, Willing};
pub(crate) use manifest::told;
pub use roll::RollCall;
pub(crate) use roll::process;
pub use secret::{Secret, SecretError};
pub use taker::{Report, TakeError, Taken, Taker, Wanted};

/// Takers that a node gives to at once, of all its stores: each reads the disk and fills a connection.
pub(crate) const TAKERS_MAX: usize = 8;

/// The lowest rate that a node may be told to give at, in bytes a second: at a lower one, takers that share it would
/// wait longer for a chunk than they do.
pub const RATE_MIN: u64 = 1 << 20;

/// What a node has to do with its peers: by default nothing.
#[derive(Clone, Debug, Default)]
pub struct PeerConfig {
    /// Peers that are asked for a copy, in this order. A node may be its own peer: it is never READY when it asks.
    pub addresses: Vec<PeerAddress>,
    /// What all nodes of a store know.
    pub secret: Option<Secret>,
    /// Which certificates peers have, and the one that this node shows them. Without it and without a secret nothing is
    /// given and nobody is asked.
    pub tls: Option<Tls>,
    /// Whether peers are asked for what this node's copy cannot answer yet.
    pub forward_reads: bool,
    /// How often each copy is compared with a peer's; none: never.
    pub verify_every: Option<Duration>,
    /// Bytes a second that this node gives, to all takers together; [`RATE_MIN`] at least. None: as fast as it can.
    pub rate: Option<NonZeroU64>,
}

impl PeerConfig {
    /// Whether a peer can be told from anybody else.
    pub fn knows_peers(&self) -> bool {
        self.secret.is_some() || self.tls.is_some()
    }

    /// Whether somebody is asked for a copy where that helps.
    pub fn asks(&self) -> bool {
        self.knows_peers() && !self.addresses.is_empty()
    }
}
