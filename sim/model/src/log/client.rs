//! What one client has under way: its readers, its asks, its appends.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_core::log::{LogCall, LogCallKind, LogEvent};
use outrigger_core::offset::Partition;
use outrigger_core::time::Now;
use outrigger_core::topic::LogFacts;

use super::LogConfig;
use super::append::{PendingAppend, PendingAppends};
use super::faults::Faults;
use super::reader::{Place, Poll, Reader};
use super::topic::Topic;

/// What a client meets: the topic, and what is wrong with it now.
pub(super) struct World<'a> {
    pub(super) now: Now,
    pub(super) config: &'a LogConfig,
    pub(super) topic: &'a mut Topic,
    pub(super) faults: &'a mut Faults,
}

#[derive(Clone, Debug)]
pub(super) struct Client {
    number: u32,
    readers: BTreeMap<Partition, Reader>,
    /// Asks without an answer yet, by kind, with their deadline.
    asked: BTreeMap<LogCallKind, Duration>,
    appends: PendingAppends,
}

impl Client {
    pub(super) fn new(number: u32) -> Client {
        Client {
            number,
            readers: BTreeMap::new(),
            asked: BTreeMap::new(),
            appends: PendingAppends::new(),
        }
    }

    pub(super) fn handle(&mut self, world: &mut World<'_>, call: LogCall, out: &mut Vec<LogEvent>) {
        match call {
            LogCall::Describe => self.ask(world, LogCallKind::Describe, out),
            LogCall::Ends => self.ask(world, LogCallKind::Ends, out),
            LogCall::TopicId => self.ask(world, LogCallKind::TopicId, out),
            LogCall::Assign { partition, at, epoch } => {
                assert!(partition.0 < world.topic.count(), "partition {partition} does not exist");
                self.readers.insert(partition, Reader::at(at, epoch));
                out.push(LogEvent::Assigned { partition });
            }
            LogCall::Fetch { partition, bytes_max } => {
                let reader = self.readers.get_mut(&partition);
                reader.expect("a fetch follows an assign").credit(bytes_max);
                self.serve(world, out);
            }
            LogCall::Append { id, writes } => {
                let deadline = world.now.mono + world.config.delivery_timeout;
                let fate = world.faults.next_fate();
                self.appends.push_back(PendingAppend { id, writes, deadline, fate });
                self.settle_appends(world, out);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let appends = self.appends.front().map(|append| append.deadline);
        self.asked.values().copied().chain(appends).min()
    }

    /// Answers what can be answered, fails what waited too long.
    pub(super) fn settle(&mut self, world: &mut World<'_>, out: &mut Vec<LogEvent>) {
        if world.faults.untold.remove(&self.number)
            && let Some(outage) = &world.faults.outage
        {
            out.push(LogEvent::Trouble(outage.error.clone()));
        }
        self.settle_asks(world, out);
        self.settle_appends(world, out);
    }

    fn ask(&mut self, world: &mut World<'_>, kind: LogCallKind, out: &mut Vec<LogEvent>) {
        let before = self.asked.insert(kind, world.now.mono + world.config.ask_timeout);
        assert!(before.is_none(), "one {kind:?} at a time");
        self.settle_asks(world, out);
    }

    fn settle_asks(&mut self, world: &World<'_>, out: &mut Vec<LogEvent>) {
        let Some(outage) = &world.faults.outage else {
            let answered = std::mem::take(&mut self.asked);
            out.extend(answered.into_keys().map(|kind| self.answer(world, kind)));
            return;
        };
        let late = self.asked.extract_if(.., |_, deadline| *deadline <= world.now.mono);
        out.extend(late.map(|(call, _)| LogEvent::Failed { call, error: outage.error.clone() }));
    }

    fn answer(&self, world: &World<'_>, kind: LogCallKind) -> LogEvent {
        match kind {
            LogCallKind::Describe => LogEvent::Facts(LogFacts {
                cluster: world.config.cluster.clone(),
                topic: world.topic.id,
                policy: world.topic.policy.clone(),
                partitions: world.topic.facts(self.number),
            }),
            LogCallKind::Ends => LogEvent::Ends(world.topic.ends(self.number)),
            LogCallKind::TopicId => LogEvent::TopicId(world.topic.id),
        }
    }

    fn settle_appends(&mut self, world: &mut World<'_>, out: &mut Vec<LogEvent>) {
        while let Some(append) = self.appends.pop_front() {
            let late = append.deadline <= world.now.mono;
            if self.reaches_leaders(world, &append) {
                out.push(append.arrive(world.topic, world.now, &mut world.faults.late));
            } else if late {
                let expiry = world.faults.expiry();
                out.push(append.expire(&expiry, world.topic, world.now, &mut world.faults.late));
            } else {
                self.appends.push_front(append);
                return;
            }
        }
    }

    fn reaches_leaders(&self, world: &World<'_>, append: &PendingAppend) -> bool {
        let reaches = |partition: Partition| {
            let log = world.topic.partitions.get(partition.index());
            log.is_none_or(|log| log.reaches_leader(self.number))
        };
        world.faults.outage.is_none() && append.writes.iter().all(|write| reaches(write.partition))
    }

    /// Gives waiting fetches what there is for them.
    pub(super) fn serve(&mut self, world: &mut World<'_>, out: &mut Vec<LogEvent>) {
        if world.faults.outage.is_some() || world.faults.stalled.contains(&self.number) {
            return;
        }
        let partitions = world.topic.count();
        let end_with_records = world.config.end_with_records;
        let mut lost = Vec::new();
        for (partition, reader) in self.readers.iter_mut().filter(|(_, reader)| reader.waits()) {
            let partition = *partition;
            let leader = world.topic.partitions[partition.index()].answering(self.number);
            match reader.poll(leader, Place { partition, partitions, end_with_records }) {
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
