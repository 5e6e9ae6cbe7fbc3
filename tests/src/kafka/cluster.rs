//! Brokers that form one Kafka.

mod breaks;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{process, thread};

use anyhow::{Context, Result, anyhow, ensure};

use super::broker::{Broker, Ports};
use super::client;
use super::groups;
use super::java::Java;
use super::leash::Leash;
use super::place::Place;
use super::secured;
use super::topic::{Topic, TopicSpec};
use crate::host::Host;
use crate::weather::{Proxy, Weather};

const READY_MAX: Duration = Duration::from_secs(120);
const READY_POLL: Duration = Duration::from_millis(50);

static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
static TOPICS: AtomicU32 = AtomicU32::new(0);

/// How brokers can be reached.
#[derive(Clone, Copy)]
enum Ways {
    Direct,
    AlsoThroughProxies,
    AlsoMisnamed(&'static str),
    AlsoSecured,
}

/// Brokers are numbered from 1. Fields are dropped in this order: brokers, then what would end them otherwise.
pub struct Cluster {
    brokers: Vec<Broker>,
    java: Java,
    leash: Leash,
    place: Place,
}

impl Cluster {
    /// The test process's own single broker, started by whoever asks first. Its tests do not break it.
    pub fn shared() -> Result<&'static Cluster> {
        SHARED
            .get_or_init(|| Cluster::start(1, &[]).map_err(|error| format!("{error:#}")))
            .as_ref()
            .map_err(|error| anyhow!("the shared cluster did not start: {error}"))
    }

    /// A new cluster, ready to be used. `overrides` are broker settings that win over the tests' own.
    pub fn start(brokers: usize, overrides: &[(&str, &str)]) -> Result<Cluster> {
        Cluster::start_on(&vec![Host::local(); brokers], overrides)
    }

    /// The same with a broker on each of these hosts.
    pub fn start_on(hosts: &[Host], overrides: &[(&str, &str)]) -> Result<Cluster> {
        let mut cluster = Cluster::make(hosts, Ways::Direct, overrides)?;
        cluster.start_all()?;
        Ok(cluster)
    }

    /// The same on this machine, with a second way to each broker: clients that come by [`Cluster::outside`] go through
    /// the proxies in all that they do, and nobody else does.
    pub fn start_behind_proxies(brokers: usize, overrides: &[(&str, &str)]) -> Result<Cluster> {
        let mut cluster =
            Cluster::make(&vec![Host::local(); brokers], Ways::AlsoThroughProxies, overrides)?;
        cluster.start_all()?;
        Ok(cluster)
    }

    /// A single broker that tells whoever comes by [`Cluster::outside`] to go to `address`.
    pub fn start_misnamed(address: &'static str) -> Result<Cluster> {
        let mut cluster = Cluster::make(&[Host::local()], Ways::AlsoMisnamed(address), &[])?;
        cluster.start_all()?;
        Ok(cluster)
    }

    /// One broker that asks who somebody is and what they may do.
    pub(super) fn start_one_secured() -> Result<Cluster> {
        let mut cluster = Cluster::make(&[Host::local()], Ways::AlsoSecured, &[])?;
        cluster.start_all()?;
        Ok(cluster)
    }

    /// A cluster of `brokers` of which one has never been up: the others do not know it.
    pub fn start_without(brokers: usize, absent: usize) -> Result<Cluster> {
        let mut cluster = Cluster::make(&vec![Host::local(); brokers], Ways::Direct, &[])?;
        let absent = cluster.index(absent)?;
        for index in (0..brokers).filter(|index| *index != absent) {
            cluster.spawn(index)?;
        }
        cluster.await_ready()?;
        Ok(cluster)
    }

