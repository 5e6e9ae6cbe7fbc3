//! What one client has under way: its readers, its asks, its appends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outrigger_core::log::{KafkaError, LogCall, LogCallKind, LogEvent};
use outrigger_core::offset::{Epoch, Partition};
use outrigger_core::time::Now;
use outrigger_core::topic::{LogFacts, TopicFacts};

use super::LogConfig;
use super::cluster::Cluster;
use super::faults::{Faults, all_brokers_down, error};
use super::producer::Producer;
use super::reader::{Place, Poll, Reader};
use super::topic::Untold;

/// What a client meets: the brokers, and what is wrong between it and them now.
pub(super) struct World<'a> {
    pub(super) now: Now,
    pub(super) config: &'a LogConfig,
    pub(super) cluster: &'a mut Cluster,
    pub(super) faults: &'a mut Faults,
}

impl World<'_> {
    /// What a client that reaches no broker says of it.
    fn trouble(&self, client: u32) -> Option<KafkaError> {
        let down = !self.cluster.brokers.any_up();
        let outage = self.faults.outage_of(client).map(|outage| outage.error);
        outage.or_else(|| down.then(all_brokers_down))
    }
}

/// A node has a client of librdkafka for each of these, with metadata of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Reads,
    Asks,
    Writes,
    /// All its readers beside the first.
    ReadsBeside,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Reads, Role::Asks, Role::Writes, Role::ReadsBeside];
}

/// Nodes have numbers below this, and so do their own clients.
const NODES: u32 = 1 << 16;

/// The number of a client with a reader of its own that a node has beside its first. What befalls the node's connections
/// befalls it as well.
pub fn beside(node: u32, number: u32) -> u32 {
    assert!(node < NODES, "there are few nodes");
    node + NODES * (number + 1)
}

/// The number of a client that is beside its node's own.
pub fn number_of(client: u32) -> Option<u32> {
    (client / NODES).checked_sub(1)
}

/// The node that has this client.
pub fn node_of(client: u32) -> u32 {
    client % NODES
}

pub(super) fn all_roles(
    clients: impl IntoIterator<Item = u32>,
) -> impl Iterator<Item = (u32, Role)> {
    clients.into_iter().flat_map(|client| Role::ALL.map(|role| (client, role)))
}

#[derive(Clone, Debug)]
pub(super) struct Client {
    number: u32,
    node: u32,
    reads_as: Role,
    readers: BTreeMap<Partition, Reader>,
    /// The newest leader epoch of each partition in the reading client's metadata, as long as its process lives:
    /// metadata that goes back is ignored (`rd_kafka_toppar_leader_update`).
    heard: BTreeMap<Partition, Epoch>,
    /// Asks without an answer yet, by kind, with their deadline.
    asked: BTreeMap<LogCallKind, Duration>,
    /// Partitions whose leaders let a question of this client run out of time, until they answer: others do not wait
    /// for them.
    silent: BTreeSet<Partition>,
    /// The number of partitions as the last facts told it: what is read is judged by the count that its assignment found.
    partitions: Option<u32>,
    producer: Producer,
}

impl Client {
    pub(super) fn new(number: u32) -> Client {
        let node = node_of(number);
        Client {
            number,
            node,
            reads_as: if node == number { Role::Reads } else { Role::ReadsBeside },
            readers: BTreeMap::new(),
            heard: BTreeMap::new(),
            asked: BTreeMap::new(),
            silent: BTreeSet::new(),
            partitions: None,
            producer: Producer::default(),
        }
    }

