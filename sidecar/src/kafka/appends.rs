//! Who hands records to the producer and takes its deliveries: whoever calls, or a thread of its own.
//!
//! ```text
//!  append, turn ── the producer is free, quick, and nothing is before this ──> librdkafka
//!       └───────── else ──> thread ───────────────────────────────────────────────┘
//! ```
//! A lone record waits longer for two threads that wake each other than for all that librdkafka does with it. The thread
//! has what may take long (a client that broke, a bulk load), and what is due although nobody calls.

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::Instant;

use outrigger_core::log::Write;
use outrigger_core::offset::RequestId;

use super::admin::ToAdmin;
use super::config::{KafkaConfig, KafkaStartError};
use super::producer::{Parts, Producer};
use super::renewal::Renewed;
use super::settings::{GATHER_MAX, WAIT_MAX};
use super::{Stop, Thread};
use crate::index::StoreIndex;
use crate::log::{LogSink, Wake};
use crate::vital::Work;
use crate::watchdog::Watched;

pub(super) enum ToProducer {
    Append {
        store: StoreIndex,
        id: RequestId,
        writes: Arc<[Write]>,
    },
    Withdraw {
        store: StoreIndex,
        id: RequestId,
    },
    /// There may be deliveries, or other events.
    Events,
    /// A broker is reached again.
    Connected,
    /// Something is due sooner than the thread knows, the topic takes something else than it did, or files of TLS were renewed.
    Due,
    Stop,
}

/// Who takes deliveries when they are there, once somebody wants to.
pub(super) type Driver = Arc<OnceLock<Wake>>;

/// When the client of a store begins to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    AtOnce,
    WithTheFirstWrite,
}

/// Appends to one store.
pub(super) struct Appends {
    shared: Arc<Shared>,
    thread: Thread<ToProducer>,
    limit: Limit,
    /// There may be something for [`Appends::turn`].
    woken: Arc<AtomicBool>,
}

/// Where appends are told how large a record, and so a batch, the topic takes.
#[derive(Clone)]
pub(super) struct Limit {
    message_bytes_max: Arc<AtomicU64>,
    thread: Sender<ToProducer>,
}

impl Limit {
    /// Tells the topic's limit in bytes. It holds for every append after this.
    pub(super) fn tell(&self, message_bytes_max: u64) {
        if self.message_bytes_max.swap(message_bytes_max, Ordering::Relaxed) != message_bytes_max {
            // This fails only when the thread has ended, which then writes nothing.
            self.thread.send(ToProducer::Due).ok();
        }
    }
}

struct Shared {
    desk: Mutex<Desk>,
    driver: Driver,
    /// Appends that the thread was given and has not handed over: none overtakes them.
    before: AtomicUsize,
}

struct Desk {
    producer: Producer,
    /// When the thread wakes by itself.
    wakes: Option<Instant>,
}

impl Appends {
    pub(super) fn start(
        config: &KafkaConfig,
        store: StoreIndex,
        topic: CString,
        begin: Begin,
        admin: Sender<ToAdmin>,
        renewed: Renewed,
        sink: LogSink,
    ) -> Result<Appends, KafkaStartError> {
        let (to_thread, inbox) = mpsc::channel();
        let driver = Driver::default();
        let message_bytes_max = Arc::new(AtomicU64::new(u64::MAX));
        let limit = Limit { message_bytes_max, thread: to_thread.clone() };
        let mut producer = Producer::new(Parts {
            config: config.clone(),
            store,
            topic,
            thread: to_thread.clone(),
            driver: Arc::clone(&driver),
            admin,
            message_bytes_max: Arc::clone(&limit.message_bytes_max),
            renewed,
            sink,
        });
        if begin == Begin::AtOnce {
            producer.begin()?;
        }
        let desk = Mutex::new(Desk { producer, wakes: None });
        let shared = Arc::new(Shared { desk, driver, before: AtomicUsize::new(0) });
        let same = Arc::clone(&shared);
        let name = format!("kafka-produce-{}", store.0);
        let thread = Thread::start(name, to_thread, inbox, move |inbox| same.run(inbox))?;
        Ok(Appends { shared, thread, limit, woken: Arc::default() })
    }

