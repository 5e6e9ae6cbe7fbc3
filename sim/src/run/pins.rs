//! Somebody compares copies: asks all READY nodes for theirs at one position, and lets go of them again. The oracle
//! judges what they pinned.

use std::time::Duration;

use outrigger_core::node::{Command, Event};
use outrigger_core::offset::{Epoch, Offset, RequestId};
use outrigger_core::phase::Phase;
use outrigger_core::token::Token;

use super::clients::Pending;
use super::{Due, Run};
use crate::trace::{Lane, Line};

/// At which nodes, as which commands, copies were asked to be pinned.
pub(super) type Asked = Vec<(usize, RequestId)>;

impl Run<'_> {
    pub(super) fn pin(&mut self, index: usize) {
        let pins = &self.plan.pins[index];
        let (wait, wanted) = (pins.wait_ms, pins.wanted_ms);
        let nodes: Vec<usize> =
            (0..self.world.count()).filter(|node| self.is_ready(*node)).collect();
        let Some(at) = self.foremost(&nodes, pins.ahead) else {
            return;
        };
        let line =
            self.world.note(Line::NONE, Lane::World, "pin", || format!("{at:?} at {nodes:?}"));
        for node in nodes {
            let deadline = Duration::from_millis(wait);
            let id = self.world.next_id();
            self.pending.insert((node, id), Pending::Pin);
            self.pinned.entry(index).or_default().push((node, id));
            self.world.command_from(node, Command::Pin { at: at.clone(), deadline }, line);
        }
        self.later(Duration::from_millis(wanted), Due::Unpin(index));
    }

    /// Pins that were not answered yet are ended too.
    pub(super) fn unpin(&mut self, index: usize) {
        for (node, id) in self.pinned.remove(&index).unwrap_or_default() {
            self.pending.remove(&(node, id));
            if self.world.is_running(node) {
                self.world.event(node, Event::Gone(id));
            }
        }
    }

    fn is_ready(&self, node: usize) -> bool {
        self.world.is_running(node)
            && !self.world.is_paused(node)
            && self.world.node(node).gate().phase == Phase::Ready
    }

    /// A token of the farthest position of any of the nodes in each partition, plus `ahead`, with the epoch of the copy
    /// that is there.
    fn foremost(&self, nodes: &[usize], ahead: u64) -> Option<Token> {
        let gates = nodes.iter().map(|node| self.world.node(*node).gate());
        let topic = gates.clone().next()?.topic?;
        let at = |partition: usize| -> (Offset, Option<Epoch>) {
            let of = gates.clone().filter(|gate| gate.topic == Some(topic));
            let positions = of.map(|gate| {
                (gate.positions[partition], gate.epochs.get(partition).and_then(|of| of.latest()))
            });
            let (position, epoch) = positions.max().unwrap_or_default();
            match ahead {
                0 => (position, epoch),
                ahead => (Offset(position.0 + ahead), None),
            }
        };
        let count = usize::try_from(self.world.reference.count()).expect("usize holds 32 bits");
        Some(Token { topic, positions: (0..count).map(at).collect() })
    }
}
