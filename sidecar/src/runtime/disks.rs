//! The threads of the copies on disk: each store belongs to one, so that its calls are carried out in order.
//!
//! The queues need no bound of their own: a node has few calls under way (`Limits::applying_batches_max`
//! and pins per partition, and one each of the others). A slow disk delays its own thread, never the core.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use outrigger_core::store::{StoreCall, StoreCallKind, StoreErrorKind, StoreEvent};

use super::inbox::Input;
use super::vital;
use crate::index::StoreIndex;
use crate::rocks::{DataDir, RocksStore};

/// RocksDB flushes and compacts on threads of its own; these carry calls only.
const THREADS_MAX: usize = 4;

pub(super) struct Disks {
    threads: Vec<Sender<(StoreIndex, StoreCall)>>,
}

/// One store on its thread.
struct Disk {
    name: String,
    store: RocksStore,
    /// Told, and not told again before such a call succeeds: a full disk fails every call for hours.
    failing: BTreeMap<StoreCallKind, StoreErrorKind>,
}

impl Disks {
    /// `stores` by index, all in `data`, which stays locked until the last thread has ended. They end when
    /// this is dropped and what was called is done.
    pub(super) fn start(
        stores: Vec<(String, RocksStore)>,
        data: &Arc<DataDir>,
        inbox: &Sender<Input>,
    ) -> io::Result<(Disks, Vec<JoinHandle<()>>)> {
        let count = stores.len().clamp(1, THREADS_MAX);
        let mut shares: Vec<BTreeMap<StoreIndex, Disk>> =
            (0..count).map(|_| BTreeMap::new()).collect();
        for (index, (name, store)) in stores.into_iter().enumerate() {
            shares[index % count]
                .insert(StoreIndex(index), Disk { name, store, failing: BTreeMap::new() });
        }
        let (mut threads, mut joins) = (Vec::new(), Vec::new());
        for (number, disks) in shares.into_iter().enumerate() {
            let (calls, queue) = channel();
            let (inbox, locked) = (inbox.clone(), data.clone());
            let body = move || {
                run(disks, &queue, &inbox);
                drop(locked);
            };
            joins.push(vital::spawn(format!("disk-{number}"), body)?);
            threads.push(calls);
        }
        Ok((Disks { threads }, joins))
    }

    pub(super) fn call(&self, store: StoreIndex, call: StoreCall) {
        let thread = &self.threads[store.0 % self.threads.len()];
        thread
            .send((store, call))
            .expect("a disk thread ends after the core, or takes the process with it");
    }
}

fn run(
    mut disks: BTreeMap<StoreIndex, Disk>,
    queue: &Receiver<(StoreIndex, StoreCall)>,
    inbox: &Sender<Input>,
) {
    while let Ok((index, call)) = queue.recv() {
        let disk = disks.get_mut(&index).expect("a store's calls come to its own thread");
        let event = disk.store.handle(call);
        disk.tell(&event);
        if inbox.send(Input::Store(index, event)).is_err() {
            // The core ended without draining: what is still queued is what a crash forgets.
            return;
        }
    }
}

impl Disk {
    fn tell(&mut self, event: &StoreEvent) {
        match event {
            StoreEvent::Failed { call, error } => {
                if self.failing.insert(*call, error.kind) != Some(error.kind) {
                    tracing::warn!(store = self.name, ?call, %error, "the disk refused a call");
                }
            }
            StoreEvent::Found(_) => drop(self.failing.remove(&StoreCallKind::Open)),
            StoreEvent::Applied { .. } => drop(self.failing.remove(&StoreCallKind::Apply)),
            StoreEvent::Pinned { .. } => drop(self.failing.remove(&StoreCallKind::Pin)),
            StoreEvent::Done { call, .. } => drop(self.failing.remove(call)),
        }
    }
}
