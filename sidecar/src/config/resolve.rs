//! From what was said to what holds: one pass that collects every problem.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::file::FileFault;
use super::names::StoreName;
use super::origin::Origins;
use super::problem::{ConfigError, Problem};
use super::settings::{DiskArgs, File, OfflineArgs, Place, ReadFile, ServeArgs, Settings};
use super::units::{parse_duration, parse_rate, parse_size};
use super::{MEMORY_MIN_BYTES, ServeConfig, access, exposure, kafka, peers, socket, stores, tls};
use crate::kafka::KafkaConfig;
use crate::telemetry::{Collector, LogConfig, LogFormat};

const LISTEN_DEFAULT: &str = "127.0.0.1:7400";
/// Nothing is opened that nobody asked for; and the second node on a machine needs no flag to avoid it.
const METRICS_DEFAULT: &str = "off";
const LOG_DEFAULT: &str = "info";
const MEMORY_DEFAULT: &str = "256MiB";

impl ServeArgs {
    /// Reads the file, if one is named, and judges everything; opens nothing else.
    pub fn resolve(self) -> Result<ServeConfig, ConfigError> {
        let file = read(self.config.as_deref())?;
        self.resolve_over(file)
    }

    /// Returns the store that is named; where it is empty: the only one.
    pub fn store(&self) -> &str {
        self.single.store.as_deref().unwrap_or_default()
    }

    /// Returns the configuration of a node of one store beside the one that these settings are for: on a directory of
    /// its own, listening on `socket` alone, and without peers: all that it has comes from the log.
    pub fn resolve_beside(
        mut self,
        data: PathBuf,
        socket: PathBuf,
    ) -> Result<ServeConfig, ConfigError> {
        let name = self.store().to_owned();
        if self.config.is_some() {
            // The store is one of the file's.
            self.single.store = None;
        }
        self.settings.place.data = Some(data);
        self.settings.traces = Some("off".to_owned());
        self.settings.listen = Some("off".to_owned());
        self.settings.metrics = Some("off".to_owned());
        self.settings.socket = Some(socket);
        let mut read = read(self.config.as_deref())?;
        // Rules are the file's alone.
        read.file.access.clear();
        let mut config = self.resolve_with(read, Settings::forget_others)?;
        config.stores.retain(|store| name.is_empty() || store.name.as_str() == name);
        match config.stores.len() {
            1 => Ok(config),
            _ => Err(ConfigError { problems: vec![Problem::NotOneStore { name }] }),
        }
    }

    fn resolve_over(self, read: ReadFile) -> Result<ServeConfig, ConfigError> {
        self.resolve_with(read, |_as_they_are| {})
    }

    /// `adjust` has the last word on the settings, wherever they were said.
    fn resolve_with(
        self,
        read: ReadFile,
        adjust: impl FnOnce(&mut Settings),
    ) -> Result<ServeConfig, ConfigError> {
        let mut problems = problems_of(self.config.as_deref(), &read);
        let ReadFile { file, unusable, lines, .. } = read;
        let given = self.settings.given().into_iter().chain(self.single.given());
        let origins = Origins::new(self.config.as_deref(), lines, &file, given);
        let mut settings = self.settings.over(&file);
        adjust(&mut settings);
        let bootstrap = brokers(settings.place.bootstrap.as_deref(), &mut problems);
        // A socket protects nothing where the same is served to every user of the machine beside it.
        let default = if settings.socket.is_some() { "off" } else { LISTEN_DEFAULT };
        let listen = settings.listen.as_deref().unwrap_or(default);
        let listen = address("listen", listen, &mut problems);
        let peer_listen = settings.peer_listen.as_deref().unwrap_or("off");
        let peer_listen = address("peer_listen", peer_listen, &mut problems);
        let tls = tls::resolve(&settings, listen, peer_listen, &mut problems);
        let config = ServeConfig {
            data: data(settings.place.data.clone(), &mut problems),
            listen,
            tls: tls.callers,
            peer_listen: tls.peer_listen,
            metrics: address(
                "metrics",
                settings.metrics.as_deref().unwrap_or(METRICS_DEFAULT),
                &mut problems,
            ),
            traces: traces(settings.traces.as_deref(), &mut problems),
            socket: socket::resolve(&settings, &mut problems),
            memory_bytes: memory(settings.memory.as_deref(), &mut problems),
            restore_rate: restore_rate(settings.restore_rate.as_deref(), &mut problems),
            ready_lag_max: settings.ready_lag_max,
            ack: settings.ack.unwrap_or_default(),
            peer: peers::resolve(&settings, tls.peers, &mut problems),
            drain_delay: drain_delay(settings.drain_delay.as_deref(), &mut problems),
            log: log(&settings, &mut problems),
            kafka: KafkaConfig {
                bootstrap,
                properties: kafka::properties(file.kafka, &self.kafka, &mut problems),
            },
            stores: stores::resolve(self.single, file.store, &mut problems),
            access: None,
            warnings: Vec::new(),
        };
        let access = access::resolve(&file.access, &config.stores, &settings, &mut problems);
        let config = ServeConfig { access, ..config };
        check_endpoints(&config, settings.listen.as_deref(), &mut problems);
        exposure::check(&config, settings.insecure.unwrap_or_default(), &mut problems);
        problems.retain(|problem| problem.missing().is_none_or(|key| !unusable.contains(&key)));
        if problems.is_empty() {
            Ok(ServeConfig { warnings: warnings(&config, &settings), ..config })
        } else {
            Err(ConfigError { problems: origins.tell(problems) })
        }
    }
}

