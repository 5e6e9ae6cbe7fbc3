//! `outrigger serve`: a sidecar on a real Kafka, from a checked configuration to its orderly end.
//!
//! What other processes may hold (directory, addresses) is claimed first, so that a start that cannot
//! succeed has touched nothing. A Kafka that does not answer is not such a reason: the node starts, names
//! what holds it up and answers Status.

mod absence;
mod keeper;
mod listen;
mod manager;
mod memory;
mod observer;
mod sidecar;
mod topics;

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::ServeConfig;
use crate::exit::Exit;
use crate::kafka::{self, KafkaLog, KafkaStartError};
use crate::probes::Telling;
use crate::runtime::{Drained, Inbox, LogHome, StoreSpec, TopicNews};
use crate::watchdog::Patience;

use self::manager::Manager;

pub(crate) use absence::{look as other_cluster, unreached};
pub(crate) use memory::Memory;

pub use listen::ListenError;
pub use sidecar::{ClaimError, Claims, Sidecar, SidecarConfig};

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Kafka(#[from] KafkaStartError),
    #[error("the system gives no more threads or signals")]
    System(#[source] io::Error),
    #[error("the gRPC server has ended: {0}")]
    Server(String),
}

/// Runs until a signal ends it; the signal may have come before this was called.
pub(crate) async fn run(
    config: ServeConfig,
    probes: Telling,
    mut signals: Signals,
) -> Result<Exit, ServeError> {
    config.kafka.check()?;
    let told = probes.subscribe();
    let claimed = sidecar_config(&config, probes);
    let news: Vec<TopicNews> = claimed.stores.iter().map(|store| store.news.clone()).collect();
    let claims = tokio::select! {
        biased;
        name = signals.next() => return Ok(ended_early(name)),
        claims = Claims::take(claimed) => claims?,
    };
    let creating = topics::create(&config, &news);
    let _creations = tokio::select! {
        biased;
        name = signals.next() => {
            claims.release();
            return Ok(ended_early(name));
        }
        creations = creating => creations,
    };
    let (inbox, sink) = Inbox::new();
    let topics: Vec<String> =
        config.stores.iter().map(|store| store.topic.as_str().to_owned()).collect();
    let Memory { prefetch_bytes, .. } = memory(&config);
    let log = match KafkaLog::start_within(&config.kafka, &topics, prefetch_bytes, sink) {
        Ok(log) => log,
        Err(error) => {
            claims.release();
            return Err(error.into());
        }
    };
    let mut sidecar = claims.start(inbox, Box::new(log)).map_err(ServeError::System)?;
    let _watches = absence::watch(&config, sidecar.handles(), &news);
    announce(&config, &sidecar);
    let manager = Manager::serving(told.answers);
    let failed = until_the_drain(&mut sidecar, &mut signals, config.drain_delay).await;
    manager.stopping();
    tokio::select! {
        biased;
        name = signals.next() => tracing::warn!(signal = name, "ended at once: what was not flushed is read again"),
        drained = sidecar.drain() => tell(drained),
    }
    match failed {
        None => Ok(Exit::Success),
        Some(why) => Err(ServeError::Server(why)),
    }
}

/// Serves until the drain is to begin. Returns why the server ended, where that is the reason.
async fn until_the_drain(
    sidecar: &mut Sidecar,
    signals: &mut Signals,
    delay: Duration,
) -> Option<String> {
    let signal = tokio::select! {
        biased;
        name = signals.next() => name,
        why = sidecar.failed() => return Some(why),
    };
    if !delay.is_zero() {
        let seconds = delay.as_secs_f64();
        tracing::info!(
            signal,
            seconds,
            "serving on for the drain delay; `outrigger release` or a second signal begins the drain"
        );
        sidecar.leave();
        let release = sidecar.release();
        tokio::select! {
            biased;
            name = signals.next() => tracing::info!(signal = name, "the drain delay is cut short"),
            () = release.drains() => tracing::info!("the application is done: the drain delay ends"),
            why = sidecar.failed() => return Some(why),
            () = tokio::time::sleep(delay) => {}
        }
    }
    tracing::info!(signal, "draining; another signal ends at once");
    None
}

fn ended_early(signal: &str) -> Exit {
    tracing::info!(signal, "ended before the start");
    Exit::Success
}

impl ServeError {
    pub fn exit(&self) -> Exit {
        match self {
            ServeError::Claim(ClaimError::Data(_)) => Exit::DataDirectory,
            ServeError::Claim(ClaimError::Listen(_)) => Exit::Unavailable,
            // They were of use a moment ago.
            ServeError::Claim(ClaimError::Tls(_)) => Exit::Config,
            ServeError::Kafka(KafkaStartError::Thread(_)) | ServeError::System(_) => Exit::TryAgain,
            ServeError::Kafka(
                KafkaStartError::Property(_)
                | KafkaStartError::NoBootstrap
                | KafkaStartError::Bootstrap(_)
                | KafkaStartError::Topic(_)
                | KafkaStartError::Client(_),
            ) => Exit::Config,
            ServeError::Server(_) => Exit::Internal,
        }
    }
}

fn memory(config: &ServeConfig) -> Memory {
    Memory::shared(config.memory_bytes, config.stores.len())
}

pub(crate) fn sidecar_config(config: &ServeConfig, probes: Telling) -> SidecarConfig {
    let stores = config.stores.iter().map(|store| StoreSpec {
        name: store.name.as_str().to_owned(),
        topic: store.topic.as_str().to_owned(),
        news: TopicNews::default(),
        home: LogHome::Brokers,
    });
    let Memory { limits, resources, .. } = memory(config);
    SidecarConfig {
        data: config.data.clone(),
        stores: stores.collect(),
        limits,
        resources,
        restore_rate: config.restore_rate,
        listen: config.listen,
        tls: config.tls.clone(),
        peer_listen: config.peer_listen.clone(),
        socket: config.socket.clone(),
        ready_lag_max: config.ready_lag_max,
        ack: config.ack,
        sampler: Some(kafka::sampler(config.kafka.clone())),
        peer: config.peer.clone(),
        access: config.access.clone(),
        probes,
        patience: Patience::PRODUCTION,
    }
}

fn announce(config: &ServeConfig, sidecar: &Sidecar) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        listen = sidecar.address().map(tracing::field::display),
        tls = config.tls.is_some(),
        socket = config.socket.as_ref().map(|socket| tracing::field::display(socket.path.display())),
        data = %config.data.display(),
        kafka = config.kafka.bootstrap,
        "serving"
    );
    for store in &config.stores {
        tracing::info!(store = %store.name, topic = %store.topic, "store");
    }
}

fn tell(drained: Drained) {
    match drained {
        Drained::Flushed => tracing::info!("drained"),
        Drained::TimeUp => {
            tracing::warn!(
                "the drain took too long and was cut: what was not flushed is read again"
            );
        }
    }
}

/// What asks a service to end.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
