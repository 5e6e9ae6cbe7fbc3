//! Watches: who follows a store's changes is sent what its copy applies, in order, and points to go on from anywhere.
//!
//! A watcher is a copy: what makes a copy safe to read on (topic, position, leader epoch, confirmation) makes a watch safe to
//! resume. So it is judged by these alone, whoever gave them: a point that comes back after a week, one from another node, and
//! the place of a watch whose node has just opened its copy anew.
//!
//! ```text
//! node -- RingNews --> Ring (a lock of the shell's) <-- next -- Watcher --> messages of one call
//! log  <-- LogReader, with a client of its own <-- what is behind the ring --^
//! ```
//! The driver tells the ring what the node wants it told, in order, after it has published the gate. A handler asks its
//! [`watcher::Watcher`] for the next step with the ring locked and the gate loaded under that lock, so that the gate is never
//! older than the ring. Nobody is waited for: a watch is a place in the ring, and at most one message on its way.

mod behind;
pub mod cursor;
mod judge;
pub mod message;
mod place;
pub mod point;
pub mod reader;
pub mod ring;
pub mod selection;
pub mod sight;
#[cfg(test)]
mod tests;
pub mod watcher;
