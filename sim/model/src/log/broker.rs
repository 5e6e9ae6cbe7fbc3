//! Brokers: up or down, heard of by the controller or not, and what an operator or an accident does to
//! them. What becomes of their partitions is in `election` and `in_sync`.

use std::time::Duration;

use outrigger_core::offset::Partition;

use super::LogModel;
use super::client::{Role, all_roles};
use super::cluster::Cluster;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerId(pub u32);

/// Brokers `0..count`. Partition `p` has its replicas on the topic's replication factor of them,
/// beginning with `p % count`, which is its first leader.
#[derive(Clone, Copy, Debug)]
pub struct BrokerConfig {
    pub count: u32,
    /// One round of a follower's fetching; zero: what is appended is replicated at once. The high
    /// watermark passes a record about two rounds after its append.
    pub pace: Duration,
    /// A follower behind for that long leaves the in-sync set (`replica.lag.time.max.ms`).
    pub lag_max: Duration,
    /// After that long the controller holds a silent broker for dead (`broker.session.timeout.ms`).
    pub session_timeout: Duration,
}

impl BrokerConfig {
    /// One broker: nothing waits for anybody.
    pub fn single() -> BrokerConfig {
        BrokerConfig {
            count: 1,
            pace: Duration::ZERO,
            lag_max: Duration::from_secs(30),
            session_timeout: Duration::ZERO,
        }
    }
}

/// How a broker stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its leaderships move first (`controlled.shutdown.enable`).
    Clean,
    /// The process ends; what it wrote is in the page cache and stays.
    Crash,
    /// So does the machine: of each of its partitions, the last batches did not reach the disk.
    PowerLoss { batches: usize },
}

