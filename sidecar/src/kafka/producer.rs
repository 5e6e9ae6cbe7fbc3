//! Records on their way to librdkafka, and its deliveries on their way back.
//!
//! Order per partition: appends are taken in the order of their calls (`appends`), one idempotent
//! producer writes them in the order it was handed them. A producer that broke ends with an outcome
//! for each of its records before the next append makes another; a record whose outcome is unknown
//! may land later than those of its successor, as any write with an unknown outcome may.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use outrigger_core::log::{KafkaError, LogEvent, Write};
use outrigger_core::offset::{RequestId, Revision};

use super::LogSink;
use super::appends::{Driver, ToProducer};
use super::config::KafkaConfig;
use super::held::{Held, Name};
use super::lanes::{Lanes, Place, Record};
use super::ledger::{Answer, Ledger};
use super::raw::{
    Client, ClientError, Code, Connections, Deliveries, Delivery, Event, Queue, Topic,
};
use super::settings::{LOOK_EVERY, OVERDUE, PRODUCER_AGAIN, PURGE_MAX};
use super::trouble::{Troubles, kafka_error};
use crate::index::StoreIndex;

pub(super) struct Producer {
    config: KafkaConfig,
    topics: Arc<[CString]>,
    thread: Sender<ToProducer>,
    driver: Driver,
    sink: LogSink,
    troubles: Troubles,
    ledger: Ledger,
    /// Empty while brokers are reached.
    held: Held,
    lanes: Lanes,
    /// Empty; kept for its memory.
    group: Vec<Record>,
    client: State,
    /// Of the last client.
    started: Instant,
    /// When its outcomes were looked for.
    heard: Instant,
}

enum State {
    Running(Running),
    /// Met this error, after which a client refuses everything. The next append makes another.
    Broken(Code),
}

/// A producer client. Fields in the order in which they may go.
struct Running {
    /// Indexed by store.
    topics: Vec<Topic>,
    events: Queue,
    connections: Arc<Connections>,
    client: Client,
}

impl Running {
    fn start(
        config: &KafkaConfig,
        topics: &[CString],
        thread: &Sender<ToProducer>,
        driver: &Driver,
    ) -> Result<Running, ClientError> {
        let connected = thread.clone();
        let connections = Arc::new(Connections::new(move || {
            // Fails only when the thread has ended, which then holds nothing back.
            connected.send(ToProducer::Connected).ok();
        }));
        let client = config.producer(Arc::clone(&connections))?;
        let (thread, driver) = (thread.clone(), driver.clone());
        let events = client.main_queue().wake_with(move || match driver.get() {
            Some(wake) => wake(),
            // Fails only when the thread has ended, which then has no use for events.
            None => drop(thread.send(ToProducer::Events)),
        });
        let topics = topics.iter().map(|name| client.topic(name)).collect();
        Ok(Running { topics, events, connections, client })
    }
}

impl Producer {
    pub(super) fn new(
        config: &KafkaConfig,
        topics: Arc<[CString]>,
        thread: Sender<ToProducer>,
        driver: Driver,
        sink: LogSink,
    ) -> Result<Producer, ClientError> {
        let running = Running::start(config, &topics, &thread, &driver)?;
        Ok(Producer {
            config: config.clone(),
            troubles: Troubles::new(Arc::clone(&sink), topics.len()),
            topics,
            thread,
            driver,
            sink,
            ledger: Ledger::default(),
            held: Held::default(),
            lanes: Lanes::default(),
            group: Vec::new(),
            client: State::Running(running),
            started: Instant::now(),
            heard: Instant::now(),
        })
    }

    /// When records that wait are to leave although nothing happens.
    pub(super) fn leaves(&self) -> Option<Instant> {
        self.lanes.due()
    }

    /// When outcomes are to be looked for, or what is kept back is to be given up.
    pub(super) fn looks(&self) -> Option<Instant> {
        let look = (!self.ledger.is_empty()).then(|| self.heard + LOOK_EVERY);
        self.held.due().into_iter().chain(look).min()
    }

