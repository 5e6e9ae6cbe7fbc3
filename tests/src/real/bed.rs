//! Where plans are played: one Kafka of three brokers, and hosts for the nodes of several plans at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use outrigger_core::offset::Partition;

use super::network::Network;
use crate::host::Host;
use crate::kafka::{Cluster, Topic, TopicSpec};

pub const BROKERS: usize = 3;

/// A plan may have as many.
const NODES_MAX: usize = 7;

/// A broker's session is short, and everything that a lost broker leaves waiting gives up soon after it.
const OVERRIDES: [(&str, &str); 5] = [
    ("broker.session.timeout.ms", "3000"),
    ("controller.quorum.fetch.timeout.ms", "2000"),
    ("log.cleaner.backoff.ms", "300"),
    ("replica.socket.timeout.ms", "3000"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000"),
];

pub struct Bed {
    /// One plan at a time breaks it. No other lock is taken under it.
    cluster: Mutex<Cluster>,
    bootstrap: String,
    brokers: Vec<Host>,
    places: Vec<Vec<Host>>,
    /// It is the last field: what runs on its hosts ends first.
    network: Result<Arc<Network>, String>,
}

impl Bed {
    /// Makes a bed for this many plans side by side.
    pub fn make(places: usize) -> Result<Bed> {
        let network = Network::lay(BROKERS + places * NODES_MAX);
        let network = network.map(Arc::new).map_err(|error| format!("{error:#}"));
        let hosts = match &network {
            Ok(network) => network.hosts().to_vec(),
            Err(_) => vec![Host::local(); BROKERS + places * NODES_MAX],
        };
        let (brokers, nodes) = hosts.split_at(BROKERS);
        let cluster = Cluster::start_on(brokers, &OVERRIDES)?;
        Ok(Bed {
            bootstrap: cluster.bootstrap(),
            cluster: Mutex::new(cluster),
            brokers: brokers.to_vec(),
            places: nodes.chunks(NODES_MAX).map(<[Host]>::to_vec).collect(),
            network,
        })
    }

    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// The network that can be cut, or why there is none.
    pub fn network(&self) -> Result<&Arc<Network>, &str> {
        self.network.as_ref().map_err(String::as_str)
    }

    /// The leader as this broker's own host learns of it: from whichever brokers can be reached from there.
    pub fn leader_seen_from(&self, broker: usize, topic: &Topic, of: Partition) -> Result<usize> {
        let address = self.bootstrap.split(',').nth(broker - 1).context("no such broker")?;
        let mut kcat = self.brokers[broker - 1].command("kcat");
        let output = kcat.args(["-b", address, "-L", "-m", "2", "-t", topic.name()]).output();
        let output = output.context("starting kcat; `./x setup kafka` installs it")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = said
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(&format!("partition {of}, leader ")));
        let leader = line.and_then(|line| line.split(',').next()).and_then(|id| id.parse().ok());
        leader.with_context(|| format!("broker {broker} names no leader: {said}"))
    }

    pub(super) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub(super) fn hosts(&self, place: usize) -> &[Host] {
        &self.places[place]
    }

    pub(super) fn brokers(&self) -> &[Host] {
        &self.brokers
    }

    pub(super) fn cluster(&self) -> MutexGuard<'_, Cluster> {
        // A panic of one plan fails that plan; the processes are as they are.
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn topic(&self, name: &str, spec: TopicSpec) -> Result<Topic> {
        self.cluster().topic(name, spec).context("creating the plan's topic")
    }

    /// Makes all brokers run and serve.
    pub(super) fn heal(&self) -> Result<()> {
        let mut cluster = self.cluster();
        for broker in 1..=BROKERS {
            if cluster.is_running(broker)? {
                cluster.resume(broker)?;
            }
        }
        cluster.start_all()
    }
}
