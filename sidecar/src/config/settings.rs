//! What was said, not yet judged: the settings of the command line, the environment and the file.
//!
//! One struct carries a name through all three (a flag's `-` is the file's `_`). clap has merged
//! flags over environment before this module sees them; `over` lays them over the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;

use super::file::{self, Faults, FileFault, Lines, Place as Where, Section};
use super::problem::Problem;
use super::{Ack, StoreName};
use crate::telemetry::LogFormat;

/// Runs a node: one copy of each store, served over gRPC.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServeArgs {
    /// Configuration file (TOML); its keys are the long flags below with `_` for `-`, a table `[kafka]`,
    /// and one table `[[store]]` for each store with name, topic, create, partitions and replication
    #[arg(long, env = "OUTRIGGER_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    #[command(flatten)]
    pub(super) settings: Settings,

    #[command(flatten)]
    pub(super) single: SingleStore,

    #[command(flatten)]
    pub(super) kafka: Passed,
}

/// What a command takes that works on a stopped node's disk and on Kafka: where both are, as `serve` takes it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct OfflineArgs {
    /// Configuration file of the node: data, bootstrap and [kafka] are taken from it where no flag says them
    #[arg(long, env = "OUTRIGGER_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    #[command(flatten)]
    pub(super) place: Place,

    #[command(flatten)]
    pub(super) kafka: Passed,
}

/// Which copy a command means that works on the disk of one store.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DiskArgs {
    /// Configuration file of the node: data and store are taken from it where no flag says them, the store where it is
    /// the only one
    #[arg(long, env = "OUTRIGGER_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Data directory of the node
    #[arg(long, env = "OUTRIGGER_DATA", value_name = "DIR")]
    pub(super) data: Option<PathBuf>,

    /// Store
    #[arg(long, env = "OUTRIGGER_STORE", value_name = "NAME", value_parser = StoreName::parse)]
    pub(super) store: Option<StoreName>,
}

/// Settings that are passed on to librdkafka.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Passed {
    /// Passes a setting to librdkafka, for TLS and SASL above all; may be repeated. Put secrets into the file's
    /// table [kafka] or into the variable OUTRIGGER_KAFKA (one KEY=VALUE a line): flags can be seen by every user of
    /// the machine
    #[arg(long = "kafka", value_name = "KEY=VALUE")]
    pub(super) pairs: Vec<String>,

    /// What the variable holds. A flag is one pair however many lines it has: a PEM is one value.
    #[arg(
        long = "kafka-lines",
        env = "OUTRIGGER_KAFKA",
        value_name = "LINES",
        hide = true,
        hide_env_values = true
    )]
    pub(super) lines: Option<String>,
}

/// Where the copies and the log are.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Place {
    /// Data directory; each store has its own directory below it
    #[arg(long, env = "OUTRIGGER_DATA", value_name = "DIR")]
    pub(super) data: Option<PathBuf>,

    /// Kafka brokers to begin with, separated by commas
    #[arg(long, env = "OUTRIGGER_BOOTSTRAP", value_name = "HOST:PORT,…")]
    pub(super) bootstrap: Option<String>,
}

