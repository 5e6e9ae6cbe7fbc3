//! Records on their way to librdkafka, and its deliveries on their way back.
//!
//! Order per partition: appends are taken in the order of their calls (`appends`), one idempotent
//! producer writes them in the order it was handed them. A producer that broke ends with an outcome
//! for each of its records before the next append makes another; a record whose outcome is unknown
//! may land later than those of its successor, as any write with an unknown outcome may.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use outrigger_core::log::{KafkaError, LogEvent, Write};
use outrigger_core::offset::{RequestId, Revision};

use super::admin::ToAdmin;
use super::appends::{Driver, ToProducer};
use super::config::KafkaConfig;
use super::held::{Held, Name};
use super::lanes::{Lanes, Place, Record};
use super::ledger::{Answer, Ledger};
use super::raw::{
    Client, ClientError, Code, Connections, Deliveries, Delivery, Event, Queue, Topic,
};
use super::renewal::Renewed;
use super::settings::{BatchBytes, LIMIT_AGAIN, LOOK_EVERY, OVERDUE, PRODUCER_AGAIN, PURGE_MAX};
use super::trouble::{Troubles, kafka_error};
use crate::index::StoreIndex;
use crate::log::LogSink;

/// What a producer works for and with.
pub(super) struct Parts {
    pub(super) config: KafkaConfig,
    pub(super) store: StoreIndex,
    pub(super) topic: CString,
    pub(super) thread: Sender<ToProducer>,
    pub(super) driver: Driver,
    pub(super) admin: Sender<ToAdmin>,
    /// The topic's `max.message.bytes`, as last heard.
    pub(super) message_bytes_max: Arc<AtomicU64>,
    pub(super) renewed: Renewed,
    pub(super) sink: LogSink,
}

pub(super) struct Producer {
    parts: Parts,
    troubles: Troubles,
    ledger: Ledger,
    /// Empty while brokers are reached.
    held: Held,
    lanes: Lanes,
    /// Empty; kept for its memory.
    group: Vec<Record>,
    client: State,
    /// When the last client was started; none before the first.
    started: Option<Instant>,
    /// When outcomes of open records were last looked for.
    looked: Instant,
    /// Batch size of the client; another client takes its place as soon as none of its records is open.
    batch: BatchBytes,
    /// How often files of TLS had been renewed when the client was made, or when no client could be made of them.
    renewed: u64,
    /// When the topic's limit was asked for last, because it refused something.
    limit_asked: Option<Instant>,
}

enum State {
    Running(Running),
    /// It met this error, after which a client refuses everything, or it did not start. The next append makes another.
    Broken(Code),
}

/// A producer client. Its fields are in the order in which they may go.
struct Running {
    topic: Topic,
    events: Queue,
    connections: Arc<Connections>,
    client: Client,
}

impl Running {
    fn start(parts: &Parts, batch: BatchBytes) -> Result<Running, ClientError> {
        let Parts { config, topic, thread, driver, .. } = parts;
        let connected = thread.clone();
        let connections = Arc::new(Connections::new(move || {
            // This fails only when the thread has ended, which then holds nothing back.
            connected.send(ToProducer::Connected).ok();
        }));
        let client = config.producer(batch, Arc::clone(&connections))?;
        let (thread, driver) = (thread.clone(), driver.clone());
        let events = client.main_queue().wake_with(move || match driver.get() {
            Some(wake) => wake(),
            // This fails only when the thread has ended, which then has no use for events.
            None => drop(thread.send(ToProducer::Events)),
        });
        Ok(Running { topic: client.topic(topic), events, connections, client })
    }
}

impl Producer {
    /// A producer without a client: [`begin`](Producer::begin), or the first append, makes one.
    pub(super) fn new(parts: Parts) -> Producer {
        Producer {
            troubles: Troubles::of_one(
                "producer",
                Arc::clone(&parts.sink),
                parts.store,
                &parts.topic,
            ),
            parts,
            ledger: Ledger::default(),
            held: Held::default(),
            lanes: Lanes::default(),
            group: Vec::new(),
            client: State::Broken(Code::FATAL),
            started: None,
            looked: Instant::now(),
            batch: BatchBytes::MAX,
            renewed: 0,
            limit_asked: None,
        }
    }