    /// Whether neither an append nor deliveries can take long now.
    pub(super) fn is_quick(&self) -> bool {
        let running = matches!(self.client, State::Running(_));
        running && self.held.is_empty() && !self.lanes.in_bulk() && !self.is_away()
    }

    /// Every open record gets an outcome, also when librdkafka has none for it or does not tell.
    pub(super) fn look(&mut self, now: Instant) {
        if self.ledger.is_empty() || now < self.heard + LOOK_EVERY {
            return;
        }
        self.hear();
        if !self.ledger.is_overdue(now, OVERDUE) {
            return;
        }
        tracing::error!("kafka does not tell the outcome of writes: its producer is replaced");
        self.troubles.of_client(Code::TIMED_OUT, "no outcome of a write in time");
        self.give_up();
        self.client = State::Broken(Code::TIMED_OUT);
    }

    pub(super) fn append(&mut self, store: StoreIndex, id: RequestId, writes: Arc<[Write]>) {
        if writes.is_empty() {
            (self.sink)(store, LogEvent::Appended { id, results: Vec::new() });
            return;
        }
        self.replace_broken();
        match self.is_away() {
            true => self.held.keep((store, id), writes, Instant::now()),
            false => {
                // A broker that is reached may be met here before its message is.
                self.release();
                self.hand_over(store, id, &writes);
            }
        }
    }

    fn is_away(&self) -> bool {
        match &self.client {
            State::Running(running) => running.connections.away(),
            // It refuses at once.
            State::Broken(_) => false,
        }
    }

    /// What is held has not left; of what librdkafka has nobody can tell.
    pub(super) fn withdraw(&mut self, name: Name) {
        if let Some(records) = self.held.give_up(name) {
            self.never_left(name, records, Code::ALL_BROKERS_DOWN);
        }
    }

    pub(super) fn expire(&mut self) {
        for (name, records) in self.held.overdue(Instant::now()) {
            self.never_left(name, records, Code::ALL_BROKERS_DOWN);
        }
    }

    pub(super) fn release(&mut self) {
        if self.held.is_empty() || self.is_away() {
            return;
        }
        for ((store, id), writes) in self.held.release() {
            self.hand_over(store, id, &writes);
        }
    }

    fn never_left(&self, (store, id): Name, records: usize, code: Code) {
        let results = vec![Err(kafka_error(code, true)); records];
        (self.sink)(store, LogEvent::Appended { id, results });
    }

    fn hand_over(&mut self, store: StoreIndex, id: RequestId, writes: &Arc<[Write]>) {
        let now = Instant::now();
        let slot = self.ledger.open(store, id, writes, now);
        let mut group = std::mem::take(&mut self.group);
        let mut before = None;
        for (index, write) in writes.iter().enumerate() {
            let place = (store, write.partition);
            if let Some(before) = before.replace(place).filter(|before| *before != place) {
                self.produce(before, &group);
                group.clear();
            }
            let record = Record { ticket: slot.ticket(index), writes: Arc::clone(writes), index };
            group.extend(self.lanes.enter(place, record, now));
        }
        if let Some(before) = before {
            self.produce(before, &group);
        }
        group.clear();
        self.group = group;
    }

    /// Records of one partition, in order.
    fn produce(&mut self, place: Place, group: &[Record]) {
        if group.is_empty() {
            return;
        }
        let (store, partition) = place;
        let refused = match &self.client {
            State::Running(running) => {
                running.topics[store.0].produce(partition, group.iter().map(Record::message))
            }
            State::Broken(code) => group.iter().map(|record| (record.ticket, *code)).collect(),
        };
        for (ticket, code) in refused {
            // Not taken at all: it cannot be in any log.
            self.lanes.answered(place);
            answer(&self.sink, self.ledger.settle(ticket, Err(kafka_error(code, true))));
        }
    }

    /// What has waited for answers, once they are there or do not come.
    pub(super) fn follow(&mut self) {
        if !self.lanes.any_waits() {
            return;
        }
        for (place, group) in self.lanes.release(Instant::now()) {
            self.produce(place, &group);
        }
    }