/// Settings with the same name in flags, environment and file.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Settings {
    #[command(flatten)]
    pub(super) place: Place,

    /// Address of the gRPC server, or `off` [default: 127.0.0.1:7400, or off with a --socket]
    #[arg(long, env = "OUTRIGGER_LISTEN", value_name = "IP:PORT")]
    pub(super) listen: Option<String>,

    /// Serve gRPC on this Unix socket
    #[arg(long, env = "OUTRIGGER_SOCKET", value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,

    /// Who may connect to the socket, as the mode of its file: 0660 adds its group, 0666 everybody [default: 0600]
    #[arg(long, env = "OUTRIGGER_SOCKET_MODE", value_name = "OCTAL")]
    pub(super) socket_mode: Option<String>,

    /// Group that the socket is given to, by name or number [default: the node's]
    #[arg(long, env = "OUTRIGGER_SOCKET_GROUP", value_name = "GROUP")]
    pub(super) socket_group: Option<String>,

    /// Listen where other machines reach it, without TLS or without saying who may do what
    #[arg(
        long,
        env = "OUTRIGGER_INSECURE",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    pub(super) insecure: Option<bool>,

    /// Speak TLS at --listen, with this certificate and those that vouch for it (PEM); a renewed file is taken without a
    /// restart
    #[arg(long, env = "OUTRIGGER_TLS_CERTIFICATE", value_name = "FILE")]
    pub(super) tls_certificate: Option<PathBuf>,

    /// Its private key (PEM, without a password)
    #[arg(long, env = "OUTRIGGER_TLS_KEY", value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,

    /// Serve only callers at --listen who show a certificate that an authority of this file vouches for (PEM)
    #[arg(long, env = "OUTRIGGER_TLS_CLIENT_CA", value_name = "FILE")]
    pub(super) tls_client_ca: Option<PathBuf>,

    /// Address of the Prometheus endpoint, such as 127.0.0.1:7401 [default: off]
    #[arg(long, env = "OUTRIGGER_METRICS", value_name = "IP:PORT")]
    pub(super) metrics: Option<String>,

    /// OpenTelemetry collector that the traces of calls are sent to, by OTLP over gRPC: http://HOST:PORT, or `off`; traced
    /// are calls that bring a sampled traceparent [default: off]
    #[arg(long, env = "OUTRIGGER_TRACES", value_name = "URL")]
    pub(super) traces: Option<String>,

    /// Memory for reads and restores together: blocks, indexes and filters, and records on their way to the disk
    /// [default: 256MiB]
    #[arg(long, env = "OUTRIGGER_MEMORY", value_name = "SIZE")]
    pub(super) memory: Option<String>,

    /// How much restores may read from the log per second, all stores together, such as 10MiB, or `off`; a READY
    /// node is never held back [default: off]
    #[arg(long, env = "OUTRIGGER_RESTORE_RATE", value_name = "SIZE")]
    pub(super) restore_rate: Option<String>,

    /// Report healthy only while at most this many offsets behind the end of the log [default: any number]
    #[arg(long, env = "OUTRIGGER_READY_LAG_MAX", value_name = "OFFSETS")]
    pub(super) ready_lag_max: Option<u64>,

    /// When a write is answered that does not ask for either: when the log has it, or when reads of this node find it
    /// [default: log]
    #[arg(long, env = "OUTRIGGER_ACK", value_name = "WHEN")]
    pub(super) ack: Option<Ack>,

    /// Address where other nodes ask for copies, and nobody else for anything, or `off` [default: they ask at --listen]
    #[arg(long, env = "OUTRIGGER_PEER_LISTEN", value_name = "IP:PORT")]
    pub(super) peer_listen: Option<String>,

    /// Authorities that vouch for other nodes (PEM): whoever asks at --peer-listen must show a certificate of them, and
    /// so must a peer at https://; this node shows its own
    #[arg(long, env = "OUTRIGGER_PEER_CA", value_name = "FILE")]
    pub(super) peer_ca: Option<PathBuf>,

    /// Other nodes of the same stores, asked for a copy before a whole log is read, several separated by commas:
    /// http://HOST:PORT or https://HOST:PORT as they listen to peers; this node may be among them
    #[arg(long, env = "OUTRIGGER_PEERS", value_name = "URL,…", value_delimiter = ',')]
    pub(super) peers: Option<Vec<String>>,

    /// File with the secret that all nodes of the stores share, 16 bytes of ASCII at least, mode 0600; with it this node
    /// gives its copies to whoever knows it
    #[arg(long, env = "OUTRIGGER_PEER_SECRET_FILE", value_name = "FILE")]
    pub(super) peer_secret_file: Option<PathBuf>,

    /// Ask peers for the answers to reads until the own copy is READY; `false` refuses such reads [default: true]
    #[arg(
        long,
        env = "OUTRIGGER_FORWARD_READS",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    pub(super) forward_reads: Option<bool>,

    /// How much a second this node gives to its peers, all together, such as 50MiB; at least 1MiB
    /// [default: as fast as it goes]
    #[arg(long, env = "OUTRIGGER_PEER_RATE", value_name = "SIZE")]
    pub(super) peer_rate: Option<String>,

    /// How often each copy is compared with a peer's in the background, such as 24h, at least 10s, or `off` [default: off]
    #[arg(long, env = "OUTRIGGER_VERIFY_EVERY", value_name = "DURATION")]
    pub(super) verify_every: Option<String>,

    /// File with the bearer tokens of callers that the tables `[[access]]` name as `token:NAME`: one NAME TOKEN a line,
    /// mode 0600; looked at again every second
    #[arg(long, env = "OUTRIGGER_TOKENS_FILE", value_name = "FILE")]
    pub(super) tokens_file: Option<PathBuf>,

    /// After the first SIGTERM, how long reads and writes are still taken before the drain begins, such as 5s, or `off`:
    /// for an application that writes its last state when it is stopped together with the node [default: off]
    #[arg(long, env = "OUTRIGGER_DRAIN_DELAY", value_name = "DURATION")]
    pub(super) drain_delay: Option<String>,

    /// What to log: a level, or directives such as `info,outrigger=debug` [default: info]
    #[arg(long, env = "OUTRIGGER_LOG", value_name = "FILTER")]
    pub(super) log: Option<String>,

    /// How to log, to standard error [default: text]
    #[arg(long, env = "OUTRIGGER_LOG_FORMAT", value_name = "FORMAT")]
    pub(super) log_format: Option<LogFormat>,
}

