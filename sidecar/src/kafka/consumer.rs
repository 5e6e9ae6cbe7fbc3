//! Reading: one thread, one consumer client without a group, one queue per assigned partition.
//!
//! The thread sleeps in its inbox, where calls arrive and librdkafka says that a queue stopped being
//! empty. It alone speaks of partitions, so nothing of an older assignment can follow `Assigned`: an
//! assignment has its own queue, which goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use outrigger_core::log::LogEvent;
use outrigger_core::offset::{Epoch, Offset, Partition};

use super::PartitionCounts;
use super::config::KafkaConfig;
use super::raw::{Client, ClientError, Code, Queue, Topic};
use super::reader::{Progress, Reader, Start};
use super::settings::{Ahead, Prefetch, WATERMARK_AGAIN};
use super::trouble::{Right, Troubles};
use crate::index::StoreIndex;
use crate::log::LogSink;
use crate::vital::Work;

pub(super) enum ToConsumer {
    Assign {
        store: StoreIndex,
        partition: Partition,
        at: Offset,
        epoch: Option<Epoch>,
    },
    Fetch {
        store: StoreIndex,
        partition: Partition,
        bytes_max: u32,
    },
    /// Something arrived in the empty queue of this partition.
    Ready(Place),
    /// Something arrived in the empty queue of the client's events.
    Events,
    /// Files of TLS were renewed.
    Renew,
    Stop,
}

/// A partition of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    store: StoreIndex,
    partition: Partition,
}

/// Its fields are in the order in which they may go: queues and topics before their client.
pub(super) struct Consumer {
    readers: BTreeMap<Place, Reader>,
    /// Indexed by store.
    topics: Vec<Topic>,
    events: Queue,
    client: Client,
    /// When to look at a partition although nothing arrives.
    timers: BTreeSet<(Instant, Place)>,
    config: KafkaConfig,
    names: Arc<[CString]>,
    ahead: Ahead,
    /// What the client was made with.
    prefetch: Prefetch,
    counts: PartitionCounts,
    inbox: Sender<ToConsumer>,
    sink: LogSink,
    troubles: Troubles,
}

impl Consumer {
    pub(super) fn new(
        config: &KafkaConfig,
        names: Arc<[CString]>,
        ahead: Ahead,
        counts: PartitionCounts,
        inbox: Sender<ToConsumer>,
        sink: LogSink,
        troubles: Troubles,
    ) -> Result<Consumer, ClientError> {
        let prefetch = ahead.prefetch(1);
        let client = config.consumer(prefetch)?;
        Ok(Consumer {
            readers: BTreeMap::new(),
            topics: names.iter().map(|name| client.topic(name)).collect(),
            events: events(&client, &inbox),
            client,
            timers: BTreeSet::new(),
            config: config.clone(),
            ahead,
            prefetch,
            counts,
            inbox,
            troubles,
            names,
            sink,
        })
    }

