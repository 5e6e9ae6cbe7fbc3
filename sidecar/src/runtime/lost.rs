//! Tells what the log lost: once a store is READY again, what was set aside of it is compared with the copy in use.
//!
//! One thread for all stores of the process, below everything else in priority. It holds nothing but two iterators,
//! ends within a moment when it is told to, and what it did not finish is begun again when the store is READY next.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use outrigger_core::offset::Generation;
use outrigger_core::store::StoreError;

use crate::index::StoreIndex;
use crate::rocks::{self, DataDir, GenerationViews, LostRows, Shared};

/// The thread's nice value, from 0 (everybody's) to 19.
const NICE: i32 = 15;

pub(super) struct LostReports {
    /// Where it is told which store is READY with which generation. Few wait: one for each time a store becomes READY.
    ready: Option<Sender<(StoreIndex, Generation)>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a thread needs of one store.
pub(super) struct Reported {
    pub(super) name: String,
    pub(super) views: GenerationViews,
}

struct Reporter {
    data: Arc<DataDir>,
    /// The stores, by store index.
    stores: Vec<Reported>,
    shared: Arc<Shared>,
    ended: Arc<AtomicBool>,
}

impl LostReports {
    pub(super) fn start(
        data: Arc<DataDir>,
        stores: Vec<Reported>,
        shared: Arc<Shared>,
    ) -> io::Result<LostReports> {
        let (ready, queue) = channel();
        let ended = Arc::new(AtomicBool::new(false));
        let reporter = Reporter { data, stores, shared, ended: Arc::clone(&ended) };
        let thread = thread::Builder::new().name("lost".to_owned());
        let thread = thread.spawn(move || reporter.run(&queue))?;
        Ok(LostReports { ready: Some(ready), ended, thread: Some(thread) })
    }

    pub(super) fn on_ready(&self, store: StoreIndex, generation: Generation) {
        let ready = self.ready.as_ref().expect("it is taken by drop alone");
        if ready.send((store, generation)).is_err() {
            tracing::warn!(
                "what the log lost is not told any more: the thread that does it panicked"
            );
        }
    }
}

impl Drop for LostReports {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(self.ready.take());
        // A panic was told where it happened; the copy in use does not depend on this thread.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

impl Reporter {
    fn run(&self, ready: &Receiver<(StoreIndex, Generation)>) {
        yield_to_others();
        while let Ok((store, generation)) = ready.recv() {
            let store = &self.stores[store.0];
            if let Err(error) = self.report(store, generation) {
                tracing::warn!(
                    store = store.name, %error,
                    "cannot tell what the log lost: tried again when the store is READY next"
                );
            }
        }
    }

    fn report(&self, store: &Reported, current: Generation) -> Result<(), StoreError> {
        let Reported { name, views } = store;
        let data = self.data.path();
        for generation in rocks::unreported(data, name)? {
            let Some(view) = views.view(current) else { return Ok(()) };
            // Whoever closes the copy in use may be about to open it again, which waits for all readers.
            let ended = || self.ended.load(Ordering::Relaxed) || !views.is_open(current);
            let written = rocks::write_lost(data, name, generation, &view, &self.shared, &ended)?;
            let Some(rows) = written else { return Ok(()) };
            tell(data, name, generation, &rows);
        }
        Ok(())
    }
}

fn tell(data: &Path, store: &str, generation: Generation, rows: &LostRows) {
    let LostRows { certain, possible } = rows;
    let file = rocks::lost_file(data, store, generation);
    let file = file.display();
    match certain + possible {
        0 => tracing::info!(store, %generation, %file, "nothing of what was set aside is lost"),
        lost => tracing::warn!(
            store, %generation, lost, certain, possible, %file,
            "the log lost what this file lists"
        ),
    }
}

/// Lowers this thread's priority: a node that restores or serves comes first.
fn yield_to_others() {
    // On Linux the priority is the calling thread's alone.
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes three numbers.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } != 0 {
        let error = io::Error::last_os_error();
        tracing::debug!(%error, "the priority of a thread stays as it is");
    }
}
