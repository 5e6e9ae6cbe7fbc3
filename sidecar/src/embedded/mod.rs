//! The log inside this process, for `dev` and `demo`: the log model, in real time and on disk.
//!
//! One thread owns the model and its journal. What is acknowledged is in the journal, synced; nothing
//! is told to any client before that. Several nodes of one process share a log: each is a client.
//! Not for production: one disk, one process, all of the log in memory.

mod cursors;
mod engine;
mod entry;
mod journal;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use outrigger_core::log::LogCall;
use outrigger_core::topic::{TopicId, TopicPolicy};
use outrigger_model::log::{BrokerConfig, CleanerPace, LogConfig, SegmentLimits};

use self::cursors::FileCursors;
use self::engine::{Engine, Input};
use self::journal::{Journal, OpenJournalError};
use crate::index::StoreIndex;
use crate::log::{Cursors, Log, LogSink, OpenBeside};

/// A log of one topic. Dropping it ends its thread; calls of clients that are left are not answered any more.
pub struct EmbeddedLog {
    inbox: Sender<Input>,
    clients: Arc<AtomicU32>,
    topic: TopicId,
    cursors: FileCursors,
    thread: Option<JoinHandle<()>>,
    /// It is held as long as the thread may write.
    _lock: File,
}

/// One node's connection. Dropping it is the node's end: calls that are not answered yet never are.
pub struct EmbeddedClient {
    number: u32,
    store: StoreIndex,
    inbox: Sender<Input>,
    clients: Arc<AtomicU32>,
    cursors: FileCursors,
}

/// How the topic is made, and how fast it is cleaned.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    pub partitions: u32,
    pub policy: TopicPolicy,
    pub segments: SegmentLimits,
    pub cleaner: CleanerPace,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenLogError {
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is used by another process: stop it or choose another directory", .0.display())]
    InUse(PathBuf),
    #[error("{path} was made with {found} partitions, not {asked}: ask for {found} or choose another directory", path = path.display())]
    Partitions { path: PathBuf, found: u32, asked: u32 },
    #[error("{path} is damaged at byte {at}: restore it, or remove the directory to begin with an empty log", path = path.display())]
    Damaged { path: PathBuf, at: u64 },
    #[error("{} is not a journal of this version: choose another directory", .0.display())]
    Foreign(PathBuf),
    #[error("{} does not hold cursors of this version: restore it, or remove it to begin without cursors", .0.display())]
    Cursors(PathBuf),
}

const LOCK: &str = "LOCK";
const JOURNAL: &str = "log.journal";
const CURSORS: &str = "cursors.json";

/// Nothing that answers is ever out of reach here; these bound what a failing disk leaves open.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

impl EmbeddedConfig {
    pub fn new(partitions: u32, policy: TopicPolicy) -> EmbeddedConfig {
        EmbeddedConfig {
            partitions,
            policy,
            segments: SegmentLimits { offsets_max: 20_000, age_ms: 60_000 },
            cleaner: CleanerPace { every: Duration::from_secs(5), dirty_percent_min: 50 },
        }
    }
}

impl EmbeddedLog {
    /// Opens the log in `dir`, or makes a new, empty one with ids of its own.
    pub fn open(dir: &Path, config: EmbeddedConfig) -> Result<EmbeddedLog, OpenLogError> {
        fs::create_dir_all(dir).map_err(|source| io_error(dir, source))?;
        let lock = lock(dir)?;
        let path = dir.join(JOURNAL);
        let refused = |error| open_error(&path, error, config.partitions);
        let journal = Journal::open(&path, config.partitions).map_err(refused)?;
        let (cluster, topic) = (journal.header().cluster.clone(), journal.header().topic);
        let topic_config = LogConfig {
            cluster,
            topic,
            partitions: config.partitions,
            policy: config.policy.clone(),
            segments: config.segments,
            brokers: BrokerConfig::single(),
            transaction_timeout: None,
            cleaner: Some(config.cleaner),
            delivery_timeout: ANSWER_WITHIN,
            ask_timeout: ANSWER_WITHIN,
            end_with_records: true,
        };
        let engine = Engine::start(topic_config, journal).map_err(refused)?;
        let cursors = FileCursors::open(dir.join(CURSORS))?;
        let (inbox, outbox) = channel();
        let thread = std::thread::Builder::new().name("embedded-log".to_owned());
        let thread =
            thread.spawn(move || engine.run(&outbox)).map_err(|source| io_error(&path, source))?;
        let clients = Arc::new(AtomicU32::new(0));
        Ok(EmbeddedLog { inbox, clients, topic, cursors, thread: Some(thread), _lock: lock })
    }