    /// Shares the bytes to fetch ahead, before anything is read: how much a partition may fetch ahead is a setting of
    /// the client, and follows from how many there are. Stores that are not described yet are taken for as large as the
    /// others.
    fn share_prefetch(&mut self) {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Acquire));
        let largest = counts.clone().max().unwrap_or(0);
        let partitions: usize = counts
            .map(|count| if count == 0 { largest } else { count })
            .map(|count| usize::try_from(count).expect("usize holds 32 bits"))
            .sum();
        let prefetch = self.ahead.prefetch(partitions);
        if prefetch == self.prefetch {
            return;
        }
        match self.config.consumer(prefetch) {
            Ok(client) => {
                self.exchange(client);
                self.prefetch = prefetch;
            }
            Err(error) => tracing::warn!(%error, "partitions fetch further ahead than they should"),
        }
    }

    /// Puts `client` in the place of one that reads nothing.
    fn exchange(&mut self, client: Client) {
        let topics = self.names.iter().map(|name| client.topic(name)).collect();
        let topics = std::mem::replace(&mut self.topics, topics);
        let events = std::mem::replace(&mut self.events, events(&client, &self.inbox));
        let client = std::mem::replace(&mut self.client, client);
        // Its own threads may hang in a name lookup; nobody waits for them.
        std::thread::spawn(move || drop((topics, events, client)));
    }

    /// Reading resumes at the end of what was delivered, with a client that has read the files of TLS as they are now.
    fn renew(&mut self) {
        let client = match self.config.consumer(self.prefetch) {
            Ok(client) => client,
            Err(error) => {
                tracing::warn!(%error, "reading goes on with the files of TLS that there were");
                return;
            }
        };
        self.stop_all();
        self.exchange(client);
        let starts: Vec<_> =
            self.readers.iter().map(|(place, reader)| (*place, reader.begins())).collect();
        for (place, start) in starts {
            let (queue, started) = self.start(place, &start);
            self.readers.get_mut(&place).expect("it was just asked").read_again(queue);
            self.started(place, started);
        }
    }

    fn stop_all(&self) {
        for place in self.readers.keys() {
            // It is refused only when reading was never started.
            self.topics[place.store.0].stop(place.partition).ok();
        }
    }

    pub(super) fn run(mut self, inbox: &Work<ToConsumer>) {
        while let Some(next) = self.receive(inbox) {
            match next {
                ToConsumer::Assign { store, partition, at, epoch } => {
                    self.assign(Place { store, partition }, at, epoch);
                }
                ToConsumer::Fetch { store, partition, bytes_max } => {
                    let place = Place { store, partition };
                    let reader = self.readers.get_mut(&place);
                    reader.expect("a fetch follows an assignment").grant(bytes_max);
                    self.serve(place);
                }
                ToConsumer::Ready(place) => self.serve(place),
                ToConsumer::Events => self.hear(),
                ToConsumer::Renew => self.renew(),
                ToConsumer::Stop => break,
            }
        }
        self.stop_all();
    }

    /// The next message; timers that are due come first, however many messages wait. None when there will be none.
    fn receive(&mut self, inbox: &Work<ToConsumer>) -> Option<ToConsumer> {
        loop {
            self.serve_timers();
            let Some((due, _)) = self.timers.first() else { return inbox.recv().ok() };
            match inbox.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn serve_timers(&mut self) {
        if self.timers.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some((due, place)) = self.timers.first().copied() {
            if due > now {
                return;
            }
            self.timers.pop_first();
            if let Some(again) = self.readers.get(&place).and_then(|reader| reader.due(now)) {
                self.read_again(place, &again);
            }
            self.serve(place);
        }
    }

    fn assign(&mut self, place: Place, at: Offset, epoch: Option<Epoch>) {
        let partitions = self.counts[place.store.0].load(Ordering::Acquire);
        assert!(partitions > 0, "an assignment follows the store's first facts");
        let start = Start { partition: place.partition, partitions, at, epoch };
        if self.readers.is_empty() {
            self.share_prefetch();
        }
        if let Ahead::One(_) = self.ahead {
            for other in std::mem::take(&mut self.readers).into_keys() {
                self.stop(other);
            }
        } else if self.readers.contains_key(&place) {
            self.stop(place);
        }
        let (queue, started) = self.start(place, &start);
        self.readers.insert(place, Reader::new(start, queue));
        (self.sink)(place.store, LogEvent::Assigned { partition: place.partition });
        self.started(place, started);
    }

    fn read_again(&mut self, place: Place, start: &Start) {
        self.stop(place);
        let (queue, started) = self.start(place, start);
        let reader = self.readers.get_mut(&place).expect("its start was just read");
        reader.read_again(queue);
        self.started(place, started);
    }

    fn stop(&mut self, place: Place) {
        if let Err(code) = self.topics[place.store.0].stop(place.partition) {
            self.troubles.of_store(place.store, code, "cannot stop reading a partition");
        }
    }

    fn start(&self, place: Place, start: &Start) -> (Queue, Result<(), Code>) {
        let inbox = self.inbox.clone();
        let queue = self.client.new_queue().wake_with(move || {
            // This fails only when the thread has ended, which then has no use for records.
            inbox.send(ToConsumer::Ready(place)).ok();
        });
        let topic = &self.topics[place.store.0];
        let started = topic.start(place.partition, start.at, &queue).and_then(|()| {
            // There is something to check only with something below the position, and its epoch.
            match start.epoch {
                Some(_) if start.at > Offset::ZERO => {
                    topic.seek(place.partition, start.at, start.epoch)
                }
                Some(_) | None => Ok(()),
            }
        });
        (queue, started)
    }

    fn started(&mut self, place: Place, started: Result<(), Code>) {
        if let Err(code) = started {
            self.troubles.of_store(place.store, code, "cannot start reading a partition");
            let reader = self.readers.get_mut(&place).expect("just started");
            self.timers.insert((reader.fault(), place));
        }
    }

    /// Tells everything that credit and queue of this partition allow.
    fn serve(&mut self, place: Place) {
        let Place { store, partition } = place;
        // A queue may have spoken just before its assignment ended.
        let Some(reader) = self.readers.get_mut(&place) else { return };
        loop {
            match reader.advance(&self.topics[store.0]) {
                Progress::Batch(batch) => (self.sink)(store, LogEvent::Fetched(batch)),
                Progress::Lost(loss) => (self.sink)(store, LogEvent::Lost { partition, loss }),
                Progress::Fault { fault, until } => {
                    self.timers.insert((until, place));
                    self.troubles.of_right(store, Right::Read, fault.code, &fault.text);
                }
                Progress::AwaitsWatermark => {
                    self.timers.insert((Instant::now() + WATERMARK_AGAIN, place));
                    return;
                }
                Progress::Nothing => return,
            }
        }
    }

    fn hear(&mut self) {
        let Consumer { events, troubles, client, .. } = self;
        while events.poll(Duration::ZERO, |event| troubles.hear(&event, client)) {}
    }
}

fn events(client: &Client, inbox: &Sender<ToConsumer>) -> Queue {
    let to_self = inbox.clone();
    client.main_queue().wake_with(move || {
        // This fails only when the thread has ended, which then has no use for events.
        to_self.send(ToConsumer::Events).ok();
    })
}
