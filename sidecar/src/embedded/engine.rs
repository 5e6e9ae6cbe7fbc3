//! The thread of an embedded log: calls in, the model, the journal, then the events out.
//!
//! `journal synced >= what any event tells`: a round's events leave after its frame is on disk. So calls that come
//! while a sync is under way share the next sync.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use bytes::Bytes;
use outrigger_core::log::{KafkaError, LogCall, LogCallKind, LogEvent, Write};
use outrigger_core::offset::{Partition, Revision};
use outrigger_model::log::{LogChange, LogConfig, LogModel, RecordBatch};

use super::entry::{Entry, encode_batch, encode_partition};
use super::journal::{Journal, OpenJournalError};
use crate::index::StoreIndex;
use crate::log::LogSink;
use crate::runtime::clock;

/// Its senders bound how many there are: a node has one fetch per partition and one ask of a kind under way, and its
/// appends hold admission permits.
pub(super) enum Input {
    Connect { client: u32, store: StoreIndex, sink: LogSink },
    Disconnect { client: u32 },
    Call { client: u32, call: LogCall },
    Stop,
}

pub(super) struct Engine {
    model: LogModel,
    journal: Journal,
    partitions: u32,
    clients: BTreeMap<u32, (StoreIndex, LogSink)>,
    /// The disk refused a write: from then on no call is taken and only this error is told.
    broken: Option<KafkaError>,
    /// When the journal's size was last compared with what is in it.
    looked: Duration,
}

/// Calls per round: bounds a frame, and how late the first of them is answered.
const ROUND_MAX: usize = 4_096;
/// Longest wait without a call, so that a clock that was set cannot hold the cleaner back.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// How often it is judged whether the journal is worth rewriting.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// It is worth that when more than this, and more than half of it, was cleaned away.
const WASTE_BYTES_MIN: u64 = 32 << 20;

impl Engine {
    /// The model as the journal left it, in a new leader's term, as after a broker's restart.
    pub(super) fn start(
        config: LogConfig,
        mut journal: Journal,
    ) -> Result<Engine, OpenJournalError> {
        let partitions = config.partitions;
        let mut model = LogModel::new(config);
        journal.replay(|entry| match entry {
            Entry::Batch(partition, batch) => model.put(partition, batch),
            Entry::Partition(partition, state) => model.restore(partition, &state),
        })?;
        let mut terms = Vec::new();
        for partition in Partition::all(partitions) {
            model.elect(partition);
            encode_partition(partition, &model.state(partition), &mut terms);
        }
        journal.append(&terms)?;
        model.keep_history();
        let (clients, broken) = (BTreeMap::new(), None);
        Ok(Engine { model, journal, partitions, clients, broken, looked: Duration::ZERO })
    }

    /// Runs until `Stop`, or until nobody is left to send.
    pub(super) fn run(mut self, inbox: &Receiver<Input>) {
        loop {
            let first = match inbox.recv_timeout(self.wait()) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let round = first.into_iter().chain(inbox.try_iter()).take(ROUND_MAX);
            let mut out = Vec::new();
            for input in round {
                match input {
                    Input::Stop => return,
                    Input::Connect { client, store, sink } => {
                        self.clients.insert(client, (store, sink));
                    }
                    Input::Disconnect { client } => {
                        self.clients.remove(&client);
                        self.model.forget(client);
                    }
                    Input::Call { client, call } => self.call(client, call, &mut out),
                }
            }
            self.finish_round(out);
        }
    }

    fn wait(&self) -> Duration {
        let due = self.model.next_timer().unwrap_or(Duration::MAX);
        due.saturating_sub(clock::now().mono).min(IDLE_MAX)
    }

    fn call(&mut self, client: u32, call: LogCall, out: &mut Vec<(u32, LogEvent)>) {
        if let Some(error) = &self.broken {
            out.extend(refusal(call, error).map(|event| (client, event)));
            return;
        }
        self.model.handle(clock::now(), client, compact(call), out);
    }

    fn finish_round(&mut self, mut out: Vec<(u32, LogEvent)>) {
        if self.broken.is_none() {
            self.model.tick(clock::now(), &mut out);
            if let Err(error) = self.sync() {
                out = self.broke(&error, out);
            }
        }
        self.deliver(out);
        self.rewrite_when_wasteful();
    }

