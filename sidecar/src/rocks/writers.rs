//! The threads that write sorted runs, and what all loads of a process together may hold in memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use outrigger_core::store::StoreError;

use super::error::refused;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that start with the first job, and end when this is dropped.
pub(super) struct Writers {
    threads: usize,
    jobs: OnceLock<Sender<Job>>,
    held: Arc<AtomicUsize>,
    held_max: usize,
}

/// Bytes that a load holds until its run is written.
pub(super) struct Held {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Writers {
    /// `held_max`: bytes that all loads may hold together.
    pub(super) fn new(threads: usize, held_max: usize) -> Writers {
        Writers { threads, jobs: OnceLock::new(), held: Arc::default(), held_max }
    }

    pub(super) fn submit(&self, job: Job) -> Result<(), StoreError> {
        let jobs = match self.jobs.get() {
            Some(jobs) => jobs,
            None => {
                let started = start(self.threads).map_err(|error| {
                    refused(format!("cannot start a thread that writes runs: {error}"))
                })?;
                self.jobs.get_or_init(|| started)
            }
        };
        jobs.send(job).expect("writers end after whoever has jobs, or take the process with them");
        Ok(())
    }

    pub(super) fn held_max(&self) -> usize {
        self.held_max
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full_with(0)
    }

    /// Whether they would be full with so many bytes more.
    pub(super) fn is_full_with(&self, bytes: usize) -> bool {
        self.held.load(Ordering::Relaxed).saturating_add(bytes) > self.held_max
    }

    pub(super) fn hold(&self) -> Held {
        Held { bytes: 0, all: Arc::clone(&self.held) }
    }
}

fn start(threads: usize) -> std::io::Result<Sender<Job>> {
    let (jobs, queue) = channel();
    let queue = Arc::new(Mutex::new(queue));
    for number in 0..threads {
        let queue = Arc::clone(&queue);
        thread::Builder::new().name(format!("run-{number}")).spawn(move || write(&queue))?;
    }
    Ok(jobs)
}

fn write(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().expect("nothing panics while it waits").recv();
        let Ok(job) = job else { return };
        job();
    }
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.all.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes all of it; this holds nothing from now on.
    pub(super) fn take(&mut self) -> Held {
        Held { bytes: std::mem::take(&mut self.bytes), all: Arc::clone(&self.all) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
