//! One topic from outside: how it is made, changed and destroyed. Reading and writing are in files of their own.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_core::offset::{Offset, Partition};
use rdkafka::TopicPartitionList;
use rdkafka::admin::{
    AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::Consumer;
use rdkafka::metadata::MetadataPartition;
use rdkafka::producer::ThreadedProducer;
use rdkafka::types::RDKafkaErrorCode;

use super::client;
use super::read::Isolation;
use super::write::{self, Acks};

/// A change is known to all brokers well within this.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(60);

/// What a new topic is to be.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    partitions: u32,
    replicas: usize,
    configs: BTreeMap<String, String>,
}

impl TopicSpec {
    /// A store's topic as the sidecar creates it: one partition, three replicas or as many as there are brokers.
    pub fn store() -> TopicSpec {
        TopicSpec { partitions: 1, replicas: 3, configs: BTreeMap::new() }
            .set("cleanup.policy", "compact")
            .set("delete.retention.ms", "604800000")
            .set("max.compaction.lag.ms", "86400000")
            .set("message.timestamp.type", "LogAppendTime")
            .set("min.compaction.lag.ms", "60000")
            .set("segment.bytes", "134217728")
            .set("unclean.leader.election.enable", "false")
    }

    /// A store's topic whose compaction can be seen within seconds, and its tombstones' removal too.
    pub fn fast_compaction() -> TopicSpec {
        TopicSpec::store()
            .set("delete.retention.ms", "3000")
            .set("max.compaction.lag.ms", "1000")
            .set("min.cleanable.dirty.ratio", "0.0")
            .set("min.compaction.lag.ms", "0")
            .set("segment.bytes", "1048576")
            .set("segment.ms", "1000")
    }

    pub fn set(mut self, key: &str, value: &str) -> TopicSpec {
        self.configs.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn partitions(self, partitions: u32) -> TopicSpec {
        TopicSpec { partitions, ..self }
    }

    pub fn replicas(self, replicas: usize) -> TopicSpec {
        TopicSpec { replicas, ..self }
    }

    /// The same with as many replicas as asked for and possible, and two in sync where there can be two.
    pub(super) fn replicated_up_to(mut self, brokers: usize) -> TopicSpec {
        self.replicas = self.replicas.min(brokers);
        let in_sync = self.replicas.min(2).to_string();
        self.configs.entry("min.insync.replicas".to_owned()).or_insert(in_sync);
        self
    }
}

pub struct Topic {
    pub(super) bootstrap: String,
    pub(super) name: String,
    pub(super) producer: ThreadedProducer<Acks>,
    spec: TopicSpec,
}

impl Topic {
    /// A new topic of a Kafka that somebody else has started.
    pub fn create(bootstrap: &str, name: &str, spec: TopicSpec) -> Result<Topic> {
        let producer = write::producer(bootstrap)?;
        let topic =
            Topic { bootstrap: bootstrap.to_owned(), name: name.to_owned(), producer, spec };
        topic.create_again()?;
        Ok(topic)
    }

    /// A topic that exists already, made by an Outrigger for instance; its settings are not known here.
    pub fn existing(bootstrap: &str, name: &str, partitions: u32) -> Result<Topic> {
        let spec = TopicSpec { partitions, replicas: 0, configs: BTreeMap::new() };
        let producer = write::producer(bootstrap)?;
        Ok(Topic { bootstrap: bootstrap.to_owned(), name: name.to_owned(), producer, spec })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn partitions(&self) -> u32 {
        self.spec.partitions
    }

    /// Creates the topic of this name and settings after [`Topic::delete`]: another topic to Kafka.
    pub fn create_again(&self) -> Result<()> {
        let TopicSpec { partitions, replicas, configs } = &self.spec;
        let mut new = NewTopic::new(
            &self.name,
            i32::try_from(*partitions)?,
            TopicReplication::Fixed(i32::try_from(*replicas)?),
        );
        for (key, value) in configs {
            new = new.set(key, value);
        }
        let admin = client::admin(&self.bootstrap)?;
        let answers = client::wait(admin.create_topics([&new], &options()))?;
        one(answers).with_context(|| format!("creating topic {}", self.name))?;
        self.settle("has leaders", |topic| {
            (0..topic.spec.partitions)
                .all(|partition| topic.leader_now(Partition(partition)).is_some())
        })
    }

    pub fn delete(&self) -> Result<()> {
        let admin = client::admin(&self.bootstrap)?;
        let answers = client::wait(admin.delete_topics(&[&self.name], &options()))?;
        one(answers).with_context(|| format!("deleting topic {}", self.name))?;
        self.settle("is gone", |topic| topic.leader_now(Partition(0)).is_none())
    }

    /// Adds one partition; what this says of the topic stays.
    pub fn add_partition(&self) -> Result<()> {
        let admin = client::admin(&self.bootstrap)?;
        let count = usize::try_from(self.spec.partitions + 1).expect("usize holds 32 bits");
        let more = NewPartitions::new(&self.name, count);
        one(client::wait(admin.create_partitions(&[more], &options()))?)
            .with_context(|| format!("adding a partition to {}", self.name))?;
        let added = Partition(self.spec.partitions);
        self.settle("has one partition more", |topic| topic.leader_now(added).is_some())
    }

    /// Changes one setting; brokers follow within moments. Kafka's old call replaces all settings, so the topic must
    /// have been made here.
    pub fn alter(&mut self, key: &str, value: &str) -> Result<()> {
        let changed = self.spec.clone().set(key, value);
        self.configure(&changed)?;
        self.spec = changed;
        Ok(())
    }

    /// Moves the log start of a partition to `before`; what is below is gone for every reader. Kafka refuses
    /// that on a topic that is only compacted, so its policy is another one for a moment.
    pub fn delete_records(&self, partition: Partition, before: Offset) -> Result<()> {
        let deletable =
            self.spec.clone().set("cleanup.policy", "compact,delete").set("retention.ms", "-1");
        self.configure(&deletable)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, kafka_partition(partition), kafka_offset(before))?;
        let admin = client::admin(&self.bootstrap)?;
        let moved = self.settle("lets records be deleted", |_| {
            client::wait(admin.delete_records(&list, &options()))
                .is_ok_and(|answer| answer.elements().iter().all(|element| element.error().is_ok()))
        });
        self.configure(&self.spec)?;
        moved
    }