impl OfflineArgs {
    /// Returns the data directory and how to reach Kafka.
    pub fn resolve(self) -> Result<(PathBuf, KafkaConfig), ConfigError> {
        let OfflineArgs { config, place, kafka: pairs } = self;
        let read = read(config.as_deref())?;
        let mut problems = problems_of(config.as_deref(), &read);
        let ReadFile { file, unusable, lines, .. } = read;
        let origins = Origins::new(config.as_deref(), lines, &file, place.given());
        let Place { data: given, bootstrap } = place.over(&file);
        let data = data(given, &mut problems);
        let kafka = KafkaConfig {
            bootstrap: brokers(bootstrap.as_deref(), &mut problems),
            properties: kafka::properties(file.kafka, &pairs, &mut problems),
        };
        problems.retain(|problem| problem.missing().is_none_or(|key| !unusable.contains(&key)));
        if problems.is_empty() {
            Ok((data, kafka))
        } else {
            Err(ConfigError { problems: origins.tell(problems) })
        }
    }
}

impl DiskArgs {
    /// Returns the data directory, and the store in it.
    pub fn resolve(&self) -> Result<(PathBuf, StoreName), ConfigError> {
        let DiskArgs { config, data: given, store } = self;
        let read = read(config.as_deref())?;
        let mut problems = problems_of(config.as_deref(), &read);
        let ReadFile { file, unusable, .. } = read;
        let data = data(given.clone().or_else(|| file.data().cloned()), &mut problems);
        let store = store.clone().or_else(|| only_store(&file, &mut problems));
        problems.retain(|problem| problem.missing().is_none_or(|key| !unusable.contains(&key)));
        match (store, problems.is_empty()) {
            (Some(store), true) => Ok((data, store)),
            (None, _) | (_, false) => Err(ConfigError { problems }),
        }
    }
}

fn only_store(file: &File, problems: &mut Vec<Problem>) -> Option<StoreName> {
    let known: Vec<String> = file.store.iter().map(|store| store.name.clone()).collect();
    let [name] = &known[..] else {
        problems.push(Problem::WhichStore { known });
        return None;
    };
    let wrong = |error| Problem::StoreName { name: name.clone(), error };
    StoreName::parse(name).map_err(|error| problems.push(wrong(error))).ok()
}

/// Reads the file. Where the one that is named cannot be read, or is no TOML, nothing can be said about the rest.
fn read(config: Option<&Path>) -> Result<ReadFile, ConfigError> {
    let Some(path) = config else { return Ok(ReadFile::default()) };
    let file = ReadFile::read(path).map_err(|problem| ConfigError { problems: vec![problem] })?;
    if file.problems.iter().any(FileFault::is_syntax) {
        Err(ConfigError { problems: problems_of(config, &file) })
    } else {
        Ok(file)
    }
}

fn problems_of(config: Option<&Path>, read: &ReadFile) -> Vec<Problem> {
    let path = config.unwrap_or(Path::new("the file"));
    let faults = read.problems.iter().cloned();
    faults.map(|fault| Problem::File { path: path.to_owned(), fault }).collect()
}

fn data(path: Option<PathBuf>, problems: &mut Vec<Problem>) -> PathBuf {
    let problem = match path {
        None => Problem::DataMissing,
        Some(path) if path.as_os_str().is_empty() => Problem::DataEmpty,
        Some(path) => return path,
    };
    problems.push(problem);
    PathBuf::new()
}

fn brokers(text: Option<&str>, problems: &mut Vec<Problem>) -> String {
    kafka::bootstrap(text.unwrap_or_default()).unwrap_or_else(|wrong| {
        problems.extend(wrong);
        String::new()
    })
}

/// Reads an address. No name is looked up: what is listened on must not depend on a resolver.
fn address(key: &'static str, text: &str, problems: &mut Vec<Problem>) -> Option<SocketAddr> {
    if text == "off" {
        return None;
    }
    text.parse().map_err(|_| problems.push(Problem::Address { key, value: text.to_owned() })).ok()
}

