//! The seam to the log as the runtime drives it: calls one way, events the other. What is behind it is Kafka (`kafka`), or
//! the model of it in this process (`embedded`).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use outrigger_core::log::{KafkaError, LogCall, LogEvent};
use outrigger_core::offset::Partition;
use outrigger_core::watch::cursor::Committed;

use crate::index::StoreIndex;
use crate::watchdog::Watched;

/// A log. It promises what `outrigger_core::log` says of every engine, for all stores of a process. One thread calls
/// it.
pub trait Log: Send {
    /// Begins a call, which an event answers. Never blocks.
    fn call(&self, store: StoreIndex, call: LogCall);

    /// Tells, before the first call, what to call, from any thread, for a `turn`.
    fn wake_with(&self, wake: Wake) {
        drop(wake);
    }

    /// Takes what the log has for its caller's thread. Never blocks.
    fn turn(&self) {}

    /// Returns when `send_due` is wanted, by the process's clock.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Hands on what waited for others. Never blocks.
    fn send_due(&self) {}

    /// Returns how a log of one store's topic is opened beside this one; none where the engine has no more clients.
    fn beside(&self) -> Option<OpenBeside> {
        None
    }

    /// Returns where the cursors of the stores are kept; none where the engine keeps none.
    fn cursors(&self) -> Option<Arc<dyn Cursors>> {
        None
    }

    /// Returns what must go on for calls to be answered, as far as this engine can tell.
    fn watched(&self) -> Vec<Watched> {
        Vec::new()
    }
}

/// Where cursors are kept, by the name of their group and the partition of a store's topic: durably, and for all nodes of the
/// topic. It knows nothing of what is kept. Any number of calls may be under way at the same time; each ends within seconds,
/// and may have happened when it is dropped or fails.
pub trait Cursors: Send + Sync {
    /// Keeps this in these partitions, in place of what was there. There is one at least.
    fn commit(&self, store: StoreIndex, group: &str, committed: Vec<Committed>) -> Kept<()>;

    /// Returns what is kept, in any order; nothing where there is no such group.
    fn committed(&self, store: StoreIndex, group: &str) -> Kept<Vec<Committed>>;

    /// Returns the groups whose names begin with `prefix`, in any order, also those of others.
    fn groups(&self, prefix: &str) -> Kept<Vec<String>>;

    /// Forgets what is kept in these partitions, whether or not there is something. There is one at least.
    fn delete(&self, store: StoreIndex, group: &str, partitions: Vec<Partition>) -> Kept<()>;
}

/// An answer of [`Cursors`].
pub type Kept<T> = Pin<Box<dyn Future<Output = Result<T, CursorsError>> + Send>>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorsError {
    /// Consumers that are no nodes are members of the group. Nothing was changed.
    #[error("the consumer group {group} has members")]
    InUse { group: String },
    /// Nothing was changed.
    #[error("the right {right} on {of} is missing")]
    Denied { right: &'static str, of: String, error: KafkaError },
    /// It may have happened all the same.
    #[error("{}", .0.name)]
    Failed(KafkaError),
}

/// Where a log's events go, from any of its threads and from the caller's own. Never blocks; events after the end are
/// dropped.
pub type LogSink = Arc<dyn Fn(StoreIndex, LogEvent) + Send + Sync>;

/// Opens a log of this store's topic for reading, with clients of its own. It has that store alone, as `StoreIndex(0)`. Opening
/// and dropping it may block. None: it cannot be opened, which was logged.
pub type OpenBeside = Arc<dyn Fn(StoreIndex, LogSink) -> Option<Box<dyn Log>> + Send + Sync>;

/// Asks whoever drives the log for a turn.
pub type Wake = Box<dyn Fn() + Send + Sync>;