    pub(super) fn hear(&mut self) {
        let Some(code) = self.hear_quickly() else { return };
        self.give_up();
        // Gone before anything else is appended: no late delivery of it meets another's ticket.
        self.client = State::Broken(code);
    }

    /// Takes what is there. What the client broke with, if it did: to make up for that takes long.
    pub(super) fn hear_quickly(&mut self) -> Option<Code> {
        self.heard = Instant::now();
        self.drain(Duration::ZERO);
        match &self.client {
            State::Running(running) => running.client.fatal_error(),
            State::Broken(_) => None,
        }
    }

    /// At most once in a while: what broke one client may break the next at once.
    fn replace_broken(&mut self) {
        let due = self.started.elapsed() >= PRODUCER_AGAIN;
        if due && matches!(self.client, State::Broken(_)) {
            self.started = Instant::now();
            match Running::start(&self.config, &self.topics, &self.thread, &self.driver) {
                Ok(running) => self.client = State::Running(running),
                Err(error) => self.troubles.of_client(Code::FATAL, &error.to_string()),
            }
        }
    }

    /// Takes what is there, waiting up to `wait` for the first of it.
    fn drain(&mut self, mut wait: Duration) {
        let Producer { client, ledger, lanes, sink, troubles, .. } = self;
        let State::Running(running) = client else { return };
        while running.events.poll(wait, |event| {
            troubles.hear(&event);
            if let Event::Deliveries(deliveries) = event {
                settle(ledger, lanes, sink, deliveries);
            }
        }) {
            wait = Duration::ZERO;
        }
    }

    /// Nothing is appended any more.
    pub(super) fn end(&mut self) {
        self.give_up();
        self.client = State::Broken(Code::DESTROY);
    }

    /// Every open record gets its outcome: what is held never left, the others' is from librdkafka, or "unknown" when that takes too long.
    fn give_up(&mut self) {
        for (name, writes) in self.held.release() {
            self.never_left(name, writes.len(), Code::DESTROY);
        }
        for Record { ticket, .. } in self.lanes.give_up() {
            let outcome = Err(kafka_error(Code::DESTROY, true));
            answer(&self.sink, self.ledger.settle(ticket, outcome));
        }
        if let State::Running(running) = &self.client
            && !self.ledger.is_empty()
        {
            running.client.purge();
        }
        let until = Instant::now() + PURGE_MAX;
        while !self.ledger.is_empty() && Instant::now() < until {
            self.drain(Duration::from_millis(100));
        }
        // Late deliveries meet a client that is gone.
        self.lanes = Lanes::default();
        for open in self.ledger.settle_all(&kafka_error(Code::DESTROY, false)) {
            answer(&self.sink, Some(open));
        }
    }
}

fn settle(ledger: &mut Ledger, lanes: &mut Lanes, sink: &LogSink, deliveries: Deliveries<'_>) {
    for delivery in deliveries {
        lanes.answered(ledger.place(delivery.ticket));
        answer(sink, ledger.settle(delivery.ticket, outcome(&delivery)));
    }
}

fn answer(sink: &LogSink, answer: Option<Answer>) {
    if let Some(Answer { store, event }) = answer {
        sink(store, event);
    }
}

