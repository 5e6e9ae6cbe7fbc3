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

use super::{Moment, Oracle, OracleId, Wrong};
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
    /// Adopted, and nobody has opened it yet.
    unseen: Option<Generation>,
}

impl Oracle for Peers {
    fn id(&self) -> OracleId {
        OracleId::O12
    }

    fn judge(&mut self, moment: &Moment<'_>, world: &World) -> Result<(), Wrong> {
        if !world.has_peers() {
            return Ok(());
        }
        match moment {
            Moment::Effect { node, effect: Effect::Peer(PeerCall::Fetch { .. }) } => {
                let asked = self.nodes.entry(*node).or_default();
                asked.asks(world, *node).map_err(|what| Wrong::of(*node, what.to_owned()))
            }
            Moment::Effect { node, effect: Effect::Store(call) } => {
                let asked = self.nodes.entry(*node).or_default();
                asked.calls(call).map_err(|what| Wrong::of(*node, what))
            }
            Moment::Handled { node, event: Event::Store(StoreEvent::Found(_)) } => {
                self.nodes.entry(*node).or_default().unseen = None;
                Ok(())
            }
            Moment::Handled {
                node,
                event: Event::Peer(PeerEvent::Fetched { .. } | PeerEvent::Failed { .. }),
            } => {
                let asked = self.nodes.entry(*node).or_default();
                (asked.at, asked.outstanding) = (Some(world.elapsed()), false);
                Ok(())
            }
            Moment::Ready { node } => {
                self.nodes.entry(*node).or_default().at = None;
                Ok(())
            }
            Moment::Started { node } | Moment::Crashed { node } => {
                self.nodes.remove(node);
                Ok(())
            }
            Moment::Handled { .. }
            | Moment::Effect { .. }
            | Moment::Read { .. }
            | Moment::Audit { .. }
            | Moment::DiskChanged { .. }
            | Moment::LogChanged => Ok(()),
        }
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
        match world.elapsed() >= before + world.limits().peer_retry {
            true => Ok(()),
            false => Err("asks peers again and again without a pause"),
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
