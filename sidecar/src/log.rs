//! The seam to the log as the runtime drives it: calls one way, events the other. What is behind it is Kafka (`kafka`), or
//! the model of it in this process (`embedded`).

use std::sync::Arc;
use std::time::Instant;

use outrigger_core::log::{LogCall, LogEvent};

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

    /// Returns what must go on for calls to be answered, as far as this engine can tell.
    fn watched(&self) -> Vec<Watched> {
        Vec::new()
    }
}

/// Where a log's events go, from any of its threads and from the caller's own. Never blocks; events after the end are
/// dropped.
pub type LogSink = Arc<dyn Fn(StoreIndex, LogEvent) + Send + Sync>;

/// Opens a log of this store's topic for reading, with clients of its own. It has that store alone, as `StoreIndex(0)`. Opening
/// and dropping it may block. None: it cannot be opened, which was logged.
pub type OpenBeside = Arc<dyn Fn(StoreIndex, LogSink) -> Option<Box<dyn Log>> + Send + Sync>;

/// Asks whoever drives the log for a turn.
pub type Wake = Box<dyn Fn() + Send + Sync>;
