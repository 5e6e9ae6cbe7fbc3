//! Nodes that give each other their copies: what is on a peer's disk, whole, some time after it was asked for.
//!
//! The seam is kept as the shell keeps it: only a READY peer with the wanted identity is asked, each wait has an end,
//! and what is placed says whose it is. Everything else that may come of it is a [`PeerTrouble`].

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_core::conformance::store::Damage;
use outrigger_core::offset::Generation;
use outrigger_core::peer::{PeerCall, PeerEvent, Transfer};
use outrigger_core::phase::Phase;
use outrigger_core::topic::{Identity, TopicId};
use outrigger_model::store::{Checkpoint, Contents};

use super::World;
use super::passing::{Passing, Share};
use crate::dice::Dice;
use crate::plan::Rot;
use crate::trace::{Lane, Line};

/// How long things take at most where nodes give each other copies.
#[derive(Clone, Copy, Debug)]
pub struct PeerPace {
    pub takes: Duration,
    /// A transfer of which nothing comes is given up after this.
    pub gives_up: Duration,
}

/// What a node's next transfers meet.
#[derive(Clone, Debug)]
pub enum PeerTrouble {
    /// No peer can be reached.
    Gone,
    /// It ends before it is whole.
    Breaks,
    /// Nothing comes until it is given up.
    Silent,
    Damages(Rot),
    /// It is what a peer had some time ago, as long as that peer's process and its generation are the same.
    Old(Box<Earlier>),
    /// It is what somebody else keeps, and says so.
    OfAnother,
}

/// A checkpoint that a process made and still has.
#[derive(Clone, Debug)]
pub struct Earlier {
    peer: usize,
    starts: u32,
    generation: Generation,
    checkpoint: Checkpoint,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    pace: Option<PeerPace>,
    transfers: BTreeMap<usize, Running>,
    troubles: BTreeMap<usize, PeerTrouble>,
    begun: u64,
    /// Who gave what a node's disk has for a generation, and the smallest retention that it told.
    gave: BTreeMap<(usize, Generation), Given>,
}

#[derive(Debug)]
struct Running {
    number: u64,
    generation: Generation,
    comes: Comes,
}

#[derive(Clone, Copy, Debug)]
struct Given {
    peer: usize,
    delete_retention_ms_min: u64,
}

#[derive(Debug)]
enum Comes {
    Nothing(&'static str),
    /// All of it is here since an earlier transfer, and nobody gives another.
    Whole(Given),
    /// The copy comes as long as the peer's process lives, which has this number of starts.
    From(Given, u32, Box<Checkpoint>),
}

impl World {
    /// From now on started nodes ask each other for copies.
    pub fn with_peers(mut self, pace: PeerPace) -> World {
        self.peers.pace = Some(pace);
        self
    }

    pub fn has_peers(&self) -> bool {
        self.peers.pace.is_some()
    }

    /// Whether a peer gave what the node has, or had, under that number.
    pub fn was_given(&self, node: usize, generation: Generation) -> bool {
        self.peers.gave.contains_key(&(node, generation))
    }

    /// What the node's transfers that begin from now on meet.
    pub fn trouble_peers(&mut self, node: usize, trouble: Option<PeerTrouble>) {
        match trouble {
            Some(trouble) => self.peers.troubles.insert(node, trouble),
            None => self.peers.troubles.remove(&node),
        };
    }

    /// What another node would give at this moment, were it READY.
    pub fn copy_of_another(&self, node: usize) -> Option<Earlier> {
        let mut others = (0..self.count()).filter(|other| *other != node);
        others.find_map(|peer| {
            let mut stored = self.disk(peer).generations();
            let generation = stored.find(|stored| stored.current)?.generation;
            let checkpoint = self.disk(peer).checkpoint(generation)?;
            Some(Earlier { peer, starts: self.nodes[peer].starts, generation, checkpoint })
        })
    }

    /// What a peer knows of the retention it knows for the copy in use: no checkpoint of an earlier one is given.
    fn still_gives(&self, earlier: &Earlier) -> bool {
        let Earlier { peer, starts, generation, .. } = earlier;
        let in_use = self.node(*peer).gate().generation;
        self.nodes[*peer].starts == *starts && in_use == Some(*generation)
    }

