//! The machine that keeps one node's copy of one store, deterministic: events in, effects out.
//!
//! The driver's contract:
//! 1. Make a [`node::Node`]; it asks for its first calls at once.
//! 2. Feed it [`node::Event`]s in the order in which each target (log, store, peer) produced them, with the
//!    time of their arrival, and an [`node::Event::Timer`] at [`node::Node::next_timer`] at the latest.
//! 3. After each event drain [`node::Node::poll`]: carry the calls out in order per target, deliver the
//!    replies, publish the gate. A crash may fall between any two polls.
//! 4. Serve reads by [`read::ReadPath`]: the gate, and a [`store::View`]. They enter the node only to wait.
//!
//! Nothing here does input or output, waits, asks for the time or draws a random number.

#![forbid(unsafe_code)]

pub mod batch;
mod clock;
pub mod conformance;
pub mod dates;
pub mod decide;
pub mod deposed;
pub mod digest;
#[cfg(test)]
mod fixtures;
pub mod forward;
pub mod gate;
pub mod horizon;
pub mod keys;
pub mod limits;
pub mod lineage;
pub mod load;
pub mod log;
pub mod lost;
pub mod node;
pub mod offset;
pub mod partitioner;
pub mod peer;
pub mod phase;
pub mod read;
pub mod stall;
pub mod store;
pub mod time;
pub mod token;
pub mod topic;
pub mod watch;
