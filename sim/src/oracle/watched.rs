//! What a caller that watches asks and is sent: what the oracles of watches judge.

use outrigger_core::watch::message::Message;
use outrigger_core::watch::point::Point;
use outrigger_core::watch::watcher::End;

use crate::plan::{Watch, selects};
use crate::reference::Rows;

#[derive(Debug)]
pub struct Watched<'a> {
    /// The number of the plan's watch.
    pub number: usize,
    pub watch: &'a Watch,
    pub saw: &'a Saw<'a>,
}

#[derive(Debug)]
pub enum Saw<'a> {
    /// It connects, and asks for what comes behind the point; none: for the state, or for what comes from now on. `lives_ms`:
    /// the smallest delete.retention.ms that was in force since the point, as the plan has it.
    Asked {
        point: Option<&'a Point>,
        lives_ms: u64,
    },
    /// Some rows of a state.
    Rows(&'a Rows),
    Message(&'a Message),
    Ended(&'a End),
    /// There is nothing for it now.
    Idle,
}

impl Watched<'_> {
    pub(super) fn selects(&self, key: &[u8]) -> bool {
        selects(&self.watch.keys, key)
    }
}

/// The point that goes with a message.
pub(crate) fn point_of(message: &Message) -> Option<&Point> {
    match message {
        Message::Started { point, .. } => point.as_ref(),
        Message::Changes(changes) => changes.point.as_ref(),
        Message::StateEnd { point } | Message::Progress { point } => Some(point),
        Message::Again { .. } => None,
    }
}
