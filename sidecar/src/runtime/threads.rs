//! The threads of a process, from their start to their end.

use std::io;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use outrigger_core::limits::Limits;
use outrigger_core::node::{Command, Node};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::admission::Admission;
use super::beside::Beside;
use super::circumstances::{Circumstances, LogHome, TopicNews};
use super::clock;
use super::cursors::Turns;
use super::disk_times::DiskTimes;
use super::disks::{DiskThreads, Disks};
use super::door::{Door, FAILED_READS_EVERY};
use super::feed::Feed;
use super::handle::StoreHandle;
use super::inbox::{Input, Waiter};
use super::lost::{LostReports, Reported};
use super::machine::Machine;
use super::peers::{Fetches, Peers};
use super::snapshot::DiskReads;
use super::throttle::RestoreThrottle;
use crate::index::StoreIndex;
use crate::log::{Log, LogSink};
use crate::peer::Taker;
use crate::rocks::{DataDir, Resources, RocksStore, Shared};
use crate::seldom::Seldom;
use crate::vital::{self, Work};
use crate::watchdog::{Hung, Patience, Signs, Watchdog};

pub struct RuntimeConfig {
    /// The stores, by store index.
    pub stores: Vec<StoreSpec>,
    pub limits: Limits,
    pub resources: Resources,
    /// Bytes per second that restores may read at first, all stores together; none: as fast as they can.
    pub restore_rate: Option<NonZeroU64>,
    /// None: no peer is asked for a copy.
    pub taker: Option<Taker>,
    pub patience: Patience,
}

#[derive(Clone, Debug)]
pub struct StoreSpec {
    pub name: String,
    pub topic: String,
    pub news: TopicNews,
    pub home: LogHome,
}

/// What the nodes will read, made before there are nodes: a log is started with its sink.
pub struct Inbox {
    sender: Sender<Input>,
    receiver: Receiver<Input>,
}

/// Every node of a process. When it is dropped, it ends as in a crash, without waiting for its threads.
pub struct Runtime {
    doors: Vec<Arc<Door>>,
    limits: Limits,
    throttle: RestoreThrottle,
    threads: Threads,
    fetches: Fetches,
    signs: Signs,
    _watchdog: AbortOnDropHandle<()>,
}

/// The threads, which are told to stop when this is dropped.
struct Threads {
    inbox: Sender<Input>,
    joins: Vec<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every store has flushed and closed.
    Flushed,
    /// Time was up. That is as safe as a crash: what was not flushed is read again.
    TimeUp,
}

/// What a drain may take beyond `Limits::drain_max`: its last flush.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// How long threads may take to end once they are told to; a disk may hang.
const END_MAX: Duration = Duration::from_secs(10);

impl Inbox {
    pub fn new() -> (Inbox, LogSink) {
        let (sender, receiver) = channel();
        let events = sender.clone();
        let sink: LogSink = Arc::new(move |store, event| {
            // The core may have ended before its log did.
            let _ended = events.send(Input::Log(store, event));
        });
        (Inbox { sender, receiver }, sink)
    }
}

