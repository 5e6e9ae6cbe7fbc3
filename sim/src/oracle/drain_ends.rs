//! O12: a drain ends: with every write answered, or when its time is up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outrigger_core::node::{Command, Effect, Event, Reply};
use outrigger_core::offset::RequestId;

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Drains {
    nodes: BTreeMap<usize, Node>,
}

#[derive(Default)]
struct Node {
    /// Writes that it took and has not answered.
    writes: BTreeSet<RequestId>,
    /// Simulated time by which a running drain gives up waiting.
    until: Option<Duration>,
    /// Events handled since that time: what the first of them leads to was due before it.
    late: u32,
}

impl Oracle for Drains {
    fn id(&self) -> OracleId {
        OracleId::O12
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        let state = self.nodes.entry(node).or_default();
        state.late += u32::from(state.until.is_some_and(|until| world.elapsed() > until));
        if let Event::Command(id, Command::Write(_)) = event {
            state.writes.insert(*id);
        }
        if let Event::Command(_, Command::Drain) = event {
            let until = world.elapsed() + world.limits().drain_max;
            state.until.get_or_insert(until);
        }
        Ok(())
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        let Some(state) = self.nodes.get_mut(&node) else {
            return Ok(());
        };
        let over = state.late > 1;
        let due = state.until.is_some_and(|until| world.elapsed() >= until);
        match effect {
            Effect::Reply(_, Reply::Drained) if !due && !state.writes.is_empty() => {
                let what = format!("drained, but {} writes have no answer", state.writes.len());
                Err(Wrong::of(node, what))
            }
            Effect::Reply(
                id,
                Reply::Written { .. } | Reply::Reached { .. } | Reply::Pinned | Reply::Rejected(_),
            ) => {
                state.writes.remove(id);
                Ok(())
            }
            Effect::Log(call) if over => {
                let what = format!("still asks the log when a drain's time is up: {call:?}");
                Err(Wrong::of(node, what))
            }
            Effect::Reply(_, Reply::Drained | Reply::Done)
            | Effect::Log(_)
            | Effect::Store(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Notice(_) => Ok(()),
        }
    }

    fn forget(&mut self, node: usize) {
        self.nodes.remove(&node);
    }
}