    pub(super) fn limit(&self) -> Limit {
        self.limit.clone()
    }

    pub(super) fn inbox(&self) -> Sender<ToProducer> {
        self.thread.inbox.clone()
    }

    pub(super) fn append(&self, store: StoreIndex, id: RequestId, writes: Arc<[Write]>) {
        let Some(mut desk) = self.shared.quick() else {
            self.shared.before.fetch_add(1, Ordering::Relaxed);
            return self.thread.send(ToProducer::Append { store, id, writes });
        };
        desk.producer.append(store, id, writes);
        self.leave(desk);
    }

    pub(super) fn withdraw(&self, store: StoreIndex, id: RequestId) {
        self.thread.send(ToProducer::Withdraw { store, id });
    }

    pub(super) fn wake_with(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        let woken = Arc::clone(&self.woken);
        let wake = Box::new(move || {
            woken.store(true, Ordering::Release);
            wake();
        });
        // A second `wake` would be told nothing that the first is not.
        self.shared.driver.get_or_init(|| wake);
        // Deliveries may have come before there was one.
        self.woken.store(true, Ordering::Release);
    }

    /// Takes the deliveries that are there.
    pub(super) fn turn(&self) {
        if !self.woken.swap(false, Ordering::Acquire) {
            return;
        }
        let Some(mut desk) = self.shared.quick() else {
            return self.thread.send(ToProducer::Events);
        };
        let broke = desk.producer.hear_quickly();
        self.leave(desk);
        if broke.is_some() {
            self.thread.send(ToProducer::Events);
        }
    }

    /// When records that wait are to be sent. While the thread has the desk nobody can tell, so it is asked again soon: the
    /// thread relies on a turn for what waits.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.shared.desk.try_lock() {
            Ok(desk) => self.shared.is_quick(&desk).then(|| desk.producer.leaves()).flatten(),
            Err(TryLockError::WouldBlock) => Some(Instant::now() + GATHER_MAX),
            Err(TryLockError::Poisoned(_)) => None,
        }
    }

    /// Sends the records that wait and are due.
    pub(super) fn send_due(&self) {
        if let Some(mut desk) = self.shared.quick() {
            desk.producer.follow();
            self.leave(desk);
        }
    }

    fn leave(&self, mut desk: MutexGuard<'_, Desk>) {
        let due = self.shared.due(&desk.producer);
        if due.is_some_and(|due| desk.wakes.is_none_or(|wakes| due < wakes)) {
            desk.wakes = due;
            drop(desk);
            self.thread.send(ToProducer::Due);
        }
    }

    pub(super) fn watched(&self) -> Watched {
        self.thread.watched()
    }

    pub(super) fn stop(&self) {
        self.thread.stop();
    }
}