    pub(super) fn peer_call(&mut self, node: usize, call: PeerCall, cause: Line) {
        let line = self.note(cause, Lane::Node(node), "peer", || format!("{call:?}"));
        match call {
            PeerCall::Fetch { generation, identity, suspects } => {
                let (comes, lasts) = self.begin_transfer(node, generation, &identity, &suspects);
                self.peers.begun += 1;
                let number = self.peers.begun;
                let before =
                    self.peers.transfers.insert(node, Running { number, generation, comes });
                assert!(before.is_none(), "one fetch at a time");
                let now = self.now.mono;
                let half = Passing::Transfer(number, Share::Half);
                self.queue.send(node, now + lasts / 2, line, half);
                self.queue.send(node, now + lasts, line, Passing::Transfer(number, Share::All));
            }
            PeerCall::Cancel => {
                if let Some(Running { generation, .. }) = self.peers.transfers.remove(&node) {
                    let detail = "it was called off".to_owned();
                    self.tell_peer(node, PeerEvent::Failed { generation, detail }, line);
                }
            }
        }
    }

    /// The peers that would give; suspects only where nobody else would.
    fn asked(&self, node: usize, identity: &Identity, suspects: &[String]) -> Vec<usize> {
        let ready = (0..self.count()).filter(|peer| *peer != node && self.gives(*peer, identity));
        let suspected = |peer: &usize| suspects.contains(&address(*peer));
        let (suspected, ready): (Vec<usize>, Vec<usize>) = ready.partition(suspected);
        if ready.is_empty() { suspected } else { ready }
    }

    fn begin_transfer(
        &self,
        node: usize,
        generation: Generation,
        identity: &Identity,
        suspects: &[String],
    ) -> (Comes, Duration) {
        let pace = self.peers.pace.expect("only nodes with peers fetch");
        let takes = self.draw("transfer", node, pace.takes);
        let trouble = self.peers.troubles.get(&node);
        let number = u64::try_from(node).expect("a world has few nodes");
        let mut dice = Dice::at(self.latencies.seed, "peer", number, self.queue.sent());
        let ready = self.asked(node, identity, suspects);
        if let Some(PeerTrouble::Silent) = trouble {
            return (Comes::Nothing("nothing came"), pace.gives_up);
        }
        let here = self.disk(node).fetched(generation) == Some(identity);
        if let Some(given) = self.peers.gave.get(&(node, generation)).filter(|_| here)
            && ready.is_empty()
            && trouble.is_none()
        {
            return (Comes::Whole(*given), takes / 8);
        }
        if ready.is_empty() || matches!(trouble, Some(PeerTrouble::Gone)) {
            return (Comes::Nothing("no peer is READY"), self.draw("no peer", node, pace.takes));
        }
        if let Some(PeerTrouble::Breaks) = trouble {
            return (Comes::Nothing("the peer went away"), takes);
        }
        let drawn = ready[dice.index(ready.len())];
        let earlier = if let Some(PeerTrouble::Old(earlier)) = trouble
            && ready.contains(&earlier.peer)
            && self.still_gives(earlier)
        {
            Some(&**earlier)
        } else {
            None
        };
        let peer = earlier.map_or(drawn, |earlier| earlier.peer);
        let gate = self.node(peer).gate();
        let made = match (earlier, gate.generation) {
            (Some(earlier), _) => Some(earlier.checkpoint.clone()),
            (None, Some(in_use)) => self.disk(peer).checkpoint(in_use),
            (None, None) => None,
        };
        let Some(checkpoint) = made else {
            return (Comes::Nothing("the peer has nothing to give"), takes);
        };
        let checkpoint = match trouble {
            Some(PeerTrouble::OfAnother) => checkpoint
                .of_something_else(Identity { topic: TopicId([98; 16]), ..identity.clone() }),
            Some(PeerTrouble::Damages(rot)) => {
                checkpoint.damaged(&damage(*rot, gate.generation.unwrap_or(generation)))
            }
            Some(
                PeerTrouble::Old(_) | PeerTrouble::Gone | PeerTrouble::Breaks | PeerTrouble::Silent,
            )
            | None => checkpoint,
        };
        // It is what the peer has seen by now, even where the checkpoint is older.
        let given = Given { peer, delete_retention_ms_min: gate.delete_retention_ms_min };
        (Comes::From(given, self.nodes[peer].starts, Box::new(checkpoint)), takes)
    }