/// The only store, when the file has none.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct SingleStore {
    /// Name of the store, for a node with one store; more go into the file
    #[arg(long, env = "OUTRIGGER_STORE", value_name = "NAME")]
    pub(super) store: Option<String>,

    /// Its topic [default: the store's name]
    #[arg(long, env = "OUTRIGGER_TOPIC", value_name = "NAME")]
    pub(super) topic: Option<String>,

    /// Create the topic when it does not exist
    #[arg(long, env = "OUTRIGGER_CREATE", value_parser = BoolishValueParser::new())]
    pub(super) create: bool,

    /// Number of partitions of a created topic [default: 1]
    #[arg(long, env = "OUTRIGGER_PARTITIONS", value_name = "NUMBER")]
    pub(super) partitions: Option<u32>,

    /// Number of replicas of a created topic, which waits for as many brokers
    /// [default: as many as the cluster is meant to give, three at most]
    #[arg(long, env = "OUTRIGGER_REPLICATION", value_name = "NUMBER")]
    pub(super) replication: Option<u32>,
}

/// The file. Unknown keys are errors, because a misspelt setting would be a setting silently missing.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    data: Option<PathBuf>,
    bootstrap: Option<String>,
    listen: Option<String>,
    socket: Option<PathBuf>,
    socket_mode: Option<String>,
    socket_group: Option<String>,
    insecure: Option<bool>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_client_ca: Option<PathBuf>,
    metrics: Option<String>,
    traces: Option<String>,
    memory: Option<String>,
    restore_rate: Option<String>,
    ready_lag_max: Option<u64>,
    ack: Option<Ack>,
    peer_listen: Option<String>,
    peer_ca: Option<PathBuf>,
    peers: Option<Vec<String>>,
    peer_secret_file: Option<PathBuf>,
    forward_reads: Option<bool>,
    peer_rate: Option<String>,
    verify_every: Option<String>,
    tokens_file: Option<PathBuf>,
    drain_delay: Option<String>,
    log: Option<String>,
    log_format: Option<LogFormat>,
    pub(super) kafka: BTreeMap<String, String>,
    pub(super) store: Vec<StoreTable>,
    pub(super) access: Vec<AccessTable>,
}

#[derive(Clone, Debug)]
pub(super) struct StoreTable {
    pub(super) name: String,
    pub(super) topic: Option<String>,
    pub(super) create: bool,
    pub(super) partitions: Option<u32>,
    pub(super) replication: Option<u32>,
}

/// Who may do what, as it is written.
#[derive(Clone, Debug)]
pub(super) struct AccessTable {
    pub(super) line: usize,
    pub(super) who: Vec<String>,
    pub(super) store: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) may: Vec<String>,
}

/// A file as it was read, with what is wrong with it.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadFile {
    pub(super) file: File,
    pub(super) problems: Vec<FileFault>,
    /// Settings that it has, and that cannot be used.
    pub(super) unusable: Vec<&'static str>,
    pub(super) lines: Lines,
}

impl Place {
    /// Returns these settings, and the file's where these say nothing.
    pub(super) fn over(self, file: &File) -> Place {
        Place {
            data: self.data.or_else(|| file.data.clone()),
            bootstrap: self.bootstrap.or_else(|| file.bootstrap.clone()),
        }
    }
}

impl Settings {
    /// Makes it as if nobody had said anything about other nodes, or about who may connect.
    pub(super) fn forget_others(&mut self) {
        let Settings { peers, peer_secret_file, peer_rate, forward_reads, .. } = self;
        (*peers, *peer_secret_file, *peer_rate, *forward_reads) = (None, None, None, None);
        self.verify_every = None;
        let Settings { socket_mode, socket_group, tokens_file, .. } = self;
        (*socket_mode, *socket_group, *tokens_file) = (None, None, None);
        let Settings { tls_certificate, tls_key, tls_client_ca, peer_listen, peer_ca, .. } = self;
        (*tls_certificate, *tls_key, *tls_client_ca) = (None, None, None);
        (*peer_listen, *peer_ca) = (None, None);
    }

