//! O12: a cancelled restore stands still: nothing is read, written, set aside or removed until it goes on.

use std::collections::{BTreeMap, BTreeSet};

use outrigger_core::log::LogCall;
use outrigger_core::node::{Command, Effect, Event, Reply};
use outrigger_core::offset::RequestId;
use outrigger_core::peer::PeerCall;
use outrigger_core::store::StoreCall;

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Cancels {
    asked: BTreeMap<usize, BTreeSet<RequestId>>,
    cancelled: BTreeSet<usize>,
}

impl Oracle for Cancels {
    fn id(&self) -> OracleId {
        OracleId::O12
    }

    fn handled(&mut self, node: usize, event: &Event, _world: &World) -> Result<(), Wrong> {
        if let Event::Command(id, Command::Cancel) = event {
            self.asked.entry(node).or_default().insert(*id);
        }
        if let Event::Command(_, Command::Continue | Command::Drain) = event {
            self.cancelled.remove(&node);
        }
        Ok(())
    }

    fn effect(&mut self, node: usize, effect: &Effect, _world: &World) -> Result<(), Wrong> {
        match effect {
            Effect::Reply(id, reply) => {
                let asked = self.asked.get_mut(&node).is_some_and(|asked| asked.remove(id));
                if asked && *reply == Reply::Done {
                    self.cancelled.insert(node);
                }
                Ok(())
            }
            Effect::Log(call) if self.cancelled.contains(&node) && !asks(call) => {
                Err(Wrong::of(node, format!("cancelled, and still: {call:?}")))
            }
            Effect::Store(call) if self.cancelled.contains(&node) && changes(call) => {
                Err(Wrong::of(node, "cancelled, and still changes its copies".to_owned()))
            }
            Effect::Peer(PeerCall::Fetch { .. }) if self.cancelled.contains(&node) => {
                Err(Wrong::of(node, "cancelled, and still asks a peer for its copy".to_owned()))
            }
            Effect::Log(_)
            | Effect::Store(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Notice(_) => Ok(()),
        }
    }

    fn forget(&mut self, node: usize) {
        self.asked.remove(&node);
        self.cancelled.remove(&node);
    }
}

fn asks(call: &LogCall) -> bool {
    match call {
        LogCall::Describe | LogCall::Ends | LogCall::TopicId => true,
        LogCall::Assign { .. }
        | LogCall::Fetch { .. }
        | LogCall::Append { .. }
        | LogCall::Withdraw { .. } => false,
    }
}

fn changes(call: &StoreCall) -> bool {
    match call {
        StoreCall::Open { .. }
        | StoreCall::Look { .. }
        | StoreCall::Close { .. }
        | StoreCall::Unpin { .. } => false,
        StoreCall::Create { .. }
        | StoreCall::Apply { .. }
        | StoreCall::Confirm { .. }
        | StoreCall::Flush { .. }
        | StoreCall::Activate { .. }
        | StoreCall::Quarantine { .. }
        | StoreCall::Adopt { .. }
        | StoreCall::Pin { .. }
        | StoreCall::Remove { .. } => true,
    }
}
