//! O12: a drain ends: with every write answered, or when its time is up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outrigger_core::node::{Command, Effect, Event, Reply};
use outrigger_core::offset::RequestId;

use super::{Moment, Oracle, OracleId, Wrong};
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
    /// Events handled since: what the first of them leads to was due before it.
    late: u32,
}

impl Oracle for Drains {
    fn id(&self) -> OracleId {
        OracleId::O12
    }

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        match moment {
            Moment::Handled { node, event } => {
                let state = self.nodes.entry(*node).or_default();
                state.late += u32::from(state.until.is_some_and(|until| world.elapsed() > until));
                match event {
                    Event::Command(id, Command::Write(_)) => drop(state.writes.insert(*id)),
                    Event::Command(_, Command::Drain) => {
                        let until = world.elapsed() + world.limits().drain_max;
                        state.until.get_or_insert(until);
                    }
                    Event::Command(
                        _,
                        Command::Await { .. }
                        | Command::Pin { .. }
                        | Command::Cancel
                        | Command::Continue,
                    )
                    | Event::Log(_)
                    | Event::Store(_)
                    | Event::Peer(_)
                    | Event::Gone(_)
                    | Event::Withdraw(_)
                    | Event::Damaged { .. }
                    | Event::RestoreRate(_)
                    | Event::Timer => {}
                }
                Ok(())
            }
            Moment::Effect { node, effect } => self.effect(*node, effect, world),
            Moment::Started { node } | Moment::Crashed { node } => {
                self.nodes.remove(node);
                Ok(())
            }
            Moment::Ready { .. }
            | Moment::Read { .. }
            | Moment::Audit { .. }
            | Moment::DiskChanged { .. }
            | Moment::LogChanged => Ok(()),
        }
    }
}

impl Drains {
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
            | Effect::Notice(_) => Ok(()),
        }
    }
}