    /// Whether the peer would give a copy now, and the copy would not be too old when it came, even for whoever has
    /// heard of a shorter retention, in milliseconds.
    pub fn gives_usable(&self, peer: usize, retention_ms_min: u64) -> bool {
        let Some(pace) = self.peers.pace else { return false };
        let gate = self.node(peer).gate();
        let retention_ms_min = retention_ms_min.min(gate.delete_retention_ms_min);
        let given = gate.generation.and_then(|given| self.disk(peer).generation(given));
        let usable = given.is_some_and(|given| {
            given.sound
                && given.durable.iter().map(Contents::lineage).all(|lineage| {
                    // Once its clock is right again, a READY node keeps nothing from the future.
                    let age_ms = self.now.wall_ms.saturating_sub(lineage.confirmed_at_ms);
                    let retention_ms = lineage.delete_retention_ms_min.min(retention_ms_min);
                    let retention = Duration::from_millis(retention_ms);
                    Duration::from_millis(age_ms) + pace.takes < retention / 2
                })
        });
        let identity = self.disk(peer).identity();
        usable
            && self.disk_is_its_own(peer)
            && identity.is_some_and(|identity| self.gives(peer, identity))
    }

    fn gives(&self, peer: usize, identity: &Identity) -> bool {
        self.is_running(peer)
            && !self.is_paused(peer)
            && self.node(peer).gate().phase == Phase::Ready
            && self.disk(peer).identity() == Some(identity)
    }

    pub(super) fn transfer(&mut self, node: usize, number: u64, share: Share, cause: Line) {
        let running = self.peers.transfers.get(&node).filter(|running| running.number == number);
        let Some(Running { generation, comes, .. }) = running else { return };
        let generation = *generation;
        match (share, comes) {
            (Share::Half, Comes::Nothing(_)) => {}
            (Share::Half, Comes::Whole(given) | Comes::From(given, ..)) => {
                let peer = address(given.peer);
                let transfer = Transfer { peer, bytes: 1, bytes_total: 2 };
                self.tell_peer(node, PeerEvent::Progress(transfer), cause);
            }
            (Share::All, _) => {
                let running = self.peers.transfers.remove(&node).expect("it runs");
                let event = self.end_transfer(node, generation, running.comes);
                self.tell_peer(node, event, cause);
            }
        }
    }

    fn end_transfer(&mut self, node: usize, generation: Generation, comes: Comes) -> PeerEvent {
        let failed = |why: &str| PeerEvent::Failed { generation, detail: why.to_owned() };
        match comes {
            Comes::Nothing(why) => failed(why),
            Comes::Whole(given) => given.event(generation),
            Comes::From(Given { peer, .. }, starts, _)
                if !self.is_running(peer) || self.nodes[peer].starts != starts =>
            {
                failed("the peer went away")
            }
            Comes::From(given, _, checkpoint) => {
                self.place(node, generation, given, *checkpoint);
                given.event(generation)
            }
        }
    }

    fn place(&mut self, node: usize, generation: Generation, given: Given, checkpoint: Checkpoint) {
        self.peers.gave.insert((node, generation), given);
        self.nodes[node].disk.place_fetched(generation, checkpoint);
    }

    fn tell_peer(&mut self, node: usize, event: PeerEvent, cause: Line) {
        let at = self.now.mono + self.draw("peer answer", node, self.latencies.log_answer);
        self.queue.send(node, at, cause, Passing::PeerEvent(event));
    }

    /// The process ended. What was on its way may have been whole by then, and nobody heard.
    pub(super) fn break_transfer(&mut self, node: usize) {
        let Some(Running { generation, comes, .. }) = self.peers.transfers.remove(&node) else {
            return;
        };
        let number = u64::try_from(node).expect("a world has few nodes");
        let starts = u64::from(self.nodes[node].starts);
        let whole = Dice::at(self.latencies.seed, "whole", number, starts).once_in(2);
        if let (true, Comes::From(given, _, checkpoint)) = (whole, comes) {
            self.place(node, generation, given, *checkpoint);
        }
    }
}

impl Given {
    fn event(self, generation: Generation) -> PeerEvent {
        let Given { peer, delete_retention_ms_min } = self;
        PeerEvent::Fetched { generation, peer: address(peer), delete_retention_ms_min }
    }
}

fn address(node: usize) -> String {
    format!("node {node}")
}

fn damage(rot: Rot, generation: Generation) -> Damage {
    match rot {
        Rot::Identity | Rot::Index => Damage::Index(generation),
        Rot::Format => Damage::Format(generation),
        Rot::MissingFile => Damage::MissingFile(generation),
        Rot::Rows => Damage::Rows(generation),
    }
}