    /// The topic's id: the same every time this directory is opened.
    pub fn topic(&self) -> TopicId {
        self.topic
    }

    /// Connects a node's store; `sink` gets its events, on the log's thread.
    pub fn client(&self, store: StoreIndex, sink: LogSink) -> EmbeddedClient {
        EmbeddedClient::connect(&self.inbox, &self.clients, &self.cursors, store, sink)
    }

    fn send(&self, input: Input) {
        // The thread ends only when this log is dropped.
        let _ended = self.inbox.send(input);
    }
}

impl EmbeddedClient {
    fn connect(
        inbox: &Sender<Input>,
        clients: &Arc<AtomicU32>,
        cursors: &FileCursors,
        store: StoreIndex,
        sink: LogSink,
    ) -> EmbeddedClient {
        let number = clients.fetch_add(1, Ordering::Relaxed);
        // The thread ends only when its log is dropped.
        let _ended = inbox.send(Input::Connect { client: number, store, sink });
        let (inbox, clients, cursors) = (inbox.clone(), Arc::clone(clients), cursors.clone());
        EmbeddedClient { number, store, inbox, clients, cursors }
    }
}

impl Log for EmbeddedClient {
    fn beside(&self) -> Option<OpenBeside> {
        let (inbox, clients) = (self.inbox.clone(), Arc::clone(&self.clients));
        let cursors = self.cursors.clone();
        Some(Arc::new(move |_, sink| {
            let client = EmbeddedClient::connect(&inbox, &clients, &cursors, StoreIndex(0), sink);
            Some(Box::new(client))
        }))
    }

    fn cursors(&self) -> Option<Arc<dyn Cursors>> {
        Some(Arc::new(self.cursors.clone()))
    }

    /// `store` is the one that this client was made for.
    fn call(&self, store: StoreIndex, call: LogCall) {
        assert_eq!(store, self.store, "an embedded log is one store's topic");
        // After the log's end there is nobody to answer, as [`EmbeddedLog`] says.
        let _ended = self.inbox.send(Input::Call { client: self.number, call });
    }
}

impl Drop for EmbeddedClient {
    fn drop(&mut self) {
        let _ended = self.inbox.send(Input::Disconnect { client: self.number });
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.send(Input::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the panic hook; here is nothing left to save.
            let _panicked = thread.join();
        }
    }
}

fn lock(dir: &Path) -> Result<File, OpenLogError> {
    let path = dir.join(LOCK);
    let file = File::create(&path).map_err(|source| io_error(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenLogError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(io_error(&path, source)),
    }
}

fn io_error(path: &Path, source: io::Error) -> OpenLogError {
    OpenLogError::Io { path: path.to_owned(), source }
}

fn open_error(path: &Path, error: OpenJournalError, asked: u32) -> OpenLogError {
    let path = path.to_owned();
    match error {
        OpenJournalError::Io(source) => OpenLogError::Io { path, source },
        OpenJournalError::Foreign => OpenLogError::Foreign(path),
        OpenJournalError::Damaged { at } => OpenLogError::Damaged { path, at },
        OpenJournalError::Partitions { found } => OpenLogError::Partitions { path, found, asked },
    }
}
