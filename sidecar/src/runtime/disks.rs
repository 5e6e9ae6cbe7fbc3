//! The threads of the copies on disk: each store has one, so that its calls are carried out in order, and so that
//! a store that waits for RocksDB (to compact what a restore loaded, to open a large copy) holds up no other.
//!
//! The queues need no bound of their own: a node has few calls under way (`Limits::applying_batches_max`
//! and pins per partition, and one each of the others). A slow disk delays its own thread, never the core.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use outrigger_core::store::{StoreCall, StoreCallKind, StoreErrorKind, StoreEvent};

use super::disk_times::DiskTimes;
use super::inbox::Input;
use crate::index::StoreIndex;
use crate::rocks::{DataDir, RocksStore};
use crate::telemetry::metrics::DiskCalls;
use crate::vital::{self, Work};
use crate::watchdog::{Watched, Worker};

pub(super) struct Disks {
    /// The threads' inboxes, by store index.
    threads: Vec<Sender<Made>>,
}

/// A call, and when it was made.
type Made = (Instant, StoreCall);

/// What is left of the threads for their owner.
pub(super) struct DiskThreads {
    pub(super) joins: Vec<JoinHandle<()>>,
    pub(super) watched: Vec<Watched>,
}

/// One store on its thread.
struct Disk {
    name: String,
    store: RocksStore,
    times: DiskTimes,
    counted: DiskCalls,
    /// The failures that were told. They are not told again before such a call succeeds: a full disk fails every call
    /// for hours.
    failing: BTreeMap<StoreCallKind, StoreErrorKind>,
}

impl Disks {
    /// Starts the threads of `stores`, by index, all in `data`, which stays locked until the last thread has ended.
    /// They end when this is dropped and what was called is done.
    pub(super) fn start(
        stores: Vec<(String, RocksStore, DiskTimes)>,
        data: &Arc<DataDir>,
        inbox: &Sender<Input>,
    ) -> io::Result<(Disks, DiskThreads)> {
        let (mut threads, mut joins, mut watched) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (name, mut store, times)) in stores.into_iter().enumerate() {
            let (calls, queue) = channel();
            let work = Work::new(queue);
            let (pulse, worker) = (work.pulse(), Worker::Disk);
            store.beat(pulse.clone());
            watched.push(Watched { name: format!("disk of {name}"), worker, pulse });
            let (counted, failing) = (DiskCalls::of(&name), BTreeMap::new());
            let disk = Disk { name, store, times, counted, failing };
            let (inbox, locked) = (inbox.clone(), data.clone());
            let body = move || {
                disk.run(StoreIndex(index), &work, &inbox);
                drop(locked);
            };
            joins.push(vital::spawn(format!("disk-{index}"), body)?);
            threads.push(calls);
        }
        Ok((Disks { threads }, DiskThreads { joins, watched }))
    }

    pub(super) fn call(&self, store: StoreIndex, call: StoreCall) {
        self.threads[store.0]
            .send((Instant::now(), call))
            .expect("a disk thread ends after the core, or takes the process with it");
    }
}

impl Disk {
    fn run(mut self, index: StoreIndex, work: &Work<Made>, inbox: &Sender<Input>) {
        while let Ok((made, call)) = work.recv() {
            let (kind, begins) = (call.kind(), Instant::now());
            self.times.begins(made);
            let event = self.store.handle(call);
            let took = begins.elapsed();
            self.times.answered(kind, took);
            self.counted.took(kind, took);
            self.tell(&event);
            if inbox.send(Input::Store(index, event)).is_err() {
                // The core ended without draining: what is still queued is what a crash forgets.
                return;
            }
        }
    }

    fn tell(&mut self, event: &StoreEvent) {
        match event {
            StoreEvent::Failed { call, error } => {
                if self.failing.insert(*call, error.kind) != Some(error.kind) {
                    tracing::warn!(store = self.name, ?call, %error, "the disk refused a call");
                }
            }
            StoreEvent::Found(_)
            | StoreEvent::Looked(_)
            | StoreEvent::Applied { .. }
            | StoreEvent::Pinned { .. }
            | StoreEvent::Done { .. } => drop(self.failing.remove(&event.answers())),
        }
    }
}