    fn make(hosts: &[Host], ways: Ways, overrides: &[(&str, &str)]) -> Result<Cluster> {
        let place = Place::temporary()?;
        let brokers = (1..)
            .zip(hosts)
            .map(|(id, host)| {
                let broker = Broker::new(id, host.clone(), place.path(), Ports::free()?)?;
                match ways {
                    Ways::Direct => Ok(broker),
                    Ways::AlsoThroughProxies => broker.behind_proxy(),
                    Ways::AlsoMisnamed(address) => broker.misnamed(address),
                    Ways::AlsoSecured => broker.secured(),
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let cluster = Cluster::of(place, brokers)?;
        let mut settings = settings(cluster.brokers.len(), overrides);
        match ways {
            Ways::Direct | Ways::AlsoThroughProxies | Ways::AlsoMisnamed(_) => {}
            Ways::AlsoSecured => {
                secured::make_authority(cluster.directory())?;
                settings.extend(secured::settings(&secured::make_key(cluster.directory())?));
            }
        }
        cluster.format(&settings)?;
        Ok(cluster)
    }

    /// Brokers on this machine with the data that `place` has, not started yet.
    pub(super) fn at(place: Place, ports: impl IntoIterator<Item = Ports>) -> Result<Cluster> {
        let brokers = (1..)
            .zip(ports)
            .map(|(id, ports)| Broker::new(id, Host::local(), place.path(), ports))
            .collect::<Result<Vec<_>>>()?;
        let cluster = Cluster::of(place, brokers)?;
        cluster.format(&settings(cluster.brokers.len(), &[]))?;
        Ok(cluster)
    }

    fn of(place: Place, brokers: Vec<Broker>) -> Result<Cluster> {
        let (java, leash) = (Java::find()?, Leash::hold(place.temporary_path())?);
        Ok(Cluster { brokers, java, leash, place })
    }

    pub fn bootstrap(&self) -> String {
        self.brokers.iter().map(Broker::address).collect::<Vec<_>>().join(",")
    }

    /// The addresses to be used instead of [`Cluster::bootstrap`] by whoever is to come from outside.
    pub fn outside(&self) -> String {
        self.brokers.iter().filter_map(Broker::outside).collect::<Vec<_>>().join(",")
    }

    /// Sets the weather between the brokers and whoever comes from outside.
    pub fn set_weather(&self, weather: Weather) {
        for proxy in self.proxies() {
            proxy.set(weather);
        }
    }

    /// How many requests have come from outside.
    pub fn requests(&self) -> u64 {
        self.proxies().map(Proxy::requests).sum()
    }

    fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.brokers.iter().filter_map(Broker::proxy)
    }

    /// The directory of the cluster. Of tests it is removed with everything in it when this process ends, however it does.
    pub fn directory(&self) -> &Path {
        self.place.path()
    }

    /// Whether what it has is there for a later run.
    pub(super) fn is_kept(&self) -> bool {
        self.place.temporary_path().is_none()
    }

    /// The version of Kafka that its brokers run, when the jars tell it.
    pub(super) fn version(&self) -> Option<String> {
        self.java.version()
    }

    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        self.brokers.iter().filter_map(Broker::pid)
    }

    pub fn brokers(&self) -> usize {
        self.brokers.len()
    }

    pub(super) fn secured_address(&self, listener: &str) -> Option<String> {
        self.brokers.iter().find_map(|broker| broker.secured_address(listener))
    }

    /// A program of Kafka's, to be run where this process is.
    pub(super) fn java_command(&self, class: &str) -> Command {
        self.java.command(&Host::local(), class)
    }

    /// A directory with Kafka's own command line tools, for a PATH.
    pub fn tools(&self) -> Result<PathBuf> {
        let tools = self.directory().join("tools");
        fs::create_dir_all(&tools)?;
        for (name, class) in [
            ("kafka-configs", "kafka.admin.ConfigCommand"),
            (
                "kafka-reassign-partitions",
                "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
            ),
        ] {
            let path = tools.join(name);
            fs::write(&path, self.java.script(class))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(tools)
    }

    /// The names of all consumer groups.
    pub fn groups(&self) -> Result<Vec<String>> {
        groups::names(&self.bootstrap())
    }

    /// A new topic whose name begins with `name` and is used by nobody else.
    pub fn topic(&self, name: &str, spec: TopicSpec) -> Result<Topic> {
        let number = TOPICS.fetch_add(1, Ordering::Relaxed);
        self.topic_named(&format!("{name}-{}-{number}", process::id()), spec)
    }

    /// A new topic with exactly this name.
    pub fn topic_named(&self, name: &str, spec: TopicSpec) -> Result<Topic> {
        Topic::create(&self.bootstrap(), name, spec.replicated_up_to(self.brokers.len()))
    }

    /// Ends all brokers at once with SIGTERM, and kills those that have not ended by the deadline.
    pub(super) fn stop_all(&mut self, deadline: Instant) -> Result<()> {
        let running = self.brokers.iter().filter(|broker| broker.pid().is_some());
        running.into_iter().try_for_each(Broker::terminate)?;
        self.brokers.iter_mut().try_for_each(|broker| broker.await_end(deadline))?;
        self.name_to_leash()
    }

    /// Starts a broker that is down, on the data it had, and waits until it serves. Of three brokers, one
    /// alone never does: [`Cluster::start_all`].
    pub fn start_broker(&mut self, broker: usize) -> Result<()> {
        let index = self.index(broker)?;
        self.spawn(index)?;
        self.await_ready()
    }

    /// Starts a broker that is down and does not wait for it.
    pub fn spawn_broker(&mut self, broker: usize) -> Result<()> {
        let index = self.index(broker)?;
        self.spawn(index)
    }

    /// Whether the broker has a process.
    pub fn is_running(&self, broker: usize) -> Result<bool> {
        Ok(self.brokers[self.index(broker)?].pid().is_some())
    }

    /// The id of the broker's process.
    pub fn process(&self, broker: usize) -> Result<u32> {
        self.brokers[self.index(broker)?].pid().context("the broker does not run")
    }

    /// Starts every broker that is down and waits until all serve.
    pub fn start_all(&mut self) -> Result<()> {
        self.spawn_all()?;
        self.await_ready()
    }

    /// Starts every broker that is down and does not wait for them.
    pub(super) fn spawn_all(&mut self) -> Result<()> {
        for index in 0..self.brokers.len() {
            if self.brokers[index].pid().is_none() {
                self.spawn(index)?;
            }
        }
        Ok(())
    }

    fn index(&self, broker: usize) -> Result<usize> {
        ensure!((1..=self.brokers.len()).contains(&broker), "there is no broker {broker}");
        Ok(broker - 1)
    }

    fn spawn(&mut self, index: usize) -> Result<()> {
        self.brokers[index].spawn(&self.java)?;
        self.name_to_leash()
    }

    fn name_to_leash(&mut self) -> Result<()> {
        self.leash.name(self.brokers.iter().filter_map(Broker::pid))
    }

    fn format(&self, settings: &[(String, String)]) -> Result<()> {
        let voters = self.brokers.iter().map(Broker::voter).collect::<Vec<_>>().join(",");
        let mut formatting = Vec::new();
        for broker in &self.brokers {
            broker.configure(&voters, settings)?;
            formatting.push((broker, broker.format(&self.java, &self.place.cluster_id)?));
        }
        for (broker, mut child) in formatting {
            let status = child.wait().context("waiting for a format")?;
            ensure!(status.success(), "formatting broker {}:\n{}", broker.id, broker.last_lines());
        }
        Ok(())
    }

    /// Waits until all running brokers serve.
    fn await_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_MAX;
        while !self.is_ready(deadline)? {
            thread::sleep(READY_POLL);
        }
        Ok(())
    }

    /// Whether all running brokers serve. Every one is asked itself: one that just returned is in the others' lists from
    /// before. It is an error when one of them has ended, or is not ready at the deadline.
    pub(super) fn is_ready(&mut self, deadline: Instant) -> Result<bool> {
        let serving = self.brokers.iter().filter(|broker| broker.should_serve()).count();
        for broker in self.brokers.iter_mut().filter(|broker| broker.should_serve()) {
            if client::brokers_seen_by(&broker.address()) < serving {
                broker.check_alive()?;
                let log = broker.last_lines();
                ensure!(Instant::now() < deadline, "broker {} is not ready:\n{log}", broker.id);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells once of each broker how it has ended by itself.
    pub(super) fn ended(&mut self) -> Result<Vec<String>> {
        let ended: Vec<Option<String>> =
            self.brokers.iter_mut().map(Broker::ended).collect::<Result<_>>()?;
        self.name_to_leash()?;
        Ok(ended.into_iter().flatten().collect())
    }
}

/// Small internal topics, quick failure detection, and a cleaner that looks twice a second.
fn settings(brokers: usize, overrides: &[(&str, &str)]) -> Vec<(String, String)> {
    let copies = brokers.min(3).to_string();
    let majority = (brokers.min(3) / 2 + 1).to_string();
    let ours = [
        ("auto.create.topics.enable", "false"),
        ("broker.heartbeat.interval.ms", "500"),
        ("broker.session.timeout.ms", "3000"),
        ("controlled.shutdown.enable", "true"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("log.cleaner.backoff.ms", "500"),
        ("log.cleaner.dedupe.buffer.size", "8388608"),
        ("offsets.topic.num.partitions", "1"),
        ("offsets.topic.replication.factor", &copies),
        ("transaction.state.log.min.isr", &majority),
        ("transaction.state.log.num.partitions", "1"),
        ("transaction.state.log.replication.factor", &copies),
    ];
    ours.iter().chain(overrides).map(|(key, value)| ((*key).into(), (*value).into())).collect()
}
