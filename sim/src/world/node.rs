//! One node's process and disk, and what befalls them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;
use std::time::Duration;

use outrigger_core::log::LogEvent;
use outrigger_core::node::{Event, Node, Notice, Reply};
use outrigger_core::offset::{Offset, Partition, RequestId};
use outrigger_core::watch::ring::Ring;
use outrigger_model::log::beside;
use outrigger_model::store::StoreModel;

use super::copied::Copied;
use super::{World, client};
use crate::oracle::Moment;
use crate::trace::{Lane, Line};

#[derive(Debug)]
pub struct SimNode {
    pub(super) process: Option<Process>,
    pub disk: StoreModel,
    pub replies: BTreeMap<RequestId, (Line, Reply)>,
    pub notices: Vec<Notice>,
    pub(super) paused: bool,
    /// How far this node's wall clock is ahead of the brokers'.
    pub wall_offset_ms: i64,
    /// Latencies that are added to the world's own.
    pub slow_log: Duration,
    pub slow_disk: Duration,
    /// The disk's answers reach the node up to this much after it has done what was asked.
    pub late_disk: Duration,
    /// The disk does nothing of what it is asked.
    pub(super) hung_disk: bool,
    /// What an operator lets its restores read per second, also after a restart.
    pub(super) restore_rate: Option<NonZeroU64>,
    /// When it last went on after a pause: simulated time since the world began.
    pub(super) woke: Duration,
    /// Process starts so far: what was on its way to an earlier one is lost.
    pub(super) starts: u32,
    /// Notices before the last start.
    started_after: usize,
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) node: Node,
    pub(super) ring: Ring,
    pub(super) copied: Copied,
    pub(super) inbox: VecDeque<(Line, Event)>,
    /// Its readers of the log beside the node's own, and what they were answered.
    pub(super) readers: BTreeSet<u32>,
    pub(super) read: VecDeque<(u32, LogEvent)>,
    /// What led to the effects that the node still has to give.
    pub(super) cause: Line,
    /// Effects until the process ends between two of them.
    pub(super) crash_after: Option<u32>,
    /// The node's own timer, as of its last event.
    pub(super) timer: Option<Duration>,
    /// Positions as the trace last told them, by partition.
    pub(super) traced: BTreeMap<usize, (Offset, Offset, Offset, Offset)>,
}

impl SimNode {
    pub(super) fn new() -> SimNode {
        SimNode {
            process: None,
            disk: StoreModel::default(),
            replies: BTreeMap::new(),
            notices: Vec::new(),
            paused: false,
            wall_offset_ms: 0,
            slow_log: Duration::ZERO,
            slow_disk: Duration::ZERO,
            late_disk: Duration::ZERO,
            hung_disk: false,
            restore_rate: None,
            woke: Duration::ZERO,
            starts: 0,
            started_after: 0,
        }
    }

    /// Process starts so far.
    pub fn starts(&self) -> u32 {
        self.starts
    }
}

impl World {
    /// Starts the node's process on whatever its disk holds.
    pub fn start(&mut self, index: usize) {
        assert!(self.nodes[index].process.is_none(), "node {index} runs already");
        let cause = self.note(Line::NONE, Lane::Node(index), "start", String::new);
        let node = Node::new("store".to_owned(), self.limits.clone(), self.now_of(index));
        let node = if self.has_peers() { node.with_peers() } else { node };
        let process = Process {
            timer: node.next_timer(),
            node,
            ring: Ring::new(self.limits.ring_bytes_max),
            copied: Copied::default(),
            inbox: VecDeque::new(),
            readers: BTreeSet::new(),
            read: VecDeque::new(),
            cause,
            crash_after: None,
            traced: BTreeMap::new(),
        };
        let sim = &mut self.nodes[index];
        sim.starts += 1;
        sim.started_after = sim.notices.len();
        sim.process = Some(process);
        self.judge(&Moment::Started { node: index });
        if let Some(rate) = self.nodes[index].restore_rate {
            self.event(index, Event::RestoreRate(Some(rate)));
        }
        self.settle();
    }

    /// An operator sets the rate of a node's restores; none: as fast as it can.
    pub fn set_restore_rate(&mut self, index: usize, rate: Option<NonZeroU64>) {
        self.nodes[index].restore_rate = rate;
        if self.is_running(index) {
            self.event(index, Event::RestoreRate(rate));
        }
    }

    pub fn restore_rate(&self, index: usize) -> Option<NonZeroU64> {
        self.nodes[index].restore_rate
    }

    /// How many processes there were of the node.
    pub fn starts(&self, index: usize) -> u32 {
        self.nodes[index].starts
    }

    pub fn woke(&self, index: usize) -> Duration {
        self.nodes[index].woke
    }

    pub fn wall_offset_ms(&self, index: usize) -> i64 {
        self.nodes[index].wall_offset_ms
    }

    /// The process ends now; of a partition's unflushed steps the first `keep` reached the disk.
    pub fn crash(&mut self, index: usize, keep: impl Fn(Partition, usize) -> usize) {
        let Some(process) = self.nodes[index].process.take() else { return };
        for number in process.readers {
            self.log.forget(beside(client(index), number));
        }
        self.note(Line::NONE, Lane::Node(index), "crash", String::new);
        let sim = &mut self.nodes[index];
        sim.paused = false;
        sim.replies.clear();
        sim.disk.crash(|_, partition, steps| keep(partition, steps));
        self.log.forget(client(index));
        self.queue.forget(index);
        self.break_transfer(index);
        self.judge(&Moment::Crashed { node: index });
    }

    /// The process ends after this many more effects, between two of them: `must_crash` then tells.
    pub fn crash_after(&mut self, index: usize, effects: u32) {
        if let Some(process) = &mut self.nodes[index].process {
            process.crash_after = Some(effects);
        }
    }

    /// The process does not end after all.
    pub fn spare(&mut self, index: usize) {
        if let Some(process) = &mut self.nodes[index].process {
            process.crash_after = None;
        }
    }

    /// Whether the node met the end that `crash_after` set: `crash` it then.
    pub fn must_crash(&self, index: usize) -> bool {
        let process = self.nodes[index].process.as_ref();
        process.is_some_and(|process| process.crash_after == Some(0))
    }

    pub fn is_paused(&self, index: usize) -> bool {
        self.nodes[index].paused
    }

    /// Whether the node's process was started anew after it had given `notices`.
    pub fn restarted_since(&self, index: usize, notices: usize) -> bool {
        self.nodes[index].started_after >= notices && self.nodes[index].starts > 1
    }

    pub fn pause(&mut self, index: usize) {
        self.nodes[index].paused = true;
    }

    pub fn resume(&mut self, index: usize) {
        self.nodes[index].paused = false;
        self.nodes[index].woke = self.elapsed();
        let now = self.now.mono;
        self.queue.unpark(index, now);
        self.settle();
    }
}