    fn deliver(&self, out: Vec<(u32, LogEvent)>) {
        for (client, event) in out {
            if let Some((store, sink)) = self.clients.get(&client) {
                sink(*store, event);
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut payload = Vec::new();
        for change in self.model.take_history() {
            // Nobody elects, deletes or recreates anything in here.
            if let LogChange::Appended { partition, batch } = change {
                encode_batch(partition, &batch, &mut payload);
            }
        }
        if payload.is_empty() {
            return Ok(());
        }
        self.journal.append(&payload)
    }

    /// The journal failed: what this round would have told is not on disk. It is told as unknown, as failed, or not at
    /// all.
    fn broke(&mut self, error: &io::Error, out: Vec<(u32, LogEvent)>) -> Vec<(u32, LogEvent)> {
        tracing::error!(%error, "the journal cannot be written: this log stays closed until it is opened again");
        // RD_KAFKA_RESP_ERR__FS
        let told = KafkaError { code: -189, name: "_FS".to_owned(), not_persisted: false };
        let unsure = |(client, event)| unsure(event, &told).map(|event| (client, event));
        let mut kept: Vec<(u32, LogEvent)> = out.into_iter().filter_map(unsure).collect();
        kept.extend(self.clients.keys().map(|client| (*client, LogEvent::Trouble(told.clone()))));
        self.broken = Some(told);
        kept
    }

    fn rewrite_when_wasteful(&mut self) {
        let now = clock::now().mono;
        if self.broken.is_some() || now < self.looked + LOOK_EVERY {
            return;
        }
        self.looked = now;
        let live = self.live_bytes();
        if self.journal.bytes() - live.min(self.journal.bytes()) < WASTE_BYTES_MIN.max(live) {
            return;
        }
        if let Err(error) = self.rewrite() {
            let trouble = self.broke(&error, Vec::new());
            self.deliver(trouble);
        }
    }

    /// About how many bytes a rewritten journal would have: fixed fields are counted as 64 bytes a batch.
    fn live_bytes(&self) -> u64 {
        let bytes = |batch: &RecordBatch| 64 + batch.key_and_value_bytes();
        let partition = |partition| self.model.batches(partition).map(bytes).sum::<usize>();
        let live: usize = Partition::all(self.partitions).map(partition).sum();
        u64::try_from(live).expect("lengths fit 64 bits")
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let (model, partitions) = (&self.model, self.partitions);
        self.journal.rewrite(|write| {
            for partition in Partition::all(partitions) {
                for batch in model.batches(partition) {
                    write(&|out| encode_batch(partition, batch, out))?;
                }
                let state = model.state(partition);
                write(&|out| encode_partition(partition, &state, out))?;
            }
            Ok(())
        })
    }
}

/// Gives every key and value an allocation of its own size: what arrives is a slice of a whole request.
fn compact(call: LogCall) -> LogCall {
    let LogCall::Append { id, writes } = call else { return call };
    let own = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
    let write = |write: &Write| Write {
        partition: write.partition,
        key: own(&write.key),
        value: write.value.as_ref().map(own),
    };
    let writes: Arc<[Write]> = writes.iter().map(write).collect();
    LogCall::Append { id, writes }
}

/// What may be told of an event whose round did not reach the disk.
fn unsure(event: LogEvent, error: &KafkaError) -> Option<LogEvent> {
    let failed = |call| Some(LogEvent::Failed { call, error: error.clone() });
    match event {
        LogEvent::Appended { id, results } => {
            let unknown = |result: Result<Revision, KafkaError>| result.and(Err(error.clone()));
            let results = results.into_iter().map(unknown).collect();
            Some(LogEvent::Appended { id, results })
        }
        LogEvent::Facts(_) | LogEvent::Leaderless { .. } => failed(LogCallKind::Describe),
        LogEvent::Ends(_) => failed(LogCallKind::Ends),
        LogEvent::TopicId(_) => failed(LogCallKind::TopicId),
        LogEvent::Fetched(_) => None,
        LogEvent::Assigned { .. }
        | LogEvent::PartitionCount(_)
        | LogEvent::Lost { .. }
        | LogEvent::Failed { .. }
        | LogEvent::Trouble(_) => Some(event),
    }
}

/// The answer of a log that is closed. Reads wait without one: `Trouble` told why.
fn refusal(call: LogCall, error: &KafkaError) -> Option<LogEvent> {
    let failed = |call| Some(LogEvent::Failed { call, error: error.clone() });
    match call {
        LogCall::Describe => failed(LogCallKind::Describe),
        LogCall::Ends => failed(LogCallKind::Ends),
        LogCall::TopicId => failed(LogCallKind::TopicId),
        LogCall::Assign { partition, .. } => Some(LogEvent::Assigned { partition }),
        LogCall::Fetch { .. } | LogCall::Withdraw { .. } => None,
        LogCall::Append { id, writes } => {
            let refused = KafkaError { not_persisted: true, ..error.clone() };
            Some(LogEvent::Appended { id, results: vec![Err(refused); writes.len()] })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use outrigger_core::offset::RequestId;
    use outrigger_core::topic::{TopicId, TopicPolicy};
    use outrigger_model::log::{BrokerConfig, SegmentLimits};

    use super::*;

    fn config(topic: TopicId) -> LogConfig {
        LogConfig {
            cluster: "cluster".to_owned(),
            topic,
            partitions: 1,
            policy: TopicPolicy {
                cleanup: "compact".to_owned(),
                delete_retention_ms: 60_000,
                min_compaction_lag_ms: 0,
                log_append_time: true,
                min_insync_replicas: 1,
                replication: 1,
                unclean_election: false,
                message_bytes_max: 1_000_000,
            },
            segments: SegmentLimits { offsets_max: 10, age_ms: 60_000 },
            brokers: BrokerConfig::single(),
            transaction_timeout: None,
            cleaner: None,
            delivery_timeout: Duration::from_secs(10),
            ask_timeout: Duration::from_secs(10),
            end_with_records: true,
        }
    }

    fn engine(dir: &std::path::Path) -> Engine {
        let journal = Journal::open(&dir.join("journal"), 1).unwrap();
        Engine::start(config(journal.header().topic), journal).unwrap()
    }

    fn append(engine: &mut Engine, key: &str) {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let write = Write { partition: Partition(0), key, value: Some(Bytes::from_static(b"v")) };
        let call = LogCall::Append { id: RequestId(1), writes: Arc::from([write]) };
        round(engine, call);
    }

    fn round(engine: &mut Engine, call: LogCall) {
        let mut out = Vec::new();
        engine.call(7, call, &mut out);
        engine.finish_round(out);
    }

    fn connect(engine: &mut Engine, told: Sender<LogEvent>) {
        let sink: LogSink = Arc::new(move |_, event| told.send(event).unwrap());
        engine.clients.insert(7, (StoreIndex(0), sink));
    }

    #[test]
    fn nothing_is_acknowledged_that_is_not_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = engine(dir.path());
        let (told, events) = channel();
        connect(&mut engine, told);
        append(&mut engine, "kept");
        engine.journal.refuse_writes();
        append(&mut engine, "not on disk");
        append(&mut engine, "refused");
        let results: Vec<_> = events
            .try_iter()
            .filter_map(|event| match event {
                LogEvent::Appended { mut results, .. } => results.pop(),
                _ => None,
            })
            .map(|result| result.map_err(|error| error.not_persisted))
            .collect();
        assert!(matches!(results[..], [Ok(_), Err(false), Err(true)]), "{results:?}");
        drop(engine);
        let kept = self::engine(dir.path()).model.state(Partition(0)).log_end;
        assert_eq!(kept.0, 1);
    }

    #[test]
    fn a_closed_log_tells_no_end_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = engine(dir.path());
        let (told, events) = channel();
        connect(&mut engine, told);
        engine.journal.refuse_writes();
        append(&mut engine, "a");
        round(&mut engine, LogCall::Ends);
        let events: Vec<_> = events.try_iter().collect();
        assert!(
            events
                .iter()
                .any(|event| matches!(event, LogEvent::Trouble(error) if error.code == -189))
        );
        assert!(matches!(events.last(), Some(LogEvent::Failed { call: LogCallKind::Ends, .. })));
    }

    #[test]
    fn a_rewritten_journal_is_shorter_and_says_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = engine(dir.path());
        for round in 0..200 {
            append(&mut engine, &format!("k{}", round % 3));
        }
        engine.model.clean(clock::now());
        let before = std::fs::metadata(dir.path().join("journal")).unwrap().len();
        engine.rewrite().unwrap();
        append(&mut engine, "after");
        let after = std::fs::metadata(dir.path().join("journal")).unwrap().len();
        assert!(after < before / 4, "{before} bytes became {after}");
        let batches: Vec<_> = engine.model.batches(Partition(0)).cloned().collect();
        let state = engine.model.state(Partition(0));
        drop(engine);
        let again = self::engine(dir.path());
        assert_eq!(again.model.batches(Partition(0)).cloned().collect::<Vec<_>>(), batches);
        let reopened = again.model.state(Partition(0));
        assert_eq!(reopened.log_end, state.log_end);
        assert_eq!(reopened.cleaned_to, state.cleaned_to);
        assert!(reopened.epochs.last() > state.epochs.last(), "reopening is a new leader's term");
    }
}
