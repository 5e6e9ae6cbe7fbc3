//! Several nodes of one store over a model log and model disks, in virtual time.
//!
//! The production node runs here unchanged. Its effects become calls that travel to the log or the disk and
//! answers that travel back, each in its own time and in the order that the real adapters keep. Time moves
//! only in [`World::advance`], from one due thing to the next. A paused node's events wait, as in a stopped
//! process; a crashed one's are lost. After every step the oracles look.

mod copied;
mod disk;
mod marking;
mod node;
mod passing;
mod peers;
mod readers;
mod step;

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_core::gate::{Admit, ReadLevel, Rejection};
use outrigger_core::limits::Limits;
use outrigger_core::node::{Command, Event, Node, Notice, Reply};
use outrigger_core::offset::{Generation, Offset, Partition, RequestId};
use outrigger_core::phase::Phase;
use outrigger_core::time::Now;
use outrigger_core::watch::ring::Ring;
use outrigger_model::log::{BrokerId, LogConfig, LogModel, Truncation};
use outrigger_model::store::{ModelView, StoreModel};

pub use marking::ALL as ALL_MARKS;
pub(crate) use marking::rejection as rejection_mark;
pub use node::SimNode;
pub use peers::{PeerPace, PeerTrouble};

use crate::marks::Marks;
use crate::oracle::{Moment, OracleId, Oracles, Violation, Wrong};
use crate::reference::{Reference, Rows, rows_of};
use crate::trace::{Lane, Line, Trace};
use copied::Copied;
use passing::Queue;
use peers::Peers;

/// Simulated time at which every world begins.
pub const START: Now = Now { mono: Duration::from_secs(1_000), wall_ms: 1_700_000_000_000 };

#[derive(Debug)]
pub struct World {
    /// The brokers' clocks; a node's wall clock may differ.
    pub now: Now,
    pub log: LogModel,
    pub reference: Reference,
    pub marks: Marks,
    pub trace: Trace,
    limits: Limits,
    latencies: Latencies,
    nodes: Vec<SimNode>,
    queue: Queue,
    peers: Peers,
    oracles: Oracles,
    violation: Option<Violation>,
    /// What the log lost, in order.
    pub losses: Vec<Loss>,
    next_request: u64,
    next_reader: u32,
    attentive: bool,
    /// When the log next has something to do, as of the last time that it had nothing.
    log_due: Option<Duration>,
    /// Ends and leaders as the trace last told them.
    traced_ends: BTreeMap<Partition, String>,
    /// Who led each partition last, since the log lost records.
    leaders: BTreeMap<Partition, Option<BrokerId>>,
}

/// How long things take at most; drawn anew each time, by seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latencies {
    pub seed: u64,
    pub log_call: Duration,
    pub log_answer: Duration,
    pub disk: Duration,
}

/// Something that the authoritative log lost.
#[derive(Clone, Debug)]
pub struct Loss {
    pub lost: Truncation,
    /// Nodes whose copy held it, with the notices that they had given by then.
    pub witnesses: Vec<(usize, usize)>,
}

impl World {
    /// Nodes with empty disks, none of them running. Nothing takes any time.
    pub fn new(config: LogConfig, nodes: usize, limits: Limits) -> World {
        let reference = Reference::new(config.topic, config.partitions);
        let mut log = LogModel::new(config);
        log.keep_history();
        World {
            now: START,
            log,
            reference,
            marks: Marks::default(),
            trace: Trace::default(),
            limits,
            latencies: Latencies::default(),
            nodes: (0..nodes).map(|_| SimNode::new()).collect(),
            queue: Queue::default(),
            peers: Peers::default(),
            oracles: Oracles::all(),
            violation: None,
            losses: Vec::new(),
            next_request: 0,
            next_reader: 0,
            attentive: false,
            log_due: None,
            traced_ends: BTreeMap::new(),
            leaders: BTreeMap::new(),
        }
    }

    pub fn with_latencies(mut self, latencies: Latencies) -> World {
        self.latencies = latencies;
        self
    }

    /// From now on the world stops at every answer of a node, so that its caller can act on it at that very moment.
    pub fn attentive(mut self) -> World {
        self.attentive = true;
        self
    }

    pub fn with_trace(mut self, trace: Trace) -> World {
        self.trace = trace;
        self
    }

