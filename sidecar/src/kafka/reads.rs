//! The part of a log that only reads: a consumer without a group, and a client for admin questions.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{self, Receiver, Sender};

use outrigger_core::log::{LogCall, LogCallKind};

use super::admin::{Admin, ToAdmin};
use super::appends::Limit;
use super::config::{KafkaConfig, KafkaStartError};
use super::consumer::{Consumer, ToConsumer};
use super::settings::Ahead;
use super::trouble::Troubles;
use super::{PartitionCounts, Thread};
use crate::index::StoreIndex;
use crate::log::{Log, LogSink};
use crate::watchdog::Watched;

pub(super) struct Reads {
    pub(super) consumer: Thread<ToConsumer>,
    pub(super) admin: Thread<ToAdmin>,
}

/// What reads whom, and who is told what.
pub(super) struct Start {
    /// Indexed by store.
    pub(super) topics: Arc<[CString]>,
    pub(super) ahead: Ahead,
    /// Who is told what a topic takes, by store; empty where nobody writes.
    pub(super) limits: Vec<Limit>,
    pub(super) sink: LogSink,
}

impl Reads {
    /// `troubles`: of the client of this name.
    pub(super) fn start(
        config: &KafkaConfig,
        start: Start,
        (to_admin, admin_inbox): (Sender<ToAdmin>, Receiver<ToAdmin>),
        troubles: impl Fn(&'static str) -> Troubles,
    ) -> Result<Reads, KafkaStartError> {
        let Start { topics, ahead, limits, sink } = start;
        let counts: PartitionCounts = topics.iter().map(|_| AtomicU32::new(0)).collect();
        let (to_consumer, inbox) = mpsc::channel();
        let consumer = Consumer::new(
            config,
            Arc::clone(&topics),
            ahead,
            Arc::clone(&counts),
            to_consumer.clone(),
            Arc::clone(&sink),
            troubles("consumer"),
        )?;
        let consumer =
            Thread::start("kafka-consume", to_consumer, inbox, |inbox| consumer.run(inbox))?;
        let to_self = to_admin.clone();
        let admin = Admin::new(config, topics, counts, limits, to_self, sink, troubles("admin"))?;
        let admin = Thread::start("kafka-admin", to_admin, admin_inbox, |inbox| admin.run(inbox))?;
        Ok(Reads { consumer, admin })
    }

    /// Starts one that reads this topic for a while, as store 0.
    pub(super) fn beside(
        config: &KafkaConfig,
        topic: CString,
        ahead: Ahead,
        sink: LogSink,
    ) -> Result<Reads, KafkaStartError> {
        let troubles = |_client| Troubles::of_a_while(Arc::clone(&sink));
        let (topics, limits) = ([topic].into(), Vec::new());
        let start = Start { topics, ahead, limits, sink: Arc::clone(&sink) };
        Reads::start(config, start, mpsc::channel(), troubles)
    }

    fn ask(&self, store: StoreIndex, kind: LogCallKind) {
        self.admin.send(ToAdmin::Ask { store, kind });
    }

    pub(super) fn stop(&self) {
        self.consumer.stop();
        self.admin.stop();
    }

    pub(super) fn watched(&self) -> [Watched; 2] {
        [self.consumer.watched(), self.admin.watched()]
    }
}

impl Log for Reads {
    fn call(&self, store: StoreIndex, call: LogCall) {
        match call {
            LogCall::Describe => self.ask(store, LogCallKind::Describe),
            LogCall::Ends => self.ask(store, LogCallKind::Ends),
            LogCall::TopicId => self.ask(store, LogCallKind::TopicId),
            LogCall::Assign { partition, at, epoch } => {
                self.consumer.send(ToConsumer::Assign { store, partition, at, epoch });
            }
            LogCall::Fetch { partition, bytes_max } => {
                self.consumer.send(ToConsumer::Fetch { store, partition, bytes_max });
            }
            LogCall::Append { .. } | LogCall::Withdraw { .. } => {
                unreachable!("nobody writes to a log that only reads")
            }
        }
    }
}

impl Drop for Reads {
    /// Both threads are told to end at the same time; each is waited for by its own drop.
    fn drop(&mut self) {
        self.stop();
    }
}
