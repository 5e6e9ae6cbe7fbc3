//! What the log and the disk say of each store while no node runs: for the commands that look from outside.
//!
//! They take the same facts, the same look at the disk and the same `decide` as a node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use outrigger_core::dates::Dates;
use outrigger_core::decide::{Plan, Situation, Then, decide};
use outrigger_core::limits::Limits;
use outrigger_core::log::{KafkaError, LogCall, LogEvent};
use outrigger_core::stall::StallKind;
use outrigger_core::store::{Found, StoreError};
use outrigger_core::topic::LogFacts;

use crate::config::{ServeConfig, StoreConfig};
use crate::exit::Exit;
use crate::index::StoreIndex;
use crate::kafka::{KafkaLog, KafkaStartError};
use crate::log::Log as _;
use crate::rocks::{self, Resources, Shared};
use crate::runtime::{self, Circumstances, LogHome, TopicNews};

/// How long an answer may take: more than the log takes to fail a question by itself.
pub(crate) const ANSWERED_MAX: Duration = Duration::from_secs(60);

/// A look needs no cache to speak of.
pub(crate) const RESOURCES: Resources =
    Resources { block_cache_bytes: 8 << 20, load_bytes: 0, background_threads: 2 };

/// What would become of one store at a start, and from what that was decided.
pub(crate) struct Planned {
    pub(crate) facts: LogFacts,
    pub(crate) found: Found,
    pub(crate) plan: Plan,
}

impl Planned {
    pub(crate) fn exit(&self) -> Exit {
        match &self.plan.then {
            Then::Refuse(_) | Then::Rebuild { refusal: Some(_), .. } => Exit::Refused,
            Then::Wait(_) => Exit::TryAgain,
            Then::Resume { .. } | Then::Continue { .. } | Then::Rebuild { refusal: None, .. } => {
                Exit::Success
            }
        }
    }
}

pub(crate) fn exit_of_start(error: &KafkaStartError) -> Exit {
    match error {
        KafkaStartError::Thread(_) => Exit::TryAgain,
        _ => Exit::Config,
    }
}

/// What is needed to look at the disk. Who has no more cannot ask Kafka, which may not answer for long: meanwhile a node
/// must be able to start, and so nobody holds the data directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local<'a> {
    pub(crate) data: &'a Path,
    pub(crate) stores: &'a [StoreConfig],
    /// Where Kafka is, for commands that people are told.
    pub(crate) bootstrap: &'a str,
    pub(crate) asks_peers: bool,
}

impl Local<'_> {
    pub(crate) fn of(config: &ServeConfig) -> Local<'_> {
        Local {
            data: &config.data,
            stores: &config.stores,
            bootstrap: &config.kafka.bootstrap,
            asks_peers: config.peer.asks(),
        }
    }

    /// Returns what a node with these settings would know of the store before it has asked anybody.
    pub(crate) fn circumstances(self, store: &StoreConfig) -> Circumstances {
        let (name, data) = (store.name.as_str().to_owned(), self.data.to_owned());
        Circumstances::new(name, data, TopicNews::default(), LogHome::Brokers, self.asks_peers)
    }
}

/// Returns how a command ends where the log does not answer: nothing is decided without it.
pub(crate) fn exit_unplanned(error: &KafkaError) -> Exit {
    match StallKind::of(error) {
        StallKind::Authorisation => Exit::Forbidden,
        StallKind::TopicGone => Exit::Refused,
        StallKind::LogUnreachable
        | StallKind::LeaderUnavailable
        | StallKind::StaleLeader
        | StallKind::OpenTransaction
        | StallKind::PoisonBatch
        | StallKind::StoreFull
        | StallKind::StoreFailed
        | StallKind::StoreSlow
        | StallKind::Inexact
        | StallKind::NoProgress
        | StallKind::PeerSilent => Exit::TryAgain,
    }
}

/// `exists`: there is a data directory, and nobody writes to it.
pub(crate) fn plan(
    local: Local<'_>,
    store: &StoreConfig,
    facts: LogFacts,
    exists: bool,
    shared: &Arc<Shared>,
) -> Result<Planned, StoreError> {
    let name = store.name.as_str();
    let expected = facts.identity(name);
    let found =
        if exists { rocks::inspect(local.data, name, &expected, shared)? } else { Found::Nothing };
    let plan = decide(Situation {
        store: name,
        found: &found,
        facts: &facts,
        epochs_known: &vec![None; facts.partitions.len()],
        diverged: &BTreeSet::new(),
        inexact: &BTreeSet::new(),
        past_horizon: &BTreeSet::new(),
        dates: &Dates::new(runtime::clock::now()),
        limits: &Limits::PRODUCTION,
    });
    Ok(Planned { facts, found, plan })
}

/// Returns what the log says of every store's topic, in the order of the configuration.
pub(crate) fn describe(
    config: &ServeConfig,
) -> Result<Vec<Result<LogFacts, KafkaError>>, KafkaStartError> {
    let topics: Vec<String> =
        config.stores.iter().map(|store| store.topic.as_str().to_owned()).collect();
    let (sender, answers) = mpsc::channel();
    let sink = Arc::new(move |store: StoreIndex, event: LogEvent| {
        // Nobody listens any more: the answers are complete, or their time is up.
        sender.send((store, event)).ok();
    });
    let log = KafkaLog::start(&config.kafka, &topics, sink)?;
    for index in 0..topics.len() {
        log.call(StoreIndex(index), LogCall::Describe);
    }
    let deadline = Instant::now() + ANSWERED_MAX;
    let mut answered = BTreeMap::new();
    while answered.len() < topics.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok((store, event)) = answers.recv_timeout(left) else { break };
        match event {
            LogEvent::Facts(facts) => drop(answered.insert(store, Ok(facts))),
            LogEvent::Failed { error, .. } => drop(answered.insert(store, Err(error))),
            LogEvent::Leaderless { partition, error, .. } => {
                let name = format!("partition {partition}: {}", error.name);
                drop(answered.insert(store, Err(KafkaError { name, ..error })));
            }
            LogEvent::Assigned { .. }
            | LogEvent::Fetched(_)
            | LogEvent::Lost { .. }
            | LogEvent::Ends(_)
            | LogEvent::TopicId(_)
            | LogEvent::PartitionCount(_)
            | LogEvent::Appended { .. }
            | LogEvent::Trouble(_) => {}
        }
    }
    let all = (0..topics.len())
        .map(|index| answered.remove(&StoreIndex(index)).unwrap_or_else(|| Err(unanswered())));
    Ok(all.collect())
}

pub(crate) fn unanswered() -> KafkaError {
    KafkaError { code: -185, name: "_TIMED_OUT".to_owned(), not_persisted: false }
}
