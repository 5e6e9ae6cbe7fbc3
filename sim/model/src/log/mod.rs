//! A topic of a Kafka cluster as several nodes' clients see it: the log seam's model engine.
//!
//! Sans-IO and deterministic: calls in, events out, time as an input. Each rule names its source (a
//! KIP, an issue, Kafka's class). `handle` answers what a call itself can have at once; `tick`
//! delivers what became possible since: fetched records, ends, late answers, cleaner passes.
//!
//! Not modelled, because no reader can tell: sequence numbers (an append lands once), empty batches,
//! index files, compression. Not yet: a replica per broker with its own cleaner.

mod append;
mod cleaner;
mod client;
mod epochs;
mod faults;
mod reader;
mod replica;
mod segments;
mod topic;
mod transactions;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_core::log::{LogCall, LogEvent};
use outrigger_core::offset::Partition;
use outrigger_core::time::Now;
use outrigger_core::topic::{TopicId, TopicPolicy};

pub use self::faults::{AppendFate, Failure, Landing, Outage};
pub use self::segments::{Content, Entry, RecordBatch, SegmentLimits};
pub use self::transactions::{ProducerId, Verdict};
pub use self::world::{Foreign, PartitionState};

use self::client::Client;
use self::faults::Faults;
use self::topic::Topic;

#[derive(Clone, Debug)]
pub struct LogConfig {
    pub cluster: String,
    pub topic: TopicId,
    pub partitions: u32,
    pub policy: TopicPolicy,
    pub segments: SegmentLimits,
    /// None: the log is cleaned only by `LogModel::clean`.
    pub cleaner: Option<CleanerPace>,
    /// An append without an answer fails after this (`delivery.timeout.ms`).
    pub delivery_timeout: Duration,
    /// Describe, Ends and TopicId without an answer fail after this.
    pub ask_timeout: Duration,
    /// The end is reported with the records before it, not alone: both occur with librdkafka.
    pub end_with_records: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct CleanerPace {
    /// `log.cleaner.backoff.ms`.
    pub every: Duration,
    /// A partition is cleaned when at least this share of its bytes is new
    /// (`min.cleanable.dirty.ratio`).
    pub dirty_percent_min: usize,
}

#[derive(Clone, Debug)]
pub struct LogModel {
    config: LogConfig,
    topic: Topic,
    clients: BTreeMap<u32, Client>,
    faults: Faults,
    /// Something changed that a tick may have to tell.
    stirred: bool,
    next_clean: Option<Duration>,
    /// Every batch since the last `take_appended`, when somebody wants them.
    appended: Option<Vec<(Partition, RecordBatch)>>,
}

impl LogModel {
    pub fn new(config: LogConfig) -> LogModel {
        let topic =
            Topic::new(config.topic, config.policy.clone(), config.partitions, config.segments);
        LogModel {
            config,
            topic,
            clients: BTreeMap::new(),
            faults: Faults::default(),
            stirred: false,
            next_clean: None,
            appended: None,
        }
    }

    pub fn handle(&mut self, now: Now, client: u32, call: LogCall, out: &mut Vec<(u32, LogEvent)>) {
        let before = self.log_ends();
        let mut events = Vec::new();
        let (topic, faults) = (&mut self.topic, &mut self.faults);
        let state = self.clients.entry(client).or_insert_with(|| Client::new(client));
        let mut world = client::World { now, config: &self.config, topic, faults };
        state.handle(&mut world, call, &mut events);
        out.extend(events.into_iter().map(|event| (client, event)));
        self.note_appended(&before);
    }

    /// Delivers what became possible by `now`.
    pub fn tick(&mut self, now: Now, out: &mut Vec<(u32, LogEvent)>) {
        self.stirred = false;
        let before = self.log_ends();
        self.land_late(now);
        self.clean_when_due(now);
        let mut events = Vec::new();
        for (client, state) in &mut self.clients {
            let (topic, faults) = (&mut self.topic, &mut self.faults);
            let mut world = client::World { now, config: &self.config, topic, faults };
            state.settle(&mut world, &mut events);
            out.extend(events.drain(..).map(|event| (*client, event)));
        }
        // Readers go last: what any client's append did in this tick is there for all of them.
        for (client, state) in &mut self.clients {
            let (topic, faults) = (&mut self.topic, &mut self.faults);
            let mut world = client::World { now, config: &self.config, topic, faults };
            state.serve(&mut world, &mut events);
            out.extend(events.drain(..).map(|event| (*client, event)));
        }
        self.note_appended(&before);
        self.stirred = false;
    }

    /// When `tick` has something to do, on the monotonic clock; zero: at once.
    pub fn next_timer(&self) -> Option<Duration> {
        if self.stirred {
            return Some(Duration::ZERO);
        }
        let late = self.faults.late.iter().map(|late| late.at);
        let deadlines = self.clients.values().filter_map(Client::next_deadline);
        late.chain(deadlines).chain(self.next_clean).min()
    }

    /// Writes of calls that failed before: they land now.
    fn land_late(&mut self, now: Now) {
        let (due, later) = self.faults.late.drain(..).partition(|late| late.at <= now.mono);
        self.faults.late = later;
        let due: Vec<append::LateAppend> = due;
        for late in due {
            append::append(&mut self.topic, now.wall_ms, &late.writes);
        }
    }

    fn clean_when_due(&mut self, now: Now) {
        let Some(pace) = self.config.cleaner else {
            return;
        };
        let due = self.next_clean.get_or_insert(now.mono + pace.every);
        if *due > now.mono {
            return;
        }
        self.next_clean = Some(now.mono + pace.every);
        for log in &mut self.topic.partitions {
            cleaner::clean_if_dirty(&mut log.leader, &self.topic.policy, pace, now.wall_ms);
        }
    }
}