fn traces(text: Option<&str>, problems: &mut Vec<Problem>) -> Option<Collector> {
    let text = text.filter(|text| *text != "off")?;
    if !cfg!(feature = "otel") {
        problems.push(Problem::TracesNotBuilt);
        return None;
    }
    let wrong = |error| Problem::Traces { value: kafka::without_user(text), error };
    Collector::parse(text).map_err(|error| problems.push(wrong(error))).ok()
}

fn memory(text: Option<&str>, problems: &mut Vec<Problem>) -> usize {
    let value = text.unwrap_or(MEMORY_DEFAULT).to_owned();
    match parse_size(&value) {
        Some(bytes) if bytes >= MEMORY_MIN_BYTES => return bytes,
        Some(_) => problems.push(Problem::MemoryTooSmall { value }),
        None => problems.push(Problem::Memory { value }),
    }
    MEMORY_MIN_BYTES
}

fn restore_rate(text: Option<&str>, problems: &mut Vec<Problem>) -> Option<NonZeroU64> {
    let rate = parse_rate(text?).map_err(Problem::RestoreRate);
    rate.unwrap_or_else(|problem| {
        problems.push(problem);
        None
    })
}

fn drain_delay(text: Option<&str>, problems: &mut Vec<Problem>) -> Duration {
    match text {
        None | Some("off") => Duration::ZERO,
        Some(text) => parse_duration(text).unwrap_or_else(|_no_duration| {
            problems.push(Problem::DrainDelay { value: text.to_owned() });
            Duration::ZERO
        }),
    }
}

fn log(settings: &Settings, problems: &mut Vec<Problem>) -> LogConfig {
    let filter = settings.log.clone().unwrap_or_else(|| LOG_DEFAULT.to_owned());
    if let Err(error) = EnvFilter::try_new(&filter) {
        problems.push(Problem::LogFilter { filter: filter.clone(), error });
    }
    // On one machine no two nodes have the same directory.
    let data = settings.place.data.as_deref().and_then(Path::file_name);
    let node = data.map(|name| name.to_string_lossy().into_owned());
    LogConfig { format: settings.log_format.unwrap_or(LogFormat::Text), filter, node }
}

fn check_endpoints(config: &ServeConfig, listen: Option<&str>, problems: &mut Vec<Problem>) {
    if listen == Some("off") && config.socket.is_none() {
        problems.push(Problem::NowhereToListen);
    }
    // Port 0 asks the system for a free one, each time another.
    if let Some(address) = config.metrics.filter(|address| address.port() != 0)
        && config.listen == Some(address)
    {
        problems.push(Problem::MetricsOnListen { address });
    }
    let address = config.peer_listen.as_ref().map(|peers| peers.address);
    if let Some(address) = address.filter(|address| address.port() != 0) {
        let others = [("listen", config.listen), ("metrics", config.metrics)];
        let taken = others.into_iter().find(|(_, other)| *other == Some(address));
        problems.extend(taken.map(|(other, _)| Problem::PeerListenTwice { address, other }));
    }
}

fn warnings(config: &ServeConfig, settings: &Settings) -> Vec<String> {
    let secret_file = settings.peer_secret_file.as_deref();
    let readable = config.peer.secret.as_ref().filter(|_| peers::others_may_read(secret_file));
    let readable = readable.map(|_| {
        "peer_secret_file: every user of this machine can read it: take the right from them (chmod 600)"
            .to_owned()
    });
    let unruled = config.socket.as_ref().filter(|_| config.access.is_none());
    let everybody = unruled.filter(|socket| socket.others_may_connect());
    let everybody = everybody.map(|_| {
        "socket_mode: every user of this machine may read and write the stores, where the socket's directory lets them \
         pass: a mode of 0660 and a `socket_group` let in some"
            .to_owned()
    });
    let keys = settings.tls_key.as_deref().filter(|key| peers::others_may_read(Some(key)));
    let keys = keys.map(|_| {
        "tls_key: every user of this machine can read it: take the right from them (chmod 600)"
            .to_owned()
    });
    let unverified = kafka::unverified(&config.kafka.properties);
    let access = access::warnings(config.access.as_deref(), settings.tokens_file.as_deref());
    let others = [everybody, readable, keys, unverified].into_iter().flatten();
    let has_peers = config.peer_listen.is_some() || !config.peer.addresses.is_empty();
    let left_out = access::peers_left_out(config.access.as_deref(), has_peers);
    let names = exposure::names(config);
    exposure::warnings(config).chain(others).chain(access).chain(left_out).chain(names).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
#[path = "mutated_tests.rs"]
mod mutated_tests;
