//! Several nodes of one store over a model log and model disks, in virtual time.
//!
//! The production node runs here unchanged. Effects are carried out at once, in order; time moves only in
//! [`World::advance`], from timer to timer. A paused node's events wait, as in a stopped process.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use outrigger_core::gate::{Admit, ReadLevel, Rejection};
use outrigger_core::limits::Limits;
use outrigger_core::node::{Command, Effect, Event, Node, Notice, Reply};
use outrigger_core::offset::{Generation, Offset, RequestId};
use outrigger_core::phase::Phase;
use outrigger_core::store::View;
use outrigger_core::time::Now;
use outrigger_model::log::{LogConfig, LogModel};
use outrigger_model::store::{ModelView, StoreModel};

use crate::reference::{Reference, Rows, rows_of};

/// Steps without time passing after which a world counts as going round in circles.
const STEPS_MAX: usize = 100_000;

pub struct World {
    pub now: Now,
    pub log: LogModel,
    pub reference: Reference,
    limits: Limits,
    nodes: Vec<SimNode>,
    next_request: u64,
}

/// One node's process and disk.
pub struct SimNode {
    process: Option<Process>,
    pub disk: StoreModel,
    pub replies: BTreeMap<RequestId, Reply>,
    pub notices: Vec<Notice>,
    paused: bool,
}

struct Process {
    node: Node,
    inbox: VecDeque<Event>,
}