#[derive(Clone, Debug)]
pub(super) struct Broker {
    up: bool,
    isolated: bool,
    /// The controller holds it for dead: in no in-sync set, leader of nothing (KIP-631).
    fenced: bool,
    lagging: bool,
    silent_since: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(super) struct Brokers {
    pub(super) config: BrokerConfig,
    list: Vec<Broker>,
}

impl Brokers {
    pub(super) fn new(config: BrokerConfig) -> Brokers {
        assert!(config.count > 0, "a cluster has a broker");
        let healthy =
            Broker { up: true, isolated: false, fenced: false, lagging: false, silent_since: None };
        Brokers { config, list: (0..config.count).map(|_| healthy.clone()).collect() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = BrokerId> + use<> {
        (0..self.config.count).map(BrokerId)
    }

    fn get(&self, broker: BrokerId) -> &Broker {
        &self.list[usize::try_from(broker.0).expect("usize holds 32 bits")]
    }

    fn get_mut(&mut self, broker: BrokerId) -> &mut Broker {
        &mut self.list[usize::try_from(broker.0).expect("usize holds 32 bits")]
    }

    pub(super) fn up(&self, broker: BrokerId) -> bool {
        self.get(broker).up
    }

    pub(super) fn any_up(&self) -> bool {
        self.list.iter().any(|broker| broker.up)
    }

    /// Whether the controller would let it lead.
    pub(super) fn electable(&self, broker: BrokerId) -> bool {
        let Broker { up, isolated, fenced, .. } = self.get(broker);
        *up && !isolated && !fenced
    }

    /// Whether the followers on this broker fetch.
    pub(super) fn fetches(&self, broker: BrokerId) -> bool {
        self.electable(broker) && !self.get(broker).lagging
    }

    /// The brokers whose session ends now. Notes when a silence began.
    pub(super) fn lost_sessions(&mut self, now: Duration) -> Vec<BrokerId> {
        let timeout = self.config.session_timeout;
        let mut lost = Vec::new();
        for (number, broker) in (0..).zip(&mut self.list) {
            if broker.up && !broker.isolated || broker.fenced {
                broker.silent_since = None;
                continue;
            }
            let since = *broker.silent_since.get_or_insert(now);
            if since + timeout <= now {
                lost.push(BrokerId(number));
            }
        }
        lost
    }

    pub(super) fn next_session_end(&self) -> Option<Duration> {
        let silent = self.list.iter().filter_map(|broker| broker.silent_since);
        silent.map(|since| since + self.config.session_timeout).min()
    }
}

impl Cluster {
    /// The controller holds the broker for dead.
    pub(super) fn fence(&mut self, broker: BrokerId) {
        let state = self.brokers.get_mut(broker);
        (state.fenced, state.silent_since) = (true, None);
        for log in &mut self.topic.partitions {
            log.remove_broker(broker, &self.brokers);
        }
    }

    fn fence_at_once(&mut self, broker: BrokerId) {
        if self.brokers.config.session_timeout.is_zero() && !self.brokers.get(broker).fenced {
            self.fence(broker);
        }
    }

    fn stop(&mut self, broker: BrokerId, how: Stop) {
        if how == Stop::Clean && !self.brokers.get(broker).isolated {
            self.fence(broker);
        }
        let state = self.brokers.get_mut(broker);
        (state.up, state.isolated) = (false, false);
        for log in &mut self.topic.partitions {
            log.reunite(broker);
            if let Stop::PowerLoss { batches } = how {
                log.lose_tail(broker, batches);
            }
        }
        self.fence_at_once(broker);
    }

    fn isolate(&mut self, broker: BrokerId, clients: &[(u32, Role)]) {
        self.brokers.get_mut(broker).isolated = true;
        for log in &mut self.topic.partitions {
            log.cut_off(broker, clients);
        }
        self.fence_at_once(broker);
    }

    /// It registers with the controller: whoever was not missed yet is missed now (KIP-631).
    fn register(&mut self, broker: BrokerId) {
        let state = self.brokers.get(broker);
        if !state.fenced && !state.up {
            self.fence(broker);
        }
        let state = self.brokers.get_mut(broker);
        (state.up, state.isolated, state.fenced) = (true, false, false);
        state.silent_since = None;
        for log in &mut self.topic.partitions {
            log.reunite(broker);
            log.elect_if_leaderless(&self.brokers);
        }
    }
}

/// What happens to brokers.
impl LogModel {
    pub fn stop_broker(&mut self, broker: BrokerId, how: Stop) {
        if self.cluster.brokers.up(broker) {
            self.cluster.stop(broker, how);
            if !self.cluster.brokers.any_up() {
                self.tell_trouble();
            }
        }
        self.changed();
    }

    pub fn start_broker(&mut self, broker: BrokerId) {
        if !self.cluster.brokers.up(broker) {
            self.cluster.register(broker);
        }
        self.changed();
    }

    /// The broker reaches nobody but `clients`, and they reach no other leader of what it led: it
    /// answers them with what it had, and takes what they write without ever acknowledging it (tried:
    /// an old leader answers for 24 s).
    pub fn isolate_broker(&mut self, broker: BrokerId, clients: impl IntoIterator<Item = u32>) {
        self.isolate_broker_from(broker, all_roles(clients));
    }

    /// Does what `isolate_broker` does, for some of the nodes' librdkafka clients only: each learns of leaders by itself.
    pub fn isolate_broker_from(
        &mut self,
        broker: BrokerId,
        clients: impl IntoIterator<Item = (u32, Role)>,
    ) {
        if self.cluster.brokers.up(broker) {
            let clients: Vec<(u32, Role)> = clients.into_iter().collect();
            self.cluster.isolate(broker, &clients);
        }
        self.changed();
    }

    pub fn rejoin_broker(&mut self, broker: BrokerId) {
        if self.cluster.brokers.up(broker) {
            self.cluster.register(broker);
        }
        self.changed();
    }

    /// The broker's followers stop fetching until they are let go again.
    pub fn lag_replica(&mut self, broker: BrokerId, lags: bool) {
        self.cluster.brokers.get_mut(broker).lagging = lags;
        self.changed();
    }

    pub fn brokers(&self) -> impl Iterator<Item = BrokerId> + use<> {
        self.cluster.brokers.all()
    }

    pub fn is_up(&self, broker: BrokerId) -> bool {
        self.cluster.brokers.up(broker)
    }

    pub fn leader(&self, partition: Partition) -> Option<BrokerId> {
        self.cluster.topic.partitions[partition.index()].leader
    }

    pub fn in_sync(&self, partition: Partition) -> Vec<BrokerId> {
        self.cluster.topic.partitions[partition.index()].in_sync.iter().copied().collect()
    }
}
