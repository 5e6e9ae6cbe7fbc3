//! What is on its way between nodes, log and disks: in order per lane, each in its own time.
//!
//! The lanes are those of the real adapters: one consumer stream per partition, one producer, one kind of
//! question at a time, one thread per disk.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use outrigger_core::log::{LogCall, LogCallKind, LogEvent};
use outrigger_core::offset::Partition;
use outrigger_core::peer::{PeerCall, PeerEvent};
use outrigger_core::store::{StoreCall, StoreEvent};

use crate::trace::Line;

#[derive(Debug)]
pub(super) enum Passing {
    LogCall(LogCall),
    LogEvent(LogEvent),
    /// To and from the reader of this number beside the node's own.
    ReaderCall(u32, LogCall),
    ReaderEvent(u32, LogEvent),
    StoreCall(StoreCall),
    StoreEvent(StoreEvent),
    PeerCall(PeerCall),
    PeerEvent(PeerEvent),
    /// This much of the transfer of this number is over.
    Transfer(u64, Share),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Share {
    Half,
    All,
}

#[derive(Debug)]
pub(super) struct Due {
    pub(super) at: Duration,
    order: u64,
    pub(super) node: usize,
    pub(super) cause: Line,
    pub(super) what: Passing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    AskOut(LogCallKind),
    AskIn(LogCallKind),
    AppendOut,
    AppendIn,
    ReadOut(Partition),
    ReadIn(Partition),
    ReaderOut(u32),
    ReaderIn(u32),
    Trouble,
    Disk,
    DiskIn,
    PeerOut,
    PeerIn,
    Transfer(u64),
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    due: BinaryHeap<Due>,
    /// What is due, but whose node is paused.
    parked: Vec<Due>,
    /// What is due, but whose disk hangs.
    hung: Vec<Due>,
    /// When the newest of each lane arrives: what follows is not before it.
    lanes: BTreeMap<(usize, Lane), Duration>,
    sent: u64,
}

impl Queue {
    pub(super) fn send(&mut self, node: usize, at: Duration, cause: Line, what: Passing) {
        let newest = self.lanes.entry((node, lane(&what))).or_default();
        let at = at.max(*newest);
        *newest = at;
        self.sent += 1;
        self.due.push(Due { at, order: self.sent, node, cause, what });
    }

    /// How many draws were made for what was sent so far: this number keys the next one.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// When the disk is free again.
    pub(super) fn disk_free(&self, node: usize) -> Duration {
        self.lanes.get(&(node, Lane::Disk)).copied().unwrap_or_default()
    }

    /// When the disk's newest answer arrives.
    pub(super) fn disk_tells(&self, node: usize) -> Duration {
        self.lanes.get(&(node, Lane::DiskIn)).copied().unwrap_or_default()
    }

    /// Whether an answer of the disk is on its way: no later one overtakes it.
    pub(super) fn owes_answer(&self, node: usize) -> bool {
        let mut all = self.due.iter().chain(&self.parked);
        all.any(|due| due.node == node && matches!(due.what, Passing::StoreEvent(_)))
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.due.peek().map(|due| due.at)
    }

    pub(super) fn pop(&mut self, now: Duration) -> Option<Due> {
        self.due.peek().filter(|due| due.at <= now)?;
        self.due.pop()
    }

    pub(super) fn park(&mut self, due: Due) {
        self.parked.push(due);
    }

    pub(super) fn hang(&mut self, due: Due) {
        self.hung.push(due);
    }

    /// The node goes on: what waited for it is due now, in order.
    pub(super) fn unpark(&mut self, node: usize, now: Duration) {
        let its = extract(&mut self.parked, node);
        self.due.extend(its.into_iter().map(|due| Due { at: now, ..due }));
    }

    /// The disk goes on, with what it was asked for first.
    pub(super) fn unhang(&mut self, node: usize, now: Duration) {
        let its = extract(&mut self.hung, node);
        self.due.extend(its.into_iter().map(|due| Due { at: now, ..due }));
    }

    /// The reader is gone: nothing that it sent or that was sent to it arrives.
    pub(super) fn forget_reader(&mut self, number: u32) {
        self.due.retain(|due| !is_of_reader(due, number));
        self.parked.retain(|due| !is_of_reader(due, number));
        self.lanes.retain(|(_, lane), _| {
            *lane != Lane::ReaderOut(number) && *lane != Lane::ReaderIn(number)
        });
    }

    /// The process ended: nothing that it sent or that was sent to it arrives.
    pub(super) fn forget(&mut self, node: usize) {
        self.due.retain(|due| due.node != node);
        self.parked.retain(|due| due.node != node);
        self.hung.retain(|due| due.node != node);
        self.lanes.retain(|(of, _), _| *of != node);
    }
}

fn is_of_reader(due: &Due, its: u32) -> bool {
    match due.what {
        Passing::ReaderCall(number, _) | Passing::ReaderEvent(number, _) => number == its,
        _ => false,
    }
}

fn extract(waiting: &mut Vec<Due>, node: usize) -> Vec<Due> {
    let (its, others) = std::mem::take(waiting).into_iter().partition(|due| due.node == node);
    *waiting = others;
    its
}

fn lane(what: &Passing) -> Lane {
    match what {
        Passing::LogCall(call) => match call {
            LogCall::Describe => Lane::AskOut(LogCallKind::Describe),
            LogCall::Ends => Lane::AskOut(LogCallKind::Ends),
            LogCall::TopicId => Lane::AskOut(LogCallKind::TopicId),
            LogCall::Append { .. } | LogCall::Withdraw { .. } => Lane::AppendOut,
            LogCall::Assign { partition, .. } | LogCall::Fetch { partition, .. } => {
                Lane::ReadOut(*partition)
            }
        },
        Passing::LogEvent(event) => match event {
            LogEvent::Facts(_) | LogEvent::Leaderless { .. } => Lane::AskIn(LogCallKind::Describe),
            LogEvent::Ends(_) => Lane::AskIn(LogCallKind::Ends),
            LogEvent::TopicId(_) | LogEvent::PartitionCount(_) => Lane::AskIn(LogCallKind::TopicId),
            LogEvent::Failed { call, .. } => Lane::AskIn(*call),
            LogEvent::Appended { .. } => Lane::AppendIn,
            LogEvent::Assigned { partition } | LogEvent::Lost { partition, .. } => {
                Lane::ReadIn(*partition)
            }
            LogEvent::Fetched(batch) => Lane::ReadIn(batch.partition),
            LogEvent::Trouble(_) => Lane::Trouble,
        },
        Passing::ReaderCall(number, _) => Lane::ReaderOut(*number),
        Passing::ReaderEvent(number, _) => Lane::ReaderIn(*number),
        Passing::StoreCall(_) => Lane::Disk,
        Passing::StoreEvent(_) => Lane::DiskIn,
        Passing::PeerCall(_) => Lane::PeerOut,
        Passing::PeerEvent(_) => Lane::PeerIn,
        Passing::Transfer(number, _) => Lane::Transfer(*number),
    }
}

impl Ord for Due {
    /// The heap's greatest is the earliest.
    fn cmp(&self, other: &Due) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}