impl World {
    pub fn new(config: LogConfig, nodes: usize, limits: Limits) -> World {
        let now = Now { mono: Duration::from_secs(1_000), wall_ms: 1_700_000_000_000 };
        let reference = Reference::new(config.partitions);
        let mut log = LogModel::new(config);
        log.keep_appended();
        let nodes = (0..nodes).map(|_| SimNode::new()).collect();
        World { now, log, reference, limits, nodes, next_request: 0 }
    }

    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index].process.as_ref().expect("the node runs").node
    }

    pub fn sim_node(&mut self, index: usize) -> &mut SimNode {
        &mut self.nodes[index]
    }

    pub fn phase(&self, index: usize) -> Phase {
        self.node(index).status().phase
    }

    /// Starts the node's process on whatever its disk holds.
    pub fn start(&mut self, index: usize) {
        assert!(self.nodes[index].process.is_none(), "node {index} runs already");
        let node = Node::new("store".to_owned(), self.limits.clone(), self.now);
        self.nodes[index].process = Some(Process { node, inbox: VecDeque::new() });
        self.settle();
    }

    /// The process ends between two effects; `keep` of a partition's unflushed steps reached the disk.
    pub fn crash(&mut self, index: usize, keep: impl Fn(usize) -> usize) {
        self.nodes[index].process = None;
        self.nodes[index].paused = false;
        self.nodes[index].disk.crash(|_, _, steps| keep(steps));
        self.log.forget(client(index));
    }

    pub fn wipe(&mut self, index: usize) {
        assert!(self.nodes[index].process.is_none(), "a running node's disk is not wiped");
        self.nodes[index].disk = StoreModel::default();
    }

    pub fn pause(&mut self, index: usize) {
        self.nodes[index].paused = true;
    }

    pub fn resume(&mut self, index: usize) {
        self.nodes[index].paused = false;
        self.settle();
    }

    pub fn command(&mut self, index: usize, command: Command) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.event(index, Event::Command(id, command));
        id
    }

    pub fn event(&mut self, index: usize, event: Event) {
        self.nodes[index].process.as_mut().expect("the node runs").inbox.push_back(event);
        self.settle();
    }

    pub fn reply(&mut self, index: usize, id: RequestId) -> Option<Reply> {
        self.nodes[index].replies.remove(&id)
    }

    /// A read that need not wait.
    pub fn view(&self, index: usize, level: &ReadLevel) -> Result<ModelView, Rejection> {
        match self.node(index).gate().admit(level, None, self.now)? {
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

    fn view_of(&self, index: usize, generation: Generation) -> ModelView {
        self.nodes[index].disk.view(generation).expect("the gate names an open generation")
    }

    pub fn truncate(&mut self, partition: outrigger_core::offset::Partition, end: Offset) {
        let end = self.log.truncate(partition, end);
        self.reference.truncate(partition, end);
        self.settle();
    }

    /// Lets time pass, timer by timer.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now.mono + by;
        self.settle();
        while let Some(next) = self.next_timer().filter(|next| *next <= until) {
            self.move_to(next);
            self.fire_timers();
            self.settle();
        }
        self.move_to(until);
        self.settle();
    }

    /// Lets time pass until `reached`, which must come within `bound`.
    pub fn until(&mut self, what: &str, bound: Duration, reached: impl Fn(&World) -> bool) {
        let end = self.now.mono + bound;
        self.settle();
        while !reached(self) {
            assert!(self.now.mono < end, "{what}: not within {bound:?}; {}", self.describe());
            self.advance(Duration::from_millis(50));
        }
    }

    pub fn until_ready(&mut self, index: usize) {
        self.until("READY", Duration::from_secs(120), |world| world.phase(index) == Phase::Ready);
    }

    /// The wall clock alone jumps, forward or back.
    pub fn jump_wall(&mut self, by_ms: i64) {
        self.now.wall_ms =
            self.now.wall_ms.checked_add_signed(by_ms).expect("a wall clock after 1970");
    }

    fn move_to(&mut self, mono: Duration) {
        if mono > self.now.mono {
            let passed = mono - self.now.mono;
            self.now.mono = mono;
            self.now.wall_ms += u64::try_from(passed.as_millis()).expect("simulated centuries fit");
        }
    }

    fn next_timer(&self) -> Option<Duration> {
        let nodes = self.nodes.iter().filter(|node| !node.paused);
        let timers = nodes.filter_map(|node| node.process.as_ref()?.node.next_timer());
        timers.chain(self.log.next_timer()).min()
    }

    fn fire_timers(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| !node.paused) {
            let Some(process) = &mut node.process else {
                continue;
            };
            if process.node.next_timer().is_some_and(|timer| timer <= self.now.mono) {
                process.inbox.push_back(Event::Timer);
            }
        }
    }

    /// Carries out effects and delivers events until nothing is left at this moment.
    pub fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            let worked = self.step_nodes();
            let told = self.step_log();
            if !worked && !told {
                return;
            }
        }
        panic!("the world goes round in circles; {}", self.describe());
    }

    fn step_nodes(&mut self) -> bool {
        let mut worked = false;
        for index in 0..self.nodes.len() {
            while self.step_node(index) {
                worked = true;
            }
        }
        worked
    }

    /// One effect, or one event.
    fn step_node(&mut self, index: usize) -> bool {
        let node = &mut self.nodes[index];
        if node.paused {
            return false;
        }
        let Some(process) = &mut node.process else {
            return false;
        };
        let Some(effect) = process.node.poll() else {
            let event = process.inbox.pop_front();
            let handled = event.is_some();
            event.into_iter().for_each(|event| process.node.handle(self.now, event));
            return handled;
        };
        match effect {
            Effect::Log(call) => {
                let mut out = Vec::new();
                self.log.handle(self.now, client(index), call, &mut out);
                self.deliver(out);
            }
            Effect::Store(call) => process.inbox.push_back(Event::Store(node.disk.handle(call))),
            Effect::Reply(id, reply) => {
                let before = node.replies.insert(id, reply);
                assert!(before.is_none(), "{id:?} is answered once");
            }
            Effect::Notice(notice) => {
                let ready = notice == Notice::Phase(Phase::Ready);
                node.notices.push(notice);
                if ready {
                    self.audit(index);
                }
            }
        }
        true
    }

    /// At the moment of READY the copy equals the fold of the whole log at its own positions (O4, O11).
    fn audit(&mut self, index: usize) {
        self.reference.learn(&mut self.log);
        let generation =
            self.node(index).gate().generation.expect("a READY node serves a generation");
        let view = self.view_of(index, generation);
        let lineages = view.lineages().expect("the model's lineages are readable");
        let positions: Vec<_> = lineages.iter().map(|lineage| lineage.position).collect();
        let rows = rows_of(&view).expect("the model's rows are readable");
        assert_eq!(
            rows,
            self.reference.rows_at(&positions),
            "a READY copy at {positions:?} is exact"
        );
    }

    fn step_log(&mut self) -> bool {
        let mut out = Vec::new();
        if self.log.next_timer().is_some_and(|timer| timer <= self.now.mono) {
            self.log.tick(self.now, &mut out);
        }
        self.reference.learn(&mut self.log);
        let told = !out.is_empty();
        self.deliver(out);
        told
    }

    fn deliver(&mut self, events: Vec<(u32, outrigger_core::log::LogEvent)>) {
        for (client, event) in events {
            let index = usize::try_from(client).expect("usize holds 32 bits");
            if let Some(process) = &mut self.nodes[index].process {
                process.inbox.push_back(Event::Log(event));
            }
        }
    }

    fn describe(&self) -> String {
        let nodes = self.nodes.iter().map(|node| match &node.process {
            Some(process) => format!("{:?}", process.node.status()),
            None => "down".to_owned(),
        });
        nodes.collect::<Vec<_>>().join("\n")
    }
}

impl SimNode {
    fn new() -> SimNode {
        SimNode {
            process: None,
            disk: StoreModel::default(),
            replies: BTreeMap::new(),
            notices: Vec::new(),
            paused: false,
        }
    }
}

fn client(index: usize) -> u32 {
    u32::try_from(index).expect("a world has few nodes")
}