    /// The simulated time since the world began.
    pub fn elapsed(&self) -> Duration {
        self.now.mono - START.mono
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_running(&self, index: usize) -> bool {
        self.nodes[index].process.is_some()
    }

    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index].process.as_ref().expect("the node runs").node
    }

    /// What the node has applied.
    pub fn copied(&self, index: usize) -> &Copied {
        &self.nodes[index].process.as_ref().expect("the node runs").copied
    }

    /// What whoever watches the node goes by.
    pub fn ring(&self, index: usize) -> &Ring {
        &self.nodes[index].process.as_ref().expect("the node runs").ring
    }

    pub fn sim_node(&mut self, index: usize) -> &mut SimNode {
        &mut self.nodes[index]
    }

    pub fn disk(&self, index: usize) -> &StoreModel {
        &self.nodes[index].disk
    }

    pub fn phase(&self, index: usize) -> Phase {
        self.node(index).status().phase
    }

    /// Both clocks as the node reads them.
    pub fn now_of(&self, index: usize) -> Now {
        let wall_ms = self.now.wall_ms.checked_add_signed(self.nodes[index].wall_offset_ms);
        Now { mono: self.now.mono, wall_ms: wall_ms.expect("a wall clock after 1970") }
    }

    pub fn command(&mut self, index: usize, command: Command) -> RequestId {
        self.command_from(index, command, Line::NONE)
    }

    /// The id that the next command gets.
    pub fn next_id(&self) -> RequestId {
        RequestId(self.next_request)
    }

    pub fn command_from(&mut self, index: usize, command: Command, cause: Line) -> RequestId {
        let id = self.take_id();
        self.event_from(index, Event::Command(id, command), cause);
        id
    }

    /// An id that no command gets.
    pub fn take_id(&mut self) -> RequestId {
        let id = self.next_id();
        self.next_request += 1;
        id
    }

    pub fn event(&mut self, index: usize, event: Event) {
        self.event_from(index, event, Line::NONE);
    }

    fn event_from(&mut self, index: usize, event: Event, cause: Line) {
        let process = self.nodes[index].process.as_mut().expect("the node runs");
        process.inbox.push_back((cause, event));
        self.settle();
    }

    pub fn reply(&mut self, index: usize, id: RequestId) -> Option<Reply> {
        self.nodes[index].replies.remove(&id).map(|(_, reply)| reply)
    }

    /// Takes any answer that a node has given.
    pub fn take_reply(&mut self) -> Option<(usize, RequestId, Line, Reply)> {
        let mut nodes = self.nodes.iter_mut().enumerate();
        nodes.find_map(|(index, node)| {
            let (id, (line, reply)) = node.replies.pop_first()?;
            Some((index, id, line, reply))
        })
    }

    pub fn notices(&self, index: usize) -> &[Notice] {
        &self.nodes[index].notices
    }

    /// The snapshot of a read that need not wait.
    pub fn view(&self, index: usize, level: &ReadLevel) -> Result<ModelView, Rejection> {
        match self.node(index).gate().admit(level, None, self.now_of(index))? {
            Admit::Now(generation) => Ok(self.view_of(index, generation)),
            Admit::Wait(until) => panic!("the read would wait: {until:?}"),
        }
    }

    pub fn rows(&self, index: usize, level: &ReadLevel) -> Rows {
        let view = self.view(index, level).expect("the read is admitted");
        rows_of(&view).expect("the model's rows are readable")
    }

    /// What an exact copy at the node's applied positions holds.
    pub fn expected(&self, index: usize) -> Rows {
        self.reference.rows_at(&self.node(index).gate().positions)
    }

    pub fn view_of(&self, index: usize, generation: Generation) -> ModelView {
        self.open_view(index, generation).expect("the gate names an open generation")
    }

    /// The snapshot that a read is answered from; none: the generation is not open, or not any more.
    pub fn open_view(&self, index: usize, generation: Generation) -> Option<ModelView> {
        self.nodes[index].disk.view(generation)
    }

    pub fn truncate(&mut self, partition: Partition, end: Offset) {
        self.log.truncate(partition, end);
        self.settle();
    }

    /// The wall clock of all nodes alone jumps, forward or back.
    pub fn jump_wall(&mut self, by_ms: i64) {
        for node in self.nodes.iter_mut() {
            node.wall_offset_ms += by_ms;
        }
    }

    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Asks every oracle; the first violation stays.
    pub fn judge(&mut self, moment: &Moment<'_>) {
        if self.violation.is_some() {
            return;
        }
        let mut oracles = std::mem::replace(&mut self.oracles, Oracles::none());
        let wrong = oracles.judge(moment, self);
        self.oracles = oracles;
        if let Some((oracle, wrong)) = wrong {
            self.violate(oracle, wrong);
        }
    }

    pub fn violate(&mut self, oracle: OracleId, wrong: Wrong) {
        let Wrong { node, keys, what } = wrong;
        self.violation.get_or_insert(Violation { oracle, at: self.elapsed(), node, keys, what });
    }

    pub fn note(&self, cause: Line, lane: Lane, what: &str, text: impl FnOnce() -> String) -> Line {
        self.trace.note(self.elapsed(), cause, lane, what, text)
    }

    pub fn describe(&self) -> String {
        let nodes = self.nodes.iter().map(|node| match &node.process {
            Some(process) => format!("{:?}", process.node.status()),
            None => "down".to_owned(),
        });
        nodes.collect::<Vec<_>>().join("\n")
    }
}

/// The node's client at the log.
pub(crate) fn client(index: usize) -> u32 {
    u32::try_from(index).expect("a world has few nodes")
}