impl Shared {
    /// The producer, for somebody who must not wait. None: it is the thread's turn.
    fn quick(&self) -> Option<MutexGuard<'_, Desk>> {
        let desk = match self.desk.try_lock() {
            Ok(desk) => desk,
            Err(TryLockError::Poisoned(_)) | Err(TryLockError::WouldBlock) => return None,
        };
        self.is_quick(&desk).then_some(desk)
    }

    /// Whether nothing that the thread was given comes before, and nothing takes long.
    fn is_quick(&self, desk: &Desk) -> bool {
        // It is counted down under the lock: with none left, all before this were handed over.
        let first = self.before.load(Ordering::Relaxed) == 0;
        first && desk.producer.is_quick()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, inbox: &Work<ToProducer>) {
        loop {
            let next = match self.rest_until() {
                Some(due) => inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
                None => inbox.recv().map_err(RecvTimeoutError::from),
            };
            let mut desk = self.desk();
            match next {
                Ok(ToProducer::Append { store, id, writes }) => {
                    desk.producer.append(store, id, writes);
                    self.before.fetch_sub(1, Ordering::Relaxed);
                }
                Ok(ToProducer::Withdraw { store, id }) => desk.producer.withdraw((store, id)),
                Ok(ToProducer::Events) => desk.producer.hear(),
                Ok(ToProducer::Connected) => desk.producer.release(),
                Ok(ToProducer::Due) | Err(RecvTimeoutError::Timeout) => {}
                Ok(ToProducer::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            desk.producer.expire();
            desk.producer.follow();
            desk.producer.resize();
        }
        self.desk().producer.end();
    }

    /// A look for outcomes comes first when it is due, however many appends wait.
    fn rest_until(&self) -> Option<Instant> {
        let mut desk = self.desk();
        desk.producer.look(Instant::now());
        desk.producer.resize();
        desk.wakes = self.due(&desk.producer);
        desk.wakes
    }

    /// When the thread is to do something although nothing happens.
    fn due(&self, producer: &Producer) -> Option<Instant> {
        // Where somebody drives, it only makes up for turns that do not come. Whoever must not wait sends nothing while that
        // takes long.
        let driven = self.driver.get().is_some() && producer.is_quick();
        let leaves = producer.leaves().map(|due| if driven { due + WAIT_MAX } else { due });
        leaves.into_iter().chain(producer.looks()).min()
    }
}

impl Stop for ToProducer {
    const STOP: ToProducer = ToProducer::Stop;
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use outrigger_core::log::LogEvent;
    use outrigger_core::offset::Partition;

    use super::*;

    const ANSWERED_MAX: Duration = Duration::from_secs(20);

    /// librdkafka's own mock of a broker is enough: what counts is who hands records over, and when.
    fn appends() -> (Appends, Receiver<LogEvent>) {
        let config = KafkaConfig {
            bootstrap: "127.0.0.1:9".to_owned(),
            properties: [("test.mock.num.brokers", "1"), ("allow.auto.create.topics", "true")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let (sender, events) = channel();
        let sink = move |_, event| sender.send(event).unwrap();
        let (store, topic) = (StoreIndex(0), CString::new("topic").unwrap());
        let (admin, _nobody) = channel();
        let sink = Arc::new(sink);
        (
            Appends::start(&config, store, topic, Begin::AtOnce, admin, Renewed::default(), sink)
                .unwrap(),
            events,
        )
    }

    fn append(appends: &Appends, id: u64) {
        let write = Write { partition: Partition(0), key: "key".into(), value: None };
        appends.append(StoreIndex(0), RequestId(id), [write].into());
    }

    /// The next append that is answered, and its offset.
    fn answered(events: &Receiver<LogEvent>) -> (u64, u64) {
        loop {
            match events.recv_timeout(ANSWERED_MAX).expect("every append is answered") {
                LogEvent::Appended { id, results } => {
                    return (id.0, results[0].clone().unwrap().offset.0);
                }
                LogEvent::Trouble(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn no_append_overtakes_those_that_the_thread_was_given() {
        let (appends, events) = appends();
        let busy = appends.shared.desk();
        for id in 0..50 {
            append(&appends, id);
        }
        drop(busy);
        for id in 50..100 {
            append(&appends, id);
        }
        let mut all: Vec<_> = (0..100).map(|_| answered(&events)).collect();
        all.sort_unstable();
        assert!(all.is_sorted_by_key(|(_, offset)| offset), "{all:?}");
    }

    #[test]
    fn what_may_wait_while_the_thread_is_busy_is_asked_for_again() {
        let (appends, _events) = appends();
        let until = Instant::now() + ANSWERED_MAX;
        let nothing_waits = || {
            while appends.due().is_some() {
                assert!(Instant::now() < until, "nothing waits, and the thread rests");
            }
        };
        nothing_waits();
        let busy = appends.shared.desk();
        assert!(appends.due().is_some());
        drop(busy);
        nothing_waits();
    }

    #[test]
    fn whoever_drives_is_woken_for_deliveries() {
        let (appends, events) = appends();
        let (waker, woken) = channel();
        appends.wake_with(Arc::new(move || waker.send(()).unwrap()));
        for id in 0..3 {
            append(&appends, id);
            woken.recv_timeout(ANSWERED_MAX).expect("there are deliveries");
            appends.turn();
            // More may have happened than the delivery, and the thread may have been quicker.
            while events.try_recv().is_err() {
                if woken.recv_timeout(Duration::from_millis(10)).is_ok() {
                    appends.turn();
                }
            }
        }
    }
}
