//! The seam to the log as the runtime drives it: calls one way, events the other.

use std::sync::Arc;

use outrigger_core::log::{LogCall, LogEvent};

use crate::index::StoreIndex;
use crate::kafka::KafkaLog;
use crate::watchdog::Watched;

/// Promises what `outrigger_core::log` says of every engine, for all stores of a process. Called by one thread.
pub trait Log: Send {
    /// Never blocks.
    fn call(&self, store: StoreIndex, call: LogCall);

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

    fn watched(&self) -> Vec<Watched> {
        KafkaLog::watched(self)
    }
}