    fn configure(&self, spec: &TopicSpec) -> Result<()> {
        ensure!(!self.spec.configs.is_empty(), "the settings of {} are not known here", self.name);
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(&self.name));
        for (key, value) in &spec.configs {
            change = change.set(key, value);
        }
        let admin = client::admin(&self.bootstrap)?;
        for answer in client::wait(admin.alter_configs([&change], &options()))? {
            answer
                .map_err(|(_, code)| code)
                .with_context(|| format!("configuring {}", self.name))?;
        }
        Ok(())
    }

    /// The broker that leads a partition now, once there is one.
    pub fn leader(&self, partition: Partition) -> Result<usize> {
        self.settle("has a leader", |topic| topic.leader_now(partition).is_some())?;
        self.leader_now(partition).context("the leader left again")
    }

    /// Waits until another broker leads.
    pub fn await_other_leader(&self, partition: Partition, than: usize) -> Result<()> {
        self.settle("has another leader", |topic| {
            topic.leader_now(partition).is_some_and(|leader| leader != than)
        })
    }

    /// The in-sync replicas that do not lead.
    pub fn in_sync_followers(&self, partition: Partition) -> Result<Vec<usize>> {
        let leader = self.leader(partition)?;
        let in_sync = self.ask(partition, |known| known.isr().to_vec());
        let in_sync = in_sync.with_context(|| format!("{} has no metadata", self.name))?;
        let brokers = in_sync.into_iter().map(usize::try_from);
        let brokers: Vec<usize> = brokers.collect::<Result<_, _>>().context("broker ids")?;
        Ok(brokers.into_iter().filter(|broker| *broker != leader).collect())
    }

    pub fn replicas(&self) -> usize {
        self.spec.replicas
    }

    /// Waits until as many replicas are in sync: before that, losing a broker stops the partition.
    pub fn await_in_sync(&self, partition: Partition, replicas: usize) -> Result<()> {
        self.settle("has its replicas in sync", |topic| {
            topic.ask(partition, |known| known.isr().len()) == Some(replicas)
        })
    }

    /// The broker that leads, as Kafka answers at once; none also where there is no such topic.
    pub fn leader_now(&self, partition: Partition) -> Option<usize> {
        usize::try_from(self.ask(partition, MetadataPartition::leader)?).ok()
    }

    fn ask<T>(&self, partition: Partition, what: impl Fn(&MetadataPartition) -> T) -> Option<T> {
        let client = client::consumer(&self.bootstrap, Isolation::Uncommitted).ok()?;
        let metadata = client.fetch_metadata(Some(&self.name), client::ASK_MAX).ok()?;
        let mut partitions = metadata.topics().first()?.partitions().iter();
        partitions.find(|known| known.id() == kafka_partition(partition)).map(what)
    }

    fn settle(&self, what: &str, done: impl Fn(&Topic) -> bool) -> Result<()> {
        let deadline = Instant::now() + SETTLE_MAX;
        while !done(self) {
            ensure!(Instant::now() < deadline, "not within {SETTLE_MAX:?}: {} {what}", self.name);
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

pub(super) fn kafka_partition(partition: Partition) -> i32 {
    i32::try_from(partition.0).expect("Kafka counts partitions in 31 bits")
}

pub(super) fn kafka_offset(offset: Offset) -> rdkafka::Offset {
    rdkafka::Offset::Offset(i64::try_from(offset.0).expect("Kafka counts offsets in 63 bits"))
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(SETTLE_MAX)).request_timeout(Some(SETTLE_MAX))
}

fn one(answers: Vec<Result<String, (String, RDKafkaErrorCode)>>) -> Result<(), RDKafkaErrorCode> {
    answers.into_iter().try_for_each(|answer| answer.map(drop).map_err(|(_, code)| code))
}