    pub(super) fn handle(&mut self, world: &mut World<'_>, call: LogCall, out: &mut Vec<LogEvent>) {
        match call {
            LogCall::Describe => self.ask(world, LogCallKind::Describe, out),
            LogCall::Ends => self.ask(world, LogCallKind::Ends, out),
            LogCall::TopicId => self.ask(world, LogCallKind::TopicId, out),
            LogCall::Assign { partition, at, epoch } => {
                let count = world.cluster.topic.count();
                assert!(partition.0 < count, "partition {partition} does not exist");
                let partitions = self.partitions.unwrap_or(count);
                self.readers.insert(partition, Reader::at(at, epoch, partitions));
                out.push(LogEvent::Assigned { partition });
            }
            LogCall::Fetch { partition, bytes_max } => {
                let reader = self.readers.get_mut(&partition);
                reader.expect("a fetch follows an assign").credit(bytes_max);
                self.serve(world, out);
            }
            LogCall::Append { id, writes } => {
                self.producer.append(world, id, writes);
                self.producer.send(self.node, world);
            }
            LogCall::Withdraw { id } => {
                self.producer.withdraw(id, world.faults);
                self.producer.settle(self.node, world, out);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.asked.values().copied().chain(self.producer.next_deadline()).min()
    }

    /// Sends again what has to be sent again.
    pub(super) fn send(&mut self, world: &mut World<'_>) {
        self.producer.send(self.node, world);
    }

    /// Answers what can be answered, fails what waited too long.
    pub(super) fn settle(&mut self, world: &mut World<'_>, out: &mut Vec<LogEvent>) {
        if world.faults.untold.remove(&self.number)
            && let Some(trouble) = world.trouble(self.node)
        {
            out.push(LogEvent::Trouble(trouble));
        }
        self.settle_asks(world, out);
        self.producer.settle(self.node, world, out);
    }

    fn ask(&mut self, world: &mut World<'_>, kind: LogCallKind, out: &mut Vec<LogEvent>) {
        let before = self.asked.insert(kind, world.now.mono + world.config.ask_timeout);
        assert!(before.is_none(), "one {kind:?} at a time");
        self.settle_asks(world, out);
    }

    fn settle_asks(&mut self, world: &World<'_>, out: &mut Vec<LogEvent>) {
        let asked = std::mem::take(&mut self.asked);
        for (call, deadline) in asked {
            let late = deadline <= world.now.mono;
            match self.answer(world, call, late) {
                Ok(answer) => {
                    self.note_silence(&answer);
                    let count = world.cluster.topic.count();
                    match (call, self.partitions) {
                        (LogCallKind::Describe, _) => self.partitions = Some(count),
                        (LogCallKind::TopicId, Some(told)) if told != count => {
                            out.push(LogEvent::PartitionCount(count));
                        }
                        (LogCallKind::TopicId | LogCallKind::Ends, _) => {}
                    }
                    out.push(answer);
                }
                Err(error) if late => {
                    out.push(LogEvent::Failed { call, error });
                }
                Err(_) => drop(self.asked.insert(call, deadline)),
            }
        }
    }

    /// The answer from what leaders say, once all do, or once it is late. An error: nobody answers, or it is too early.
    fn answer(
        &self,
        world: &World<'_>,
        kind: LogCallKind,
        late: bool,
    ) -> Result<LogEvent, KafkaError> {
        if let Some(trouble) = world.trouble(self.node) {
            return Err(trouble);
        }
        let Cluster { brokers, topic, .. } = &*world.cluster;
        let event = match kind {
            LogCallKind::Describe => {
                let facts = self.told(topic.facts(self.node, brokers), late)?;
                let (cluster, policy) = (world.config.cluster.clone(), topic.policy.clone());
                let mut silent = Partition::all(topic.count()).zip(&facts);
                match silent.find_map(|(at, facts)| Some((at, facts.clone().err()?))) {
                    Some((partition, error)) => {
                        let (topic, partitions) = (topic.id, topic.count());
                        let topic = TopicFacts { cluster, topic, policy, partitions };
                        LogEvent::Leaderless { topic, partition, error }
                    }
                    None => {
                        let partitions = facts.into_iter().flatten().collect();
                        LogEvent::Facts(LogFacts { cluster, topic: topic.id, policy, partitions })
                    }
                }
            }
            LogCallKind::Ends => LogEvent::Ends(self.told(topic.ends(self.node, brokers), late)?),
            LogCallKind::TopicId => LogEvent::TopicId(topic.id),
        };
        Ok(event)
    }

    /// Each partition's answer; an error where none has any, or where it is too early to leave one out.
    fn told<T>(
        &self,
        answers: Vec<Result<T, Untold>>,
        late: bool,
    ) -> Result<Vec<Result<T, KafkaError>>, KafkaError> {
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.map_err(untold)).collect();
        let silent = (0..).map(Partition).zip(&answers);
        let silent =
            silent.filter_map(|(partition, answer)| Some((partition, answer.as_ref().err()?)));
        let expected = |(partition, _): &(Partition, _)| late || self.silent.contains(partition);
        let unexpected = silent.clone().find(|silent| !expected(silent));
        match unexpected
            .or_else(|| silent.clone().next().filter(|_| answers.iter().all(Result::is_err)))
        {
            Some((_, error)) => Err(error.clone()),
            None => Ok(answers),
        }
    }

    fn note_silence(&mut self, answer: &LogEvent) {
        match answer {
            LogEvent::Facts(_) => self.silent.clear(),
            LogEvent::Leaderless { partition, .. } => drop(self.silent.insert(*partition)),
            LogEvent::Ends(ends) => {
                let partitions = (0..).map(Partition).zip(ends);
                self.silent =
                    partitions.filter(|(_, end)| end.is_err()).map(|(at, _)| at).collect();
            }
            LogEvent::TopicId(_)
            | LogEvent::PartitionCount(_)
            | LogEvent::Assigned { .. }
            | LogEvent::Fetched(_)
            | LogEvent::Lost { .. }
            | LogEvent::Appended { .. }
            | LogEvent::Failed { .. }
            | LogEvent::Trouble(_) => {}
        }
    }

    /// Gives waiting fetches what there is for them.
    pub(super) fn serve(&mut self, world: &mut World<'_>, out: &mut Vec<LogEvent>) {
        if world.faults.reaches_nobody(self.node) || world.faults.fetches_nothing(self.node) {
            return;
        }
        let Cluster { brokers, topic, .. } = &*world.cluster;
        let end_with_records = world.config.end_with_records;
        let mut lost = Vec::new();
        for (partition, reader) in self.readers.iter_mut().filter(|(_, reader)| reader.waits()) {
            let partition = *partition;
            // What is gone is asked for again and again, as librdkafka does.
            let Some(log) = topic.partitions.get(partition.index()) else { continue };
            let Some(answering) = log.answering((self.node, self.reads_as), brokers) else {
                continue;
            };
            let (epoch, heard) = (answering.replica.epoch(), self.heard.get(&partition));
            if answering.stale && heard.is_some_and(|heard| *heard > epoch) {
                // UNKNOWN_LEADER_EPOCH (`Partition.checkCurrentLeaderEpoch`): the client asks again.
                continue;
            }
            // Another topic of the name begins its epochs again.
            self.heard.insert(partition, epoch);
            let place = Place { partition, end_with_records };
            match reader.poll(answering.replica, place) {
                Poll::Nothing => {}
                Poll::Batch(batch) => out.push(LogEvent::Fetched(batch)),
                Poll::Lost(loss) => lost.push((partition, loss)),
            }
        }
        for (partition, loss) in lost {
            self.readers.remove(&partition);
            out.push(LogEvent::Lost { partition, loss });
        }
    }
}

fn untold(untold: Untold) -> KafkaError {
    match untold {
        Untold::NoLeader => error(5, "LEADER_NOT_AVAILABLE", false),
        Untold::NotKnown => error(78, "OFFSET_NOT_AVAILABLE", false),
    }
}
