//! Configuration of `outrigger serve`: what an operator may choose, merged, checked and resolved.
//!
//! `settings` is what flags, environment and file say; `resolve` turns it into a `ServeConfig` or
//! into a list of everything that is wrong. Nothing is opened, bound or created meanwhile: a
//! `ServeConfig` is only data. The order of precedence is flag, then environment, then file.

mod access;
#[cfg(test)]
mod documented_tests;
mod exposure;
mod file;
mod kafka;
mod names;
mod origin;
mod peers;
mod problem;
mod resolve;
mod settings;
mod socket;
mod stores;
mod tls;
mod units;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::access::Access;
use crate::kafka::KafkaConfig;
use crate::peer::PeerConfig;
use crate::telemetry::{Collector, LogConfig};
use crate::tls::TlsFiles;

pub use self::names::{StoreName, TopicName};
pub use self::problem::{ConfigError, Problem};
pub use self::settings::{DiskArgs, OfflineArgs, ServeArgs};
pub use self::socket::SocketConfig;
pub use self::stores::PARTITIONS_MAX;
pub use self::units::{DurationError, RateError, parse_duration, parse_rate};

/// The least memory. Less holds neither the indexes of a state worth restoring nor a few runs of a restore.
const MEMORY_MIN_BYTES: usize = 64 << 20;

#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// One directory per store below it.
    pub data: PathBuf,
    pub kafka: KafkaConfig,
    /// gRPC over TCP.
    pub listen: Option<SocketAddr>,
    /// gRPC over a Unix socket.
    pub socket: Option<SocketConfig>,
    /// TLS of [`ServeConfig::listen`]; none: it speaks plain text.
    pub tls: Option<TlsFiles>,
    /// gRPC for other nodes; none: they ask where everybody calls.
    pub peer_listen: Option<PeerListen>,
    /// The Prometheus endpoint.
    pub metrics: Option<SocketAddr>,
    /// Where traces are sent; none: there are none.
    pub traces: Option<Collector>,
    /// Bytes for the block cache and for what restores hold.
    pub memory_bytes: usize,
    /// Bytes per second that restores may read from the log, all stores together; none: as fast as they can.
    pub restore_rate: Option<NonZeroU64>,
    /// Readiness (not READY itself) needs a lag of at most this many offsets.
    pub ready_lag_max: Option<u64>,
    pub ack: Ack,
    pub peer: PeerConfig,
    /// Who may do what; none: nobody is asked who it is, and everybody may do everything.
    pub access: Option<Arc<Access>>,
    /// The time from the first signal on until the drain begins.
    pub drain_delay: Duration,
    pub log: LogConfig,
    /// At least one; names and topics are unique.
    pub stores: Vec<StoreConfig>,
    /// What is allowed and probably not wanted, each as a sentence to be logged once.
    pub warnings: Vec<String>,
}

/// When a write is answered whose caller does not ask for either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Ack {
    /// When the log has it.
    #[default]
    Log,
    /// When this node's copy has it as well.
    Applied,
}

impl Ack {
    /// The names in the file; the flag's names are the same.
    const NAMES: [(&'static str, Ack); 2] = [("log", Ack::Log), ("applied", Ack::Applied)];
}

/// Where other nodes ask for copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerListen {
    pub address: SocketAddr,
    /// None: it speaks plain text.
    pub tls: Option<TlsFiles>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    pub name: StoreName,
    pub topic: TopicName,
    /// Whether the topic is created when it does not exist, and how.
    pub create: Option<Creation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creation {
    pub partitions: u32,
    /// None: as many replicas as the cluster is meant to give, three at most.
    pub replication: Option<u32>,
}
