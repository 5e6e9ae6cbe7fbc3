//! A topic of a Kafka cluster as several nodes' clients see it: the log seam's model engine.
//!
//! Sans-IO and deterministic: calls in, events out, time as an input. Each rule names its source (a
//! KIP, an issue, Kafka's class). `handle` answers what a call itself can have at once; `tick`
//! delivers what became possible since: replicated and fetched records, ends, late answers, cleaning.
//!
//! The brokers' side is `Cluster`: `broker`, `partition` with its `replica`s, `replication`, `in_sync`,
//! `election`, `cleaner`, `coordinator`, and `history`, which tells oracles what the log did. The
//! clients' side has librdkafka's habits: `client`, `reader`, `producer` with its `request`s, `faults`.
//!
//! Not modelled:
//! - the controller as a quorum, and its elections: it is always there for brokers that it reaches
//! - eligible leader replicas (KIP-966), reassignment, reading from followers, quotas, authorisation
//! - a broker's high watermark checkpoint: after a restart the replica has the watermark that it had
//! - retry backoff and metadata refresh: a client learns of a new leader at once, unless cut off
//! - more than one topic; `cleanup.policy=delete`; `max.compaction.lag.ms`
//! - producer state expiry; empty batches that hold a producer's last sequence, which no reader can tell
//!   from a hole; other clients' retries: what is refused to them did not happen
//! - a producer that is given up takes all its partitions' batches with it; here one batch fails
//! - index files, compression, corrupt batches
//! - librdkafka's status NOT_PERSISTED of a batch that was appended and then answered with
//!   NOT_LEADER_OR_FOLLOWER when its leader stepped down: here it is told truthfully

mod broker;
mod cleaner;
mod client;
mod cluster;
mod coordinator;
mod election;
mod epochs;
mod faults;
mod history;
mod in_sync;
mod journal;
mod partition;
mod producer;
mod reader;
mod replica;
mod replication;
mod request;
mod segments;
mod topic;
mod transactions;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_core::log::{LogCall, LogEvent};
use outrigger_core::time::Now;
use outrigger_core::topic::{TopicId, TopicPolicy};

pub use self::broker::{BrokerConfig, BrokerId, Stop};
pub use self::client::{Role, beside, node_of, number_of};
pub use self::faults::{AppendFate, Failure, Landing, Outage};
pub use self::history::{LogChange, Truncation};
pub use self::journal::{PartitionState, ReplicaState};
pub use self::segments::{Content, Entry, RecordBatch, SegmentLimits};
pub use self::transactions::{ProducerId, Verdict};
pub use self::world::Foreign;

use self::client::{Client, World};
use self::cluster::Cluster;
use self::faults::Faults;

#[derive(Clone, Debug)]
pub struct LogConfig {
    pub cluster: String,
    pub topic: TopicId,
    pub partitions: u32,
    pub policy: TopicPolicy,
    pub segments: SegmentLimits,
    pub brokers: BrokerConfig,
    /// Other clients' transactions are aborted after this (`transaction.timeout.ms`); none: never.
    pub transaction_timeout: Option<Duration>,
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
    cluster: Cluster,
    clients: BTreeMap<u32, Client>,
    faults: Faults,
    /// Whether something changed that a tick may have to tell.
    stirred: bool,
    next_clean: Option<Duration>,
}

impl LogModel {
    pub fn new(config: LogConfig) -> LogModel {
        let cluster = Cluster::new(&config);
        LogModel {
            config,
            cluster,
            clients: BTreeMap::new(),
            faults: Faults::default(),
            stirred: false,
            next_clean: None,
        }
    }

    pub fn handle(&mut self, now: Now, client: u32, call: LogCall, out: &mut Vec<(u32, LogEvent)>) {
        if self.stirred {
            self.cluster.settle(now);
        }
        let appends = matches!(call, LogCall::Append { .. });
        let mut events = Vec::new();
        self.with_client(now, client, |state, world| {
            state.handle(world, call, &mut events);
            if appends {
                world.cluster.settle(now);
                state.settle(world, &mut events);
            }
        });
        self.stirred |= appends;
        out.extend(events.into_iter().map(|event| (client, event)));
    }

    /// Delivers what became possible by `now`.
    pub fn tick(&mut self, now: Now, out: &mut Vec<(u32, LogEvent)>) {
        self.faults.gaps.retain(|_, until| *until > now.mono);
        self.land_late(now);
        self.clean_when_due(now);
        self.cluster.settle(now);
        let mut events = Vec::new();
        self.with_clients(now, |_, state, world| state.send(world));
        self.cluster.settle(now);
        self.with_clients(now, |client, state, world| {
            state.settle(world, &mut events);
            out.extend(events.drain(..).map(|event| (client, event)));
        });
        self.cluster.settle(now);
        // Readers go last: what any client's append did in this tick is there for all of them.
        self.with_clients(now, |client, state, world| {
            state.serve(world, &mut events);
            out.extend(events.drain(..).map(|event| (client, event)));
        });
        self.stirred = false;
    }

    /// When `tick` has something to do, on the monotonic clock; zero: at once.
    pub fn next_timer(&self) -> Option<Duration> {
        if self.stirred {
            return Some(Duration::ZERO);
        }
        let late = self.faults.late.iter().map(|late| late.at);
        let gaps = self.faults.gaps.values().copied();
        let deadlines = self.clients.values().filter_map(Client::next_deadline);
        let own = self.next_clean.into_iter().chain(self.cluster.next_timer());
        late.chain(gaps).chain(deadlines).chain(own).min()
    }

    /// Notes that something changed on the brokers' side.
    fn changed(&mut self) {
        self.cluster.note();
        self.stirred = true;
    }

    fn with_client(
        &mut self,
        now: Now,
        client: u32,
        act: impl FnOnce(&mut Client, &mut World<'_>),
    ) {
        let LogModel { config, cluster, clients, faults, .. } = self;
        let state = clients.entry(client).or_insert_with(|| Client::new(client));
        act(state, &mut World { now, config, cluster, faults });
    }

    fn with_clients(&mut self, now: Now, mut act: impl FnMut(u32, &mut Client, &mut World<'_>)) {
        let LogModel { config, cluster, clients, faults, .. } = self;
        let mut world = World { now, config, cluster, faults };
        for (client, state) in clients.iter_mut() {
            act(*client, state, &mut world);
        }
    }

    /// Lands writes of calls that failed before.
    fn land_late(&mut self, now: Now) {
        let due: Vec<_> = self.faults.late.extract_if(.., |late| late.at <= now.mono).collect();
        for late in due {
            late.land(now, &mut self.cluster);
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
        let (brokers, policy) = (self.cluster.brokers.clone(), self.cluster.topic.policy.clone());
        self.cluster.clean(|broker, replica| {
            brokers.up(broker) && cleaner::clean_if_dirty(replica, &policy, pace, now.wall_ms)
        });
    }
}
