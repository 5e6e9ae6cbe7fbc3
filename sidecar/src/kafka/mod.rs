//! The log seam on librdkafka: `KafkaLog`.
//!
//! There are clients with a thread each, so that none waits for another: a producer for each store, and for all of them
//! a consumer without a group and one for admin questions; another one while cursors are asked for. All are made anew when
//! files of TLS are. An idempotent producer stops for all its topics where one of them is in trouble, and its batches are as
//! large as one topic takes.
//! Calls go to the threads' inboxes and never block, and appends go to the producer itself where that does not take
//! long; answers come through the sink, from any of the threads, or from that of the caller. Promises what
//! `outrigger_core::log` says of every engine. Must not know what a node does with an answer.

mod admin;
mod appends;
mod certificates;
mod config;
mod consumer;
mod create;
mod cursors;
mod facts;
mod held;
mod lanes;
mod leaders;
mod ledger;
mod placement;
mod producer;
mod questions;
#[expect(unsafe_code, reason = "librdkafka is a C library; everything unsafe is in there")]
mod raw;
mod reader;
mod reads;
mod renewal;
mod replication;
mod sampler;
mod settings;
mod trouble;
mod unreached;

use std::ffi::CString;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use outrigger_core::log::LogCall;

use self::admin::ToAdmin;
use self::appends::{Appends, Begin};
use self::consumer::ToConsumer;
use self::cursors::KafkaCursors;
use self::reads::{Reads, Start};
use self::renewal::{Files, Renewal, Renewed, ToRenewal, Users};
use self::settings::Ahead;
use self::trouble::Troubles;
use crate::index::StoreIndex;
use crate::log::{Cursors, Log, LogSink, OpenBeside, Wake};
use crate::vital::{self, Pulse, Work};
use crate::watchdog::{Watched, Worker};

pub use self::certificates::{certificates, unfit};
pub use self::config::{KafkaConfig, KafkaStartError};
pub use self::create::{CreateTopicError, Created, TopicSettings, create_topic};
pub use self::placement::{Placement, PlacementError, placement};
pub use self::questions::cluster_id;
pub use self::replication::{Replicas, replicas};
pub use self::sampler::sampler;
pub use self::unreached::{Unreached, unreached};

/// How many partitions each store's topic had when it was last described; zero until then.
type PartitionCounts = Arc<[AtomicU32]>;

pub struct KafkaLog {
    /// Indexed by store.
    appends: Vec<Appends>,
    reads: Reads,
    /// None where no files of TLS are named. It is not watched: it does nothing but read them.
    renewal: Option<Thread<ToRenewal>>,
    cursors: KafkaCursors,
    config: KafkaConfig,
    /// Indexed by store.
    topics: Arc<[CString]>,
}

impl KafkaLog {
    /// Starts all clients. `topics` are indexed by store. Returns at once: clients connect in the background.
    pub fn start(
        config: &KafkaConfig,
        topics: &[String],
        sink: LogSink,
    ) -> Result<KafkaLog, KafkaStartError> {
        KafkaLog::start_within(config, topics, settings::PREFETCH_BYTES, sink)
    }

    /// As `start`; all partitions together fetch `prefetch_bytes` ahead.
    pub fn start_within(
        config: &KafkaConfig,
        topics: &[String],
        prefetch_bytes: usize,
        sink: LogSink,
    ) -> Result<KafkaLog, KafkaStartError> {
        config.check()?;
        let (files, renewed) = (Files::of(config), Renewed::default());
        renewal::tell_expiry(config);
        let topics = topics.iter().map(|name| topic_name(name));
        let topics: Arc<[CString]> = topics.collect::<Result<Vec<_>, _>>()?.into();

        // A client has threads and connections of its own, and of many stores a node writes to some only.
        let begin = if topics.len() <= settings::PRODUCERS_AT_ONCE_MAX {
            Begin::AtOnce
        } else {
            Begin::WithTheFirstWrite
        };
        let (to_admin, admin_inbox) = mpsc::channel();
        let appends = (0..topics.len()).map(|store| {
            let (topic, admin) = (topics[store].clone(), to_admin.clone());
            let (sink, renewed) = (Arc::clone(&sink), renewed.clone());
            Appends::start(config, StoreIndex(store), topic, begin, admin, renewed, sink)
        });
        let appends = appends.collect::<Result<Vec<_>, _>>()?;

        let limits = appends.iter().map(Appends::limit).collect();
        let troubles = |client| Troubles::new(client, Arc::clone(&sink), topics.len());
        let (names, to_sink) = (Arc::clone(&topics), Arc::clone(&sink));
        let ahead = Ahead::All(prefetch_bytes);
        let start = Start { topics: names, ahead, limits, sink: to_sink };
        let reads = Reads::start(config, start, (to_admin, admin_inbox), troubles)?;
        let cursors = KafkaCursors::new(config, Arc::clone(&topics), renewed.clone());
        let users = Users {
            renewed,
            producers: appends.iter().map(Appends::inbox).collect(),
            consumer: reads.consumer.inbox.clone(),
            admin: reads.admin.inbox.clone(),
        };
        let renewal = files.map(|files| {
            let renewal = Renewal::new(config, files, users);
            let (to_renewal, inbox) = mpsc::channel();
            Thread::start("kafka-files", to_renewal, inbox, |inbox| renewal.run(inbox))
        });
        let renewal = renewal.transpose()?;
        Ok(KafkaLog { appends, reads, renewal, cursors, config: config.clone(), topics })
    }
}