/// An error code alone says nothing about the log: only the message's status does. An
/// acknowledgement without an offset is a retry's, of a record that landed somewhere.
fn outcome(delivery: &Delivery) -> Result<Revision, KafkaError> {
    match (delivery.code, delivery.offset) {
        (Code::NONE, Some(offset)) => Ok(Revision { partition: delivery.partition, offset }),
        (Code::NONE, None) => Err(kafka_error(Code::NO_OFFSET, false)),
        (code, _) => Err(kafka_error(code, delivery.not_persisted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_core::offset::{Offset, Partition};

    fn delivery(code: Code, not_persisted: bool, offset: Option<u64>) -> Delivery {
        let offset = offset.map(Offset);
        Delivery { ticket: 0, code, not_persisted, partition: Partition(2), offset }
    }

    #[test]
    fn only_the_status_makes_a_failure_definite() {
        let timed_out = Code(-192);
        assert!(outcome(&delivery(timed_out, true, None)).unwrap_err().not_persisted);
        assert!(!outcome(&delivery(timed_out, false, None)).unwrap_err().not_persisted);
        let refused = Code(29);
        let error = outcome(&delivery(refused, false, None)).unwrap_err();
        assert_eq!(
            (error.name.as_str(), error.not_persisted),
            ("TOPIC_AUTHORIZATION_FAILED", false)
        );
    }

    #[test]
    fn an_acknowledgement_without_an_offset_is_not_a_revision() {
        let error = outcome(&delivery(Code::NONE, false, None)).unwrap_err();
        assert_eq!((error.name.as_str(), error.not_persisted), ("_NO_OFFSET", false));
        let revision = outcome(&delivery(Code::NONE, false, Some(9))).unwrap();
        assert_eq!(revision, Revision { partition: Partition(2), offset: Offset(9) });
    }

    #[test]
    fn a_write_without_an_outcome_for_too_long_gets_one_and_its_client_is_replaced() {
        let config =
            KafkaConfig { bootstrap: "127.0.0.1:9".to_owned(), properties: Default::default() };
        let (sender, answers) = std::sync::mpsc::channel();
        let sink = move |_, event| sender.send(event).unwrap();
        let (inbox, _events) = std::sync::mpsc::channel();
        let topics = [CString::new("topic").unwrap()].into();
        let mut producer =
            Producer::new(&config, topics, inbox, Driver::default(), Arc::new(sink)).unwrap();
        let write = Write { partition: Partition(0), key: "key".into(), value: None };
        producer.hand_over(StoreIndex(0), RequestId(7), &[write].into());
        let appended = |event: LogEvent| match event {
            LogEvent::Appended { id, results } => Some((id, results.len())),
            LogEvent::Trouble(_) => None,
            other => panic!("{other:?}"),
        };

        producer.look(Instant::now() + LOOK_EVERY);
        assert_eq!(answers.try_iter().find_map(appended), None, "it may still come");
        producer.look(Instant::now() + OVERDUE + LOOK_EVERY);

        assert_eq!(answers.try_iter().find_map(appended), Some((RequestId(7), 1)));
        assert!(matches!(producer.client, State::Broken(_)), "the next append makes another");
    }

    /// librdkafka's own mock of a broker is enough here: what counts is which client is used.
    #[test]
    fn a_producer_that_broke_answers_everything_and_makes_room_for_another() {
        let config = KafkaConfig {
            bootstrap: "127.0.0.1:9".to_owned(),
            properties: [("test.mock.num.brokers", "1"), ("allow.auto.create.topics", "true")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let (sender, answers) = std::sync::mpsc::channel();
        let sink = move |_, event| sender.send(event).unwrap();
        let (inbox, _events) = std::sync::mpsc::channel();
        let topics = [CString::new("topic").unwrap()].into();
        let mut producer =
            Producer::new(&config, topics, inbox, Driver::default(), Arc::new(sink)).unwrap();
        let append = |producer: &mut Producer, id| {
            let key = bytes::Bytes::from_static(b"key");
            let write = Write { partition: Partition(0), key, value: None };
            producer.append(StoreIndex(0), RequestId(id), Arc::new([write]));
            let until = Instant::now() + Duration::from_secs(20);
            while Instant::now() < until {
                producer.drain(Duration::from_millis(10));
                producer.hear();
                if let Ok(LogEvent::Appended { mut results, .. }) = answers.try_recv() {
                    return results.remove(0);
                }
            }
            panic!("append {id} was not answered");
        };
        append(&mut producer, 1).unwrap();

        let State::Running(running) = &producer.client else { panic!("it works") };
        let cluster_authorization_failed = Code(31);
        running.client.break_fatally(cluster_authorization_failed);
        producer.hear();
        assert!(
            matches!(producer.client, State::Broken(code) if code == cluster_authorization_failed)
        );
        producer.started = Instant::now();
        let refused = append(&mut producer, 2).unwrap_err();
        assert_eq!((refused.code, refused.not_persisted), (31, true));
        producer.started -= PRODUCER_AGAIN;
        append(&mut producer, 3).unwrap();
    }
}
