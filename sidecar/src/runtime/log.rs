//! The seam to the log as the runtime drives it: calls one way, events the other.

use std::sync::Arc;
use std::time::Instant;

use outrigger_core::log::{LogCall, LogEvent};

use crate::index::StoreIndex;
use crate::kafka::{KafkaLog, Wake};
use crate::watchdog::Watched;

/// Promises what `outrigger_core::log` says of every engine, for all stores of a process. Called by one thread.
pub trait Log: Send {
    /// Never blocks.
    fn call(&self, store: StoreIndex, call: LogCall);

    /// Before the first call: what to call, from any thread, for a `turn`.
    fn wake_with(&self, wake: Wake) {
        drop(wake);
    }

    /// Takes what the log has for its caller's thread. Never blocks.
    fn turn(&self) {}

    /// When `send_due` is wanted, by the process's clock.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Hands on what waited for others. Never blocks.
    fn send_due(&self) {}

    /// What must go on for calls to be answered, as far as this engine can tell.
    fn watched(&self) -> Vec<Watched> {
        Vec::new()
    }
}

/// Where a log's events go, from any thread. Never blocks; events after the end are dropped.
pub type LogSink = Arc<dyn Fn(StoreIndex, LogEvent) + Send + Sync>;

impl Log for KafkaLog {
    fn call(&self, store: StoreIndex, call: LogCall) {
        KafkaLog::call(self, store, call);
    }

    fn wake_with(&self, wake: Wake) {
        KafkaLog::wake_with(self, wake);
    }

    fn turn(&self) {
        KafkaLog::turn(self);
    }

    fn due(&self) -> Option<Instant> {
        KafkaLog::due(self)
    }

    fn send_due(&self) {
        KafkaLog::send_due(self);
    }

    fn watched(&self) -> Vec<Watched> {
        KafkaLog::watched(self)
    }
}
