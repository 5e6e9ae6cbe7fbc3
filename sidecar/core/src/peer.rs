//! The seam to peers: other nodes of the store, from one of which a copy may be fetched instead of read from the log.
//!
//! Nothing that a peer says is believed: what was fetched is a generation like any that a crash leaves, and is
//! judged by `decide` before anything is read into it. At most one `Fetch` is outstanding, and each is answered by
//! exactly one `Fetched` or `Failed`, within a bounded time: every wait inside of it has an end.

use crate::offset::Generation;
use crate::topic::Identity;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerCall {
    /// Brings a checkpoint of a READY peer's generation in use to where `StoreCall::Adopt` of `generation` finds it,
    /// whole, with the identity that the peer has it under. A checkpoint is what is flushed: never more, for the
    /// rest was not confirmed to be of this topic. One that was made earlier is given only while its generation is in
    /// use: what a peer knows of the topic's retention it knows for that one. What an earlier call left is continued
    /// when it is of the same checkpoint, else removed; where no peer gives anything, it is taken if it is whole.
    /// `suspects` gave damaged copies, the last one last: they are asked after all others, in that order.
    Fetch { generation: Generation, identity: Identity, suspects: Vec<String> },
    /// Ends the outstanding `Fetch` soon; it is still answered. What has come by then stays.
    Cancel,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// It answers no call: it tells how far the outstanding `Fetch` is. That may be less than before, where another
    /// checkpoint is given.
    Progress(Transfer),
    Fetched {
        generation: Generation,
        /// The address of the peer that gave it.
        peer: String,
        /// Smallest delete.retention.ms that the giver's copy, of which this is a checkpoint, had seen when the giver
        /// was asked.
        delete_retention_ms_min: u64,
    },
    /// No peer is READY, or none could be asked, or it went away, or what it gave is damaged.
    Failed { generation: Generation, detail: String },
}

/// A copy on its way from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The peer's address.
    pub peer: String,
    /// Bytes of the files that are here; `bytes_total`: of all.
    pub bytes: u64,
    pub bytes_total: u64,
}