    /// Returns these settings, and the file's where these say nothing.
    pub(super) fn over(self, file: &File) -> Settings {
        Settings {
            place: self.place.over(file),
            listen: self.listen.or_else(|| file.listen.clone()),
            socket: self.socket.or_else(|| file.socket.clone()),
            socket_mode: self.socket_mode.or_else(|| file.socket_mode.clone()),
            socket_group: self.socket_group.or_else(|| file.socket_group.clone()),
            insecure: self.insecure.or(file.insecure),
            tls_certificate: self.tls_certificate.or_else(|| file.tls_certificate.clone()),
            tls_key: self.tls_key.or_else(|| file.tls_key.clone()),
            tls_client_ca: self.tls_client_ca.or_else(|| file.tls_client_ca.clone()),
            metrics: self.metrics.or_else(|| file.metrics.clone()),
            traces: self.traces.or_else(|| file.traces.clone()),
            memory: self.memory.or_else(|| file.memory.clone()),
            restore_rate: self.restore_rate.or_else(|| file.restore_rate.clone()),
            ready_lag_max: self.ready_lag_max.or(file.ready_lag_max),
            ack: self.ack.or(file.ack),
            peer_listen: self.peer_listen.or_else(|| file.peer_listen.clone()),
            peer_ca: self.peer_ca.or_else(|| file.peer_ca.clone()),
            peers: self.peers.or_else(|| file.peers.clone()),
            peer_secret_file: self.peer_secret_file.or_else(|| file.peer_secret_file.clone()),
            forward_reads: self.forward_reads.or(file.forward_reads),
            peer_rate: self.peer_rate.or_else(|| file.peer_rate.clone()),
            verify_every: self.verify_every.or_else(|| file.verify_every.clone()),
            tokens_file: self.tokens_file.or_else(|| file.tokens_file.clone()),
            drain_delay: self.drain_delay.or_else(|| file.drain_delay.clone()),
            log: self.log.or_else(|| file.log.clone()),
            log_format: self.log_format.or(file.log_format),
        }
    }
}

impl ReadFile {
    pub(super) fn read(path: &Path) -> Result<ReadFile, Problem> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Problem::FileUnreadable { path: path.to_owned(), error })?;
        Ok(ReadFile::parse(&text))
    }

    pub(super) fn parse(text: &str) -> ReadFile {
        let (file, Faults { faults: problems, unusable, lines }) = file::parse(text, File::take);
        ReadFile { file, problems, unusable, lines }
    }
}

impl File {
    pub(super) fn data(&self) -> Option<&PathBuf> {
        self.data.as_ref()
    }

    fn take(top: &mut Section<'_>) -> File {
        File {
            data: top.path("data"),
            bootstrap: top.text("bootstrap"),
            listen: top.text("listen"),
            socket: top.path("socket"),
            socket_mode: top.text("socket_mode"),
            socket_group: top.text("socket_group"),
            insecure: top.truth("insecure"),
            tls_certificate: top.path("tls_certificate"),
            tls_key: top.path("tls_key"),
            tls_client_ca: top.path("tls_client_ca"),
            metrics: top.text("metrics"),
            traces: top.text("traces"),
            memory: top.text("memory"),
            restore_rate: top.text("restore_rate"),
            ready_lag_max: top.number("ready_lag_max"),
            ack: top.choice("ack", &Ack::NAMES),
            peer_listen: top.text("peer_listen"),
            peer_ca: top.path("peer_ca"),
            peers: top.texts("peers"),
            peer_secret_file: top.path("peer_secret_file"),
            forward_reads: top.truth("forward_reads"),
            peer_rate: top.text("peer_rate"),
            verify_every: top.text("verify_every"),
            tokens_file: top.path("tokens_file"),
            drain_delay: top.text("drain_delay"),
            log: top.text("log"),
            log_format: top.choice("log_format", &LogFormat::NAMES),
            kafka: top.settings("kafka"),
            store: top.stores("store", StoreTable::take),
            access: top.tables("access", Where::Access, AccessTable::take).0,
        }
    }
}

impl StoreTable {
    fn take(table: &mut Section<'_>) -> Option<StoreTable> {
        let (topic, create) = (table.text("topic"), table.truth("create").unwrap_or_default());
        let partitions = table.number("partitions");
        let replication = table.number("replication");
        let name = table.needed_text("name")?;
        Some(StoreTable { name, topic, create, partitions, replication })
    }
}

impl AccessTable {
    fn take(table: &mut Section<'_>) -> Option<AccessTable> {
        let (store, prefix) = (table.text("store"), table.text("prefix"));
        let (who, may) = (table.needed_texts("who"), table.needed_texts("may"));
        Some(AccessTable { line: table.line(), who: who?, store, prefix, may: may? })
    }
}