    /// Puts another client in the place of the one that there is.
    pub(super) fn begin(&mut self) -> Result<(), ClientError> {
        self.started = Some(Instant::now());
        self.renewed = self.parts.renewed.times();
        let batch = self.batch_wanted();
        let running = Running::start(&self.parts, batch)?;
        (self.client, self.batch) = (State::Running(running), batch);
        Ok(())
    }

    fn batch_wanted(&self) -> BatchBytes {
        BatchBytes::within(self.parts.message_bytes_max.load(Ordering::Relaxed))
    }

    /// Whether batches are of another size than the topic takes, or files of TLS have been renewed since the client was
    /// made: nothing is handed to it then.
    fn is_outgrown(&self) -> bool {
        self.batch != self.batch_wanted() || self.renewed != self.parts.renewed.times()
    }

    /// When records that wait are to leave although nothing happens.
    pub(super) fn leaves(&self) -> Option<Instant> {
        self.lanes.due()
    }

    /// When outcomes are to be looked for, or what is kept back is to be given up.
    pub(super) fn looks(&self) -> Option<Instant> {
        let look = (!self.ledger.is_empty()).then(|| self.looked + LOOK_EVERY);
        self.held.due().into_iter().chain(look).min()
    }

    /// Whether neither an append nor deliveries can take long now.
    pub(super) fn is_quick(&self) -> bool {
        let running = matches!(self.client, State::Running(_));
        running
            && self.held.is_empty()
            && !self.lanes.in_bulk()
            && !self.is_away()
            && !self.is_outgrown()
    }