impl Runtime {
    /// Starts the nodes on a `log` that was started with the sink of `inbox`. Nodes begin at once; nothing on disk is
    /// touched before the log has told what it is.
    ///
    /// It must be called on a tokio runtime.
    pub fn start(
        config: RuntimeConfig,
        data: DataDir,
        inbox: Inbox,
        log: Box<dyn Log>,
    ) -> io::Result<Runtime> {
        let Inbox { sender, receiver } = inbox;
        let (shared, data) = (Arc::new(Shared::new(config.resources)), Arc::new(data));
        let (disk, now) = (DiskReads::new(), clock::now());
        let (beside, cursors) = (Beside::new(log.beside()), log.cursors());
        let (mut hosted, mut disks, mut reported) = (Vec::new(), Vec::new(), Vec::new());
        for (index, spec) in config.stores.iter().enumerate() {
            let store = RocksStore::new(data.path(), &spec.name, shared.clone());
            let node = Node::new(spec.name.clone(), config.limits.clone(), now);
            let node = if config.taker.is_some() { node.with_peers() } else { node };
            let status = watch::Sender::new(Arc::new(node.status()));
            let door = Door {
                index: StoreIndex(index),
                name: spec.name.clone(),
                topic: spec.topic.clone(),
                limits: config.limits.clone(),
                circumstances: Circumstances::new(
                    spec.name.clone(),
                    data.path().to_owned(),
                    spec.news.clone(),
                    spec.home,
                    config.taker.is_some(),
                ),
                admission: Admission::new(config.stores.len(), &config.limits),
                gate: ArcSwap::from_pointee(node.gate().clone()),
                status,
                views: store.views(),
                feed: Feed::new(config.limits.ring_bytes_max),
                beside: beside.clone(),
                cursors: cursors.clone(),
                turns: Turns::default(),
                times: DiskTimes::new(),
                disk: disk.clone(),
                inbox: sender.clone(),
                ids: AtomicU64::new(0),
                damage_reported: AtomicBool::new(false),
                failed_reads: Mutex::new(Seldom::new(FAILED_READS_EVERY)),
            };
            reported.push(Reported { name: spec.name.clone(), views: store.views() });
            disks.push((spec.name.clone(), store, door.times.clone()));
            hosted.push((node, Arc::new(door)));
        }
        let doors = hosted.iter().map(|(_, door)| door.clone()).collect();
        let lost = LostReports::start(Arc::clone(&data), reported, shared)?;
        let (disks, DiskThreads { mut joins, mut watched }) = Disks::start(disks, &data, &sender)?;
        let fetches = Fetches::default();
        let peers = Peers::new(config.taker, sender.clone(), &fetches);
        let turns = sender.clone();
        log.wake_with(Box::new(move || {
            // The core may have ended before its log did.
            let _ended = turns.send(Input::LogTurn);
        }));
        let inbox = Work::new(receiver);
        let machine = Machine::new(inbox, log, disks, lost, peers, hosted, config.restore_rate);
        watched.extend(machine.watched());
        let core = machine.heartbeat();
        joins.push(vital::spawn("core".to_owned(), || machine.run())?);
        let throttle = RestoreThrottle::new(sender.clone());
        let threads = Threads { inbox: sender, joins };
        let (hangs, hung) = watch::channel(Hung::default());
        let watchdog = Watchdog::new(config.patience, watched);
        let watchdog = AbortOnDropHandle::new(tokio::spawn(watchdog.run(hangs)));
        let limits = config.limits;
        let signs = Signs { hung, core };
        Ok(Runtime { doors, limits, throttle, threads, fetches, signs, _watchdog: watchdog })
    }

    /// Returns the stores' handles, by store index.
    pub fn handles(&self) -> Vec<StoreHandle> {
        self.doors.iter().cloned().map(StoreHandle::new).collect()
    }

    pub fn throttle(&self) -> RestoreThrottle {
        self.throttle.clone()
    }

    /// Returns what tells whether the work goes on: while something hangs, the process had better be restarted.
    pub fn signs(&self) -> Signs {
        self.signs.clone()
    }

    /// Takes nothing new, waits for the writes under way, flushes and closes.
    pub async fn drain(self) -> Drained {
        let started = Instant::now();
        let drain_max = self.limits.drain_max;
        let answers: Vec<_> = self.doors.iter().map(|door| drain(door)).collect();
        let all = async {
            for answer in answers {
                // The core answers every drain, unless it has ended.
                let _drained = answer.await;
            }
        };
        if tokio::time::timeout(drain_max + CLOSE_MAX, all).await.is_err() {
            // A disk that hangs cannot be waited for.
            return Drained::TimeUp;
        }
        // A node that cannot flush closes without it when its time is up: the log has not confirmed it.
        let in_time = started.elapsed() < drain_max;
        self.end().await;
        if in_time { Drained::Flushed } else { Drained::TimeUp }
    }

    /// Ends without flushing, as kill -9 would: what was not flushed is forgotten.
    pub async fn crash(self) {
        self.end().await;
    }

    async fn end(mut self) {
        let joins = self.threads.stop();
        let (joined, ended) = oneshot::channel();
        // It is a thread of nobody: one of tokio's would keep its runtime from ending as long as a disk hangs.
        thread::spawn(move || {
            for join in joins {
                join.join().expect("a vital thread that panics takes the process with it");
            }
            // It may be too late for whoever waited.
            let _gone = joined.send(());
        });
        if tokio::time::timeout(END_MAX, ended).await.is_err() {
            tracing::warn!(
                "a disk does not answer: its thread is left behind, and so is the lock of the data directory"
            );
        }
        self.fetches.end().await;
    }
}

fn drain(door: &Door) -> oneshot::Receiver<outrigger_core::node::Reply> {
    let (answer, drained) = oneshot::channel();
    // The door refuses this when the core has ended: then there is nothing to drain.
    let _ended = door.enter(Command::Drain, Waiter::of(answer, None));
    drained
}

impl Threads {
    fn stop(&mut self) -> Vec<JoinHandle<()>> {
        // The core may have ended by itself.
        let _ended = self.inbox.send(Input::Stop);
        std::mem::take(&mut self.joins)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}
