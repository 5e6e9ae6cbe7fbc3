//! O12: peers are asked once between two READYs, and at its pace by a node that nobody else can help.
//!
//! One fetch at a time; and what a peer gave is looked at before anything is read into it or it is put into use.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_core::node::{Effect, Event};
use outrigger_core::offset::Generation;
use outrigger_core::peer::{PeerCall, PeerEvent};
use outrigger_core::phase::{Phase, Refusal};
use outrigger_core::store::{StoreCall, StoreEvent};

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Peers {
    nodes: BTreeMap<usize, Asked>,
}

#[derive(Default)]
struct Asked {
    /// Simulated time of the last question or of its answer.
    at: Option<Duration>,
    outstanding: bool,
    /// What was adopted, and nobody has opened yet.
    unseen: Option<Generation>,
}

impl Oracle for Peers {
    fn id(&self) -> OracleId {
        OracleId::O12
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        let asked = self.nodes.entry(node).or_default();
        if let Event::Store(StoreEvent::Found(_)) = event {
            asked.unseen = None;
        }
        if let Event::Peer(PeerEvent::Fetched { .. } | PeerEvent::Failed { .. }) = event {
            (asked.at, asked.outstanding) = (Some(world.elapsed()), false);
        }
        Ok(())
    }

    fn effect(&mut self, node: usize, effect: &Effect, world: &World) -> Result<(), Wrong> {
        let asked = self.nodes.entry(node).or_default();
        match effect {
            Effect::Peer(PeerCall::Fetch { .. }) => {
                asked.asks(world, node).map_err(|what| Wrong::of(node, what.to_owned()))
            }
            Effect::Store(call) => asked.calls(call).map_err(|what| Wrong::of(node, what)),
            Effect::Peer(PeerCall::Cancel)
            | Effect::Ring(_)
            | Effect::Log(_)
            | Effect::Reply(..)
            | Effect::Notice(_) => Ok(()),
        }
    }

    fn ready(&mut self, node: usize, _world: &World) -> Result<(), Wrong> {
        self.nodes.entry(node).or_default().at = None;
        Ok(())
    }

    fn forget(&mut self, node: usize) {
        self.nodes.remove(&node);
    }
}

impl Asked {
    fn asks(&mut self, world: &World, node: usize) -> Result<(), &'static str> {
        if self.outstanding {
            return Err("asks peers twice at a time");
        }
        let before = self.at.replace(world.elapsed());
        self.outstanding = true;
        let Some(before) = before else { return Ok(()) };
        let phase = world.node(node).status().phase;
        if !matches!(phase, Phase::Refused(Refusal::LogIncomplete { .. })) {
            return Err("asks peers once more before it was READY, although the log can help");
        }
        if world.elapsed() >= before + world.limits().peer_retry {
            Ok(())
        } else {
            Err("asks peers again and again without a pause")
        }
    }

    fn calls(&mut self, call: &StoreCall) -> Result<(), String> {
        match call {
            StoreCall::Adopt { generation, .. } => {
                self.unseen = Some(*generation);
                Ok(())
            }
            StoreCall::Apply { generation, .. } | StoreCall::Activate { generation }
                if self.unseen == Some(*generation) =>
            {
                Err(format!("uses {generation}, which a peer gave, and has not looked at it"))
            }
            StoreCall::Open { .. }
            | StoreCall::Look { .. }
            | StoreCall::Create { .. }
            | StoreCall::Apply { .. }
            | StoreCall::Confirm { .. }
            | StoreCall::Flush { .. }
            | StoreCall::Activate { .. }
            | StoreCall::Quarantine { .. }
            | StoreCall::Remove { .. }
            | StoreCall::Close { .. }
            | StoreCall::Pin { .. }
            | StoreCall::Unpin { .. } => Ok(()),
        }
    }
}