    /// Looks for outcomes. Every open record gets one, even when librdkafka has none for it or does not tell.
    pub(super) fn look(&mut self, now: Instant) {
        if self.ledger.is_empty() || now < self.looked + LOOK_EVERY {
            return;
        }
        self.looked = now;
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
            (self.parts.sink)(store, LogEvent::Appended { id, results: Vec::new() });
            return;
        }
        self.replace_broken();
        if self.is_away() || self.is_outgrown() {
            self.held.keep((store, id), writes, Instant::now())
        } else {
            // A broker that is reached may be met here before its message is.
            self.release();
            self.hand_over(store, id, &writes);
        }
    }

    fn is_away(&self) -> bool {
        match &self.client {
            State::Running(running) => running.connections.away(),
            // A broken client refuses at once.
            State::Broken(_) => false,
        }
    }

    /// Answers an append that is held, for it has not left; of what librdkafka has nobody can tell.
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
        if self.held.is_empty() || self.is_away() || self.is_outgrown() {
            return;
        }
        for ((store, id), writes) in self.held.release() {
            self.hand_over(store, id, &writes);
        }
    }

    fn never_left(&self, (store, id): Name, records: usize, code: Code) {
        let results = vec![Err(kafka_error(code, true)); records];
        (self.parts.sink)(store, LogEvent::Appended { id, results });
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

    /// Hands over records of one partition, in order.
    fn produce(&mut self, place: Place, group: &[Record]) {
        if group.is_empty() {
            return;
        }
        let (_, partition) = place;
        let refused = match &self.client {
            State::Running(running) => {
                running.topic.produce(partition, group.iter().map(Record::message))
            }
            State::Broken(code) => group.iter().map(|record| (record.ticket, *code)).collect(),
        };
        for (ticket, code) in refused {
            // It was not taken at all: it cannot be in any log.
            self.lanes.answered(place);
            answer(&self.parts.sink, self.ledger.settle(ticket, Err(kafka_error(code, true))));
        }
    }

    /// Hands over what has waited for answers, once they are there or do not come.
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
        // The client is gone before anything else is appended: no late delivery of it meets another's ticket.
        self.client = State::Broken(code);
    }

    /// Takes the events that are there. Returns what the client broke with, if it did: its replacement takes long.
    pub(super) fn hear_quickly(&mut self) -> Option<Code> {
        self.drain(Duration::ZERO);
        match &self.client {
            State::Running(running) => running.client.fatal_error(),
            State::Broken(_) => None,
        }
    }

    /// It is replaced at most once in a while: what broke one client may break the next at once.
    fn replace_broken(&mut self) {
        let due = self.started.is_none_or(|started| started.elapsed() >= PRODUCER_AGAIN);
        if due && matches!(self.client, State::Broken(_)) {
            self.replace();
        }
    }

    fn replace(&mut self) {
        if let Err(error) = self.begin() {
            self.troubles.of_client(Code::FATAL, &error.to_string());
        }
    }

    /// librdkafka decides how large batches are, and reads files of TLS, when a client starts. Appends are held
    /// meanwhile: what the client before has on its way may be tried again, and must not land after them. Where no
    /// other client can be made, the present one stays.
    pub(super) fn resize(&mut self) {
        if !self.is_outgrown() || !self.ledger.is_empty() {
            return;
        }
        match self.client {
            State::Running(_) => self.replace(),
            // The next client will have what is wanted.
            State::Broken(_) => {
                (self.batch, self.renewed) = (self.batch_wanted(), self.parts.renewed.times());
            }
        }
        self.release();
    }

    /// The topic takes less than it did, and nobody told: the batches after this one are to fit.
    fn refused_as_too_large(&mut self) {
        let now = Instant::now();
        if self.limit_asked.is_none_or(|asked| asked + LIMIT_AGAIN <= now) {
            self.limit_asked = Some(now);
            // This fails only when the thread has ended: this one is about to.
            self.parts.admin.send(ToAdmin::AskLimit { store: self.parts.store }).ok();
        }
    }

    /// Takes the events that are there, waiting up to `wait` for the first of them.
    fn drain(&mut self, mut wait: Duration) {
        let Producer { client, ledger, lanes, parts, troubles, .. } = self;
        let State::Running(running) = client else { return };
        let mut too_large = false;
        while running.events.poll(wait, |event| {
            troubles.hear(&event, &running.client);
            if let Event::Deliveries(deliveries) = event {
                too_large |= settle(ledger, lanes, &parts.sink, deliveries);
            }
        }) {
            wait = Duration::ZERO;
        }
        if too_large {
            self.refused_as_too_large();
        }
    }

    /// Ends it: nothing is appended any more.
    pub(super) fn end(&mut self) {
        self.give_up();
        self.client = State::Broken(Code::DESTROY);
    }

    /// Every open record gets its outcome: what is held never left, the others' outcome is from librdkafka, or
    /// "unknown" when that takes too long.
    fn give_up(&mut self) {
        for (name, writes) in self.held.release() {
            self.never_left(name, writes.len(), Code::DESTROY);
        }
        for Record { ticket, .. } in self.lanes.give_up() {
            let outcome = Err(kafka_error(Code::DESTROY, true));
            answer(&self.parts.sink, self.ledger.settle(ticket, outcome));
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
        // Late deliveries will meet a client that is gone.
        self.lanes = Lanes::default();
        for open in self.ledger.settle_all(&kafka_error(Code::DESTROY, false)) {
            answer(&self.parts.sink, Some(open));
        }
    }
}

/// Settles deliveries. Returns whether a broker refused some of them as too large.
fn settle(
    ledger: &mut Ledger,
    lanes: &mut Lanes,
    sink: &LogSink,
    deliveries: Deliveries<'_>,
) -> bool {
    let mut too_large = false;
    for delivery in deliveries {
        too_large |= delivery.code == Code::MSG_SIZE_TOO_LARGE;
        lanes.answered(ledger.place(delivery.ticket));
        answer(sink, ledger.settle(delivery.ticket, outcome(&delivery)));
    }
    too_large
}

fn answer(sink: &LogSink, answer: Option<Answer>) {
    if let Some(Answer { store, event }) = answer {
        sink(store, event);
    }
}

/// An error code alone says nothing about the log: only the message's status does. An acknowledgement without an offset
/// is that of a retry, of a record that landed somewhere.
fn outcome(delivery: &Delivery) -> Result<Revision, KafkaError> {
    match (delivery.code, delivery.offset) {
        (Code::NONE, Some(offset)) => Ok(Revision { partition: delivery.partition, offset }),
        (Code::NONE, None) => Err(kafka_error(Code::NO_OFFSET, false)),
        (code, _) => Err(kafka_error(code, delivery.not_persisted)),
    }
}

#[cfg(test)]
mod tests;
