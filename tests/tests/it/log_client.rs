//! One `KafkaLog` with one store, its events in a channel.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use outrigger::index::StoreIndex;
use outrigger::kafka::{KafkaConfig, KafkaLog};
use outrigger::log::Log as _;
use outrigger_core::batch::Batch;
use outrigger_core::log::{KafkaError, LogCall, LogEvent, Loss, Write};
use outrigger_core::offset::{Epoch, Offset, Partition, RequestId, Revision};
use outrigger_core::topic::LogFacts;

/// An answer later than this is missing: deliveries and admin questions end before.
const PATIENCE: Duration = Duration::from_secs(60);
const CREDIT: u32 = 1 << 20;

pub(crate) struct LogClient {
    log: KafkaLog,
    events: Receiver<LogEvent>,
}

pub(crate) fn config(bootstrap: &str) -> KafkaConfig {
    KafkaConfig { bootstrap: bootstrap.to_owned(), properties: BTreeMap::new() }
}

impl LogClient {
    /// Starts a client that has asked for the first facts, as every node does before anything else.
    pub(crate) fn start(bootstrap: &str, topic: &str) -> LogClient {
        let (sender, events) = mpsc::channel();
        let sink = Arc::new(move |store, event| {
            assert_eq!(store, StoreIndex(0), "an event of the only store");
            // Nobody receives any more when a test has ended.
            drop(sender.send(event));
        });
        let log = KafkaLog::start(&config(bootstrap), &[topic.to_owned()], sink);
        let log = log.expect("a bootstrap and a topic name are all it needs");
        let client = LogClient { log, events };
        client.describe();
        client
    }

    pub(crate) fn call(&self, call: LogCall) {
        self.log.call(StoreIndex(0), call);
    }

    pub(crate) fn event(&self, within: Duration) -> Option<LogEvent> {
        self.events.recv_timeout(within).ok()
    }

    /// The next event that is not `Trouble`.
    pub(crate) fn answer(&self) -> LogEvent {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.event(until.saturating_duration_since(Instant::now())) {
                Some(LogEvent::Trouble(_)) => {}
                Some(event) => return event,
                None => panic!("no answer within {PATIENCE:?}"),
            }
        }
    }

    /// Asks for the facts, and again while that fails: a topic may be too young to have a leader.
    pub(crate) fn describe(&self) -> LogFacts {
        let until = Instant::now() + PATIENCE;
        loop {
            self.call(LogCall::Describe);
            match self.answer() {
                LogEvent::Facts(facts) => return facts,
                LogEvent::Failed { error, .. } => assert!(Instant::now() < until, "{error}"),
                other => panic!("Describe was answered by {other:?}"),
            }
        }
    }

    pub(crate) fn append(&self, writes: Vec<Write>) -> Vec<Result<Revision, KafkaError>> {
        self.call(LogCall::Append { id: RequestId(1), writes: writes.into() });
        match self.answer() {
            LogEvent::Appended { results, .. } => results,
            other => panic!("Append was answered by {other:?}"),
        }
    }

    pub(crate) fn assign(&self, partition: Partition, at: Offset, epoch: Option<Epoch>) {
        self.call(LogCall::Assign { partition, at, epoch });
        assert_eq!(self.answer(), LogEvent::Assigned { partition });
    }

    pub(crate) fn fetch(&self, partition: Partition) -> Result<Batch, Loss> {
        self.call(LogCall::Fetch { partition, bytes_max: CREDIT });
        match self.answer() {
            LogEvent::Fetched(batch) => Ok(batch),
            LogEvent::Lost { loss, .. } => Err(loss),
            other => panic!("Fetch was answered by {other:?}"),
        }
    }

    /// Reads from the assigned position until the end is met at `end` or later: every batch.
    pub(crate) fn read_to(&self, partition: Partition, end: Offset) -> Vec<Batch> {
        let mut batches = Vec::new();
        loop {
            let batch = self.fetch(partition).unwrap_or_else(|loss| panic!("lost: {loss:?}"));
            let done = batch.at_end && batch.range.end >= end;
            batches.push(batch);
            if done {
                return batches;
            }
        }
    }
}