impl Log for KafkaLog {
    fn watched(&self) -> Vec<Watched> {
        let appends = self.appends.iter().map(Appends::watched);
        appends.chain(self.reads.watched()).collect()
    }

    fn cursors(&self) -> Option<Arc<dyn Cursors>> {
        Some(Arc::new(self.cursors.clone()))
    }

    /// Its clients are not made anew: they would forget which leaders they have heard of.
    fn beside(&self) -> Option<OpenBeside> {
        let (config, topics) = (self.config.clone(), Arc::clone(&self.topics));
        Some(Arc::new(move |store, sink| {
            let topic = topics[store.0].clone();
            match Reads::beside(&config, topic, Ahead::One(settings::PREFETCH_BESIDE_BYTES), sink) {
                Ok(reads) => Some(Box::new(reads)),
                Err(error) => {
                    let topic = topics[store.0].to_string_lossy();
                    tracing::warn!(%topic, %error, "cannot read the log for a watch");
                    None
                }
            }
        }))
    }

    /// Never blocks. `Assign` and `Fetch` may come only after the store's first `Facts`.
    fn call(&self, store: StoreIndex, call: LogCall) {
        match call {
            LogCall::Append { id, writes } => self.appends[store.0].append(store, id, writes),
            LogCall::Withdraw { id } => self.appends[store.0].withdraw(store, id),
            LogCall::Describe
            | LogCall::Ends
            | LogCall::TopicId
            | LogCall::Assign { .. }
            | LogCall::Fetch { .. } => self.reads.call(store, call),
        }
    }

    /// From now on `wake` is called, by any thread, when there are deliveries, and [`turn`](Log::turn) takes them; and
    /// what is [`due`](Log::due) is sent by [`send_due`](Log::send_due). Without it another thread does all that, a
    /// little later. `wake` must neither block nor panic.
    fn wake_with(&self, wake: Wake) {
        let wake: Arc<dyn Fn() + Send + Sync> = wake.into();
        for appends in &self.appends {
            appends.wake_with(Arc::clone(&wake));
        }
    }

    /// Takes the deliveries that are there. Never blocks.
    fn turn(&self) {
        for appends in &self.appends {
            appends.turn();
        }
    }

    fn due(&self) -> Option<Instant> {
        self.appends.iter().filter_map(Appends::due).min()
    }

    /// Never blocks. It is best called after everything else that there is to do: what more is to be written is sent
    /// with it, and the client's thread, which is still busy with an answer, does not find only a part of it.
    fn send_due(&self) {
        for appends in &self.appends {
            appends.send_due();
        }
    }
}

impl Drop for KafkaLog {
    /// All threads are told to end at the same time; each is waited for by its own drop.
    fn drop(&mut self) {
        for appends in &self.appends {
            appends.stop();
        }
        self.reads.stop();
        if let Some(renewal) = &self.renewal {
            renewal.stop();
        }
    }
}

fn topic_name(name: &str) -> Result<CString, KafkaStartError> {
    let refused = || KafkaStartError::Topic(name.to_owned());
    if config::is_topic_name(name) {
        CString::new(name).map_err(|_| refused())
    } else {
        Err(refused())
    }
}

/// A message that ends a thread.
trait Stop {
    const STOP: Self;
}

impl Stop for ToConsumer {
    const STOP: ToConsumer = ToConsumer::Stop;
}

impl Stop for ToAdmin {
    const STOP: ToAdmin = ToAdmin::Stop;
}

/// A thread with an inbox. When it is dropped, the thread is told to stop and waited for, for a bounded time.
struct Thread<M: Stop> {
    name: String,
    inbox: Sender<M>,
    pulse: Pulse,
    /// Only `drop` reads it; it is a lock only because a receiver may not be shared.
    ended: Mutex<Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<M: Stop + Send + 'static> Thread<M> {
    fn start(
        name: impl Into<String>,
        inbox: Sender<M>,
        messages: Receiver<M>,
        run: impl FnOnce(&Work<M>) + Send + 'static,
    ) -> Result<Thread<M>, KafkaStartError> {
        let name = name.into();
        let (end, ended) = mpsc::channel::<()>();
        let work = Work::new(messages);
        let pulse = work.pulse();
        let body = move || {
            // It is dropped with the thread, however that ends: `drop` waits for it.
            let _end = end;
            run(&work);
        };
        let thread = vital::spawn(name.clone(), body).map_err(KafkaStartError::Thread)?;
        Ok(Thread { name, inbox, pulse, ended: Mutex::new(ended), thread: Some(thread) })
    }
}

impl<M: Stop> Thread<M> {
    fn send(&self, message: M) {
        let sent = self.inbox.send(message);
        assert!(sent.is_ok(), "{} ended before its KafkaLog", self.name);
    }

    fn watched(&self) -> Watched {
        Watched { name: self.name.clone(), worker: Worker::Log, pulse: self.pulse.clone() }
    }

    fn stop(&self) {
        // This fails only when the thread has ended already.
        self.inbox.send(M::STOP).ok();
    }
}

impl<M: Stop> Drop for Thread<M> {
    fn drop(&mut self) {
        self.stop();
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(settings::STOP_MAX) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                tracing::warn!(thread = %self.name, "does not end; left behind");
            }
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                let ended = self.thread.take().map(JoinHandle::join);
                assert!(!matches!(ended, Some(Err(_))), "a panic takes the process with it");
            }
        }
    }
}
