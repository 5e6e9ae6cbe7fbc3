//! Everything that can be wrong with a configuration. Each message says what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::MEMORY_MIN_BYTES;
use super::access::AccessFault;
use super::file::FileFault;
use super::kafka::BadProperty;
use super::names::NameError;
use super::peers::PEERS_MAX;
use super::stores::{PARTITIONS_MAX, REPLICATION_MAX, STORES_MAX};
use super::units::RateError;
use crate::access::TokensError;
use crate::peer::{AddressError, RATE_MIN, SecretError};
use crate::telemetry::CollectorError;
use crate::tls::TlsError;

/// What is missing at an address that other machines reach.
fn open(address: std::net::SocketAddr, tls: bool, rules: bool) -> String {
    let certificate = "--tls-certificate and --tls-key";
    let table = "[[access]] tables in the file, which say who may do what";
    let missing = match (tls, rules) {
        (false, true) => certificate.to_owned(),
        (true, _) => table.to_owned(),
        (false, false) => format!("{certificate}, and {table}"),
    };
    format!(
        "whoever reaches {address} from another machine could read and write everything: give {missing}; or --insecure, if \
         the network is trusted; or listen on 127.0.0.1 or a --socket"
    )
}

/// All problems of one configuration.
#[derive(Debug)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("config: cannot read {}: {error}", .path.display())]
    FileUnreadable { path: PathBuf, error: io::Error },
    #[error("config: {}", .fault.text(.path))]
    File { path: PathBuf, fault: FileFault },
    /// A value that is wrong, and where it was said.
    #[error("{problem} ({origin})")]
    Said { problem: Box<Problem>, origin: String },
    #[error("data: no data directory: give --data, or `data` in the file")]
    DataMissing,
    #[error("data: the path is empty: give a directory for the copies")]
    DataEmpty,
    #[error("bootstrap: no broker: give --bootstrap HOST:PORT, or `bootstrap` in the file")]
    BootstrapMissing,
    #[error(
        "bootstrap: `{broker}` is not a broker's address: give HOST:PORT, several separated by commas"
    )]
    Bootstrap { broker: String },
    #[error(
        "{key}: `{value}` is not an address: give an IP address and a port such as 127.0.0.1:7400, or `off`"
    )]
    Address { key: &'static str, value: String },
    #[error("metrics: {address} is the address of the gRPC server: give another port")]
    MetricsOnListen { address: std::net::SocketAddr },
    #[error("traces: `{value}` cannot be used: {error}")]
    Traces { value: String, error: CollectorError },
    #[error(
        "traces: this binary was built without OpenTelemetry: leave the setting out, or build it with the feature `otel`"
    )]
    TracesNotBuilt,
    #[error(
        "listen: it is `off` and there is no socket, so nobody could call this node: give one of the two"
    )]
    NowhereToListen,
    #[error("store: `{name}` is not one store of the file: name the one with --store")]
    NotOneStore { name: String },
    #[error("store: it is not said which store is meant: give --store{}", one_of(.known))]
    WhichStore { known: Vec<String> },
    #[error("socket: the path is empty: give a path, or leave the setting out")]
    SocketEmpty,
    #[error("socket: {} has {length} bytes, a Unix socket's path may have {limit}: give a shorter one", .path.display())]
    SocketTooLong { path: PathBuf, length: usize, limit: usize },
    #[error("socket: {} is not a directory: create it, or give another path", .directory.display())]
    SocketDirectory { directory: PathBuf },
    #[error("socket: {} exists and is not a socket: remove it, or give another path", .path.display())]
    SocketTaken { path: PathBuf },
    #[error("{setting}: there is no socket that it could be about: give --socket too")]
    SocketMissing { setting: &'static str },
    #[error(
        "socket_mode: `{value}` is not the mode of a socket: give octal digits up to 0777, such as 0660"
    )]
    SocketMode { value: String },
    #[error(
        "socket_mode: with `{value}` nobody may connect, which takes the right to write: give 0600 for this user alone, \
         0660 for a group too"
    )]
    SocketModeNobody { value: String },
    #[error(
        "socket_mode: `{value}` gives somebody rights, but not that to write, without which nobody may connect: give \
         6 to whoever may connect and 0 to the others, such as 0660"
    )]
    SocketModeUseless { value: String },
    #[error("socket_group: there is no group `{group}` here: give the name or the number of one")]
    SocketGroupUnknown { group: String },
    #[error(
        "socket_group: the groups of this machine cannot be read for `{group}` ({error}): give its number"
    )]
    SocketGroupUnreadable { group: String, error: io::Error },
    #[error(
        "socket_group: this user may not give a file to `{group}` ({error}): run the node as a member of that group, or \
         give another"
    )]
    SocketGroupForbidden { group: String, error: io::Error },
    #[error("socket_group: the socket's mode lets no group connect: give --socket-mode 0660 too")]
    SocketGroupShutOut,
    #[error(
        "{missing}: {setting} is given and this is not: give a certificate and its key, both or none"
    )]
    TlsMissing { setting: &'static str, missing: &'static str },
    #[error(
        "{setting}: `listen` is off, and a socket speaks no TLS: give --listen an address, or leave it out"
    )]
    TlsWithoutListen { setting: &'static str },
    #[error(
        "peer_ca: there is nobody whose certificate it could be about: give --peer-listen, or --peers with https://, or \
         leave it out"
    )]
    PeerCaUnused,
    #[error("peers: {peer} speaks TLS: give --peer-ca with the authorities that vouch for peers")]
    PeerCaMissing { peer: String },
    #[error("peer_ca: {0}")]
    PeerCa(outrigger_client::TlsError),
    #[error("listen: {}", open(*.address, *.tls, *.rules))]
    OpenListen { address: std::net::SocketAddr, tls: bool, rules: bool },
    #[error(
        "peer_listen: {address} can be reached from other machines, and copies and the secret would travel in plain text: \
         give --tls-certificate and --tls-key, or --insecure if the network is your nodes' alone"
    )]
    OpenPeerListen { address: std::net::SocketAddr },
    #[error("peer_listen: {address} is taken by `{other}`: give another port")]
    PeerListenTwice { address: std::net::SocketAddr, other: &'static str },
    #[error(transparent)]
    Tls(TlsError),
    #[error(
        "drain_delay: `{value}` is not a duration: give a whole number with its unit, such as 5s or 2m, or `off`"
    )]
    DrainDelay { value: String },
    #[error(
        "memory: `{value}` is not a size: give a whole number with its unit, such as 256MiB or 1GiB"
    )]
    Memory { value: String },
    #[error("memory: `{value}` is too little: give at least {} MiB", MEMORY_MIN_BYTES >> 20)]
    MemoryTooSmall { value: String },
    #[error("restore_rate: {0}")]
    RestoreRate(RateError),
    #[error(
        "log: `{filter}` is not a log filter ({error}): give a level such as `info`, or `info,outrigger=debug`"
    )]
    LogFilter { filter: String, error: tracing_subscriber::filter::ParseError },
    #[error("peers: `{peer}` is not a peer: {error}")]
    Peer { peer: String, error: AddressError },
    #[error("peers: {count} peers, at most {PEERS_MAX} are asked in turn: leave the rest out")]
    TooManyPeers { count: usize },
    #[error("peers: `{peer}` is given twice: remove one of them")]
    PeerTwice { peer: String },
    #[error(
        "{setting}: peers cannot be told from anybody else: give --peer-secret-file, or TLS with --peer-listen, \
         --peer-ca and https:// for every peer"
    )]
    PeerSecretMissing { setting: &'static str },
    #[error("peer_secret_file: {}: {error}", .path.display())]
    PeerSecret { path: PathBuf, error: SecretError },
    #[error("access: {fault}")]
    Access { line: usize, fault: AccessFault },
    #[error("tokens_file: {}: {error}", .path.display())]
    Tokens { path: PathBuf, error: TokensError },
    #[error(
        "peer_rate: `{value}` is not a size: give what to send in a second with its unit, such as 50MiB"
    )]
    PeerRate { value: String },
    #[error(
        "peer_rate: `{value}` is too little, a peer would give up: give at least {} MiB a second, or leave it out",
        RATE_MIN >> 20
    )]
    PeerRateTooSmall { value: String },
    #[error(
        "verify_every: `{value}` is not a duration of 10s or more: give a whole number with its unit, such as 24h, or `off`"
    )]
    VerifyEvery { value: String },
    #[error("verify_every: there is nobody to compare with: give --peers")]
    VerifyNobody,
    #[error("store: no store: give --store NAME, or [[store]] tables in the file")]
    NoStore,
    #[error(
        "store: --store (OUTRIGGER_STORE) names `{flag}` and the file has [[store]] tables: use one of the two, \
         more stores go into the file"
    )]
    StoresTwice { flag: String },
    #[error(
        "{flag}: it belongs to --store, which is missing: give --store too, or move it into a [[store]] table"
    )]
    StoreFlagAlone { flag: &'static str },
    #[error(
        "store: {count} stores, at most {STORES_MAX} are allowed in one process: run another node for the rest"
    )]
    TooManyStores { count: usize },
    #[error("store: `{name}` is not a name for a store: {error}")]
    StoreName { name: String, error: NameError },
    #[error("topic: `{topic}` of store `{store}` is not a name for a topic: {error}")]
    TopicName { store: String, topic: String, error: NameError },
    #[error("store: `{name}` is given twice: remove or rename one of them")]
    DuplicateStore { name: String },
    #[error(
        "store: `{name}` and `{other}` differ only in case, so some file systems would mix them: rename one"
    )]
    AlikeStores { name: String, other: String },
    #[error(
        "topic: `{topic}` is the topic of both `{first}` and `{second}`: one topic is one store, remove one"
    )]
    DuplicateTopic { topic: String, first: String, second: String },
    #[error(
        "partitions: store `{store}` has partitions but not create: add create, or leave partitions to the topic \
         that exists"
    )]
    PartitionsWithoutCreate { store: String },
    #[error("partitions: store `{store}` has {partitions}: give 1 to {PARTITIONS_MAX}")]
    Partitions { store: String, partitions: u32 },
    #[error(
        "replication: store `{store}` has replication but not create: add create, or leave it to the topic that exists"
    )]
    ReplicationWithoutCreate { store: String },
    #[error(
        "replication: store `{store}` has {replication}: give 1 to {REPLICATION_MAX}, 3 is usual"
    )]
    Replication { store: String, replication: u32 },
    #[error("kafka: {0}")]
    Kafka(#[from] BadProperty),
}

impl Problem {
    /// Returns the setting that is missing altogether, where that is the problem.
    pub(super) fn missing(&self) -> Option<&'static str> {
        let settings = [
            ("data", matches!(self, Problem::DataMissing)),
            ("bootstrap", matches!(self, Problem::BootstrapMissing)),
            ("store", matches!(self, Problem::NoStore)),
            ("peer_secret_file", matches!(self, Problem::PeerSecretMissing { .. })),
        ];
        settings.into_iter().find(|(_, missing)| *missing).map(|(setting, _)| setting)
    }
}

fn one_of(known: &[String]) -> String {
    match known {
        [] => " NAME".to_owned(),
        known => format!(", one of {}", known.join(", ")),
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(f, "the configuration is wrong, nothing was opened:")?,
            count => {
                write!(f, "the configuration is wrong in {count} places, nothing was opened:")?
            }
        }
        for problem in &self.problems {
            write!(f, "\n  - {}", problem.to_string().trim_end().replace('\n', "\n    "))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
