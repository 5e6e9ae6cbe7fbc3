//! Who said what is wrong: a line of the file, a variable of the environment. A flag is in sight of whoever gave it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::file::Lines;
use super::kafka::BadProperty;
use super::problem::Problem;
use super::settings::{File, Place, Settings, SingleStore};
use crate::kafka::KafkaStartError;

/// What the flags and the environment said, by setting, and where the file says the rest.
pub(super) struct Origins {
    given: BTreeMap<&'static str, String>,
    variable: fn(&str) -> Option<String>,
    file: String,
    lines: Lines,
    /// Names of the file's stores, in the order of its lines for them.
    stores: Vec<String>,
}

/// A setting that a problem is about; `store`: the name of the file's table that it is in.
struct About<'a> {
    key: &'a str,
    store: Option<&'a str>,
}

impl Origins {
    pub(super) fn new(
        path: Option<&Path>,
        lines: Lines,
        file: &File,
        given: impl IntoIterator<Item = (&'static str, Option<String>)>,
    ) -> Origins {
        let given = given.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Origins {
            given: given.collect(),
            variable: |name| std::env::var(name).ok(),
            file: path.unwrap_or(Path::new("the file")).display().to_string(),
            lines,
            stores: file.store.iter().map(|store| store.name.clone()).collect(),
        }
    }

    /// Returns the problems; every one that is about a value with where the value is.
    pub(super) fn tell(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let origin = |problem: &Problem| match problem {
            Problem::Access { line, .. } => Some(format!("{}:{line}", self.file)),
            other => self.of(&about(other)?),
        };
        let told = |problem: Problem| match origin(&problem) {
            Some(origin) => Problem::Said { problem: Box::new(problem), origin },
            None => problem,
        };
        problems.into_iter().map(told).collect()
    }

    fn of(&self, About { key, store }: &About<'_>) -> Option<String> {
        if let Some(value) = self.given.get(key) {
            let name = format!("OUTRIGGER_{}", key.to_uppercase());
            // A flag that says the same as the variable is as wrong.
            return (self.variable)(&name).filter(|said| said == value).map(|_| name);
        }
        let line = match store {
            None => self.lines.top.get(*key)?,
            Some(store) => {
                // Of two equal names the second is reported.
                let table = self.stores.iter().rposition(|name| name == store)?;
                let lines = self.lines.stores.get(table)?;
                // A topic that is not given is the store's name.
                lines.get(*key).or_else(|| lines.get("name"))?
            }
        };
        Some(format!("{}:{line}", self.file))
    }
}

fn text(path: &Option<PathBuf>) -> Option<String> {
    path.as_ref().map(|path| path.to_string_lossy().into_owned())
}

impl Place {
    pub(super) fn given(&self) -> [(&'static str, Option<String>); 2] {
        [("data", text(&self.data)), ("bootstrap", self.bootstrap.clone())]
    }
}

impl Settings {
    pub(super) fn given(&self) -> [(&'static str, Option<String>); 22] {
        let [data, bootstrap] = self.place.given();
        [
            data,
            bootstrap,
            ("listen", self.listen.clone()),
            ("socket", text(&self.socket)),
            ("socket_mode", self.socket_mode.clone()),
            ("socket_group", self.socket_group.clone()),
            ("tls_certificate", text(&self.tls_certificate)),
            ("tls_key", text(&self.tls_key)),
            ("tls_client_ca", text(&self.tls_client_ca)),
            ("metrics", self.metrics.clone()),
            ("traces", self.traces.clone()),
            ("memory", self.memory.clone()),
            ("restore_rate", self.restore_rate.clone()),
            ("peer_listen", self.peer_listen.clone()),
            ("peer_ca", text(&self.peer_ca)),
            ("peers", self.peers.as_ref().map(|peers| peers.join(","))),
            ("peer_secret_file", text(&self.peer_secret_file)),
            ("peer_rate", self.peer_rate.clone()),
            ("verify_every", self.verify_every.clone()),
            ("tokens_file", text(&self.tokens_file)),
            ("drain_delay", self.drain_delay.clone()),
            ("log", self.log.clone()),
        ]
    }
}

impl SingleStore {
    pub(super) fn given(&self) -> [(&'static str, Option<String>); 4] {
        [
            ("store", self.store.clone()),
            ("topic", self.topic.clone()),
            ("partitions", self.partitions.map(|number| number.to_string())),
            ("replication", self.replication.map(|number| number.to_string())),
        ]
    }
}

/// Returns what a problem is about. None: it is about no value, or tells itself where that is.
fn about(problem: &Problem) -> Option<About<'_>> {
    let top = |key| Some(About { key, store: None });
    let of = |key, store| Some(About { key, store: Some(store) });
    match problem {
        Problem::FileUnreadable { .. }
        | Problem::File { .. }
        | Problem::Said { .. }
        | Problem::DataMissing
        | Problem::BootstrapMissing
        | Problem::NotOneStore { .. }
        | Problem::NoStore
        | Problem::Access { .. }
        | Problem::WhichStore { .. }
        | Problem::TooManyStores { .. } => None,
        Problem::DataEmpty => top("data"),
        Problem::Bootstrap { .. } => top("bootstrap"),
        Problem::Address { key, .. } => top(key),
        Problem::MetricsOnListen { .. } => top("metrics"),
        Problem::Traces { .. } | Problem::TracesNotBuilt => top("traces"),
        Problem::NowhereToListen => top("listen"),
        Problem::SocketEmpty
        | Problem::SocketTooLong { .. }
        | Problem::SocketDirectory { .. }
        | Problem::SocketTaken { .. } => top("socket"),
        Problem::SocketMissing { setting } => top(setting),
        Problem::SocketMode { .. }
        | Problem::SocketModeNobody { .. }
        | Problem::SocketModeUseless { .. } => top("socket_mode"),
        Problem::SocketGroupUnknown { .. }
        | Problem::SocketGroupUnreadable { .. }
        | Problem::SocketGroupForbidden { .. }
        | Problem::SocketGroupShutOut => top("socket_group"),
        Problem::TlsMissing { setting, .. } | Problem::TlsWithoutListen { setting } => top(setting),
        Problem::Tls(error) => top(error.setting()),
        Problem::PeerCaUnused | Problem::PeerCa(_) => top("peer_ca"),
        Problem::PeerCaMissing { .. } => top("peers"),
        Problem::OpenListen { .. } => top("listen"),
        Problem::PeerListenTwice { .. } | Problem::OpenPeerListen { .. } => top("peer_listen"),
        Problem::DrainDelay { .. } => top("drain_delay"),
        Problem::Memory { .. } | Problem::MemoryTooSmall { .. } => top("memory"),
        Problem::RestoreRate(_) => top("restore_rate"),
        Problem::LogFilter { .. } => top("log"),
        Problem::Peer { .. } | Problem::TooManyPeers { .. } | Problem::PeerTwice { .. } => {
            top("peers")
        }
        Problem::PeerSecretMissing { setting } => top(setting),
        Problem::PeerSecret { .. } => top("peer_secret_file"),
        Problem::Tokens { .. } => top("tokens_file"),
        Problem::PeerRate { .. } | Problem::PeerRateTooSmall { .. } => top("peer_rate"),
        Problem::VerifyEvery { .. } | Problem::VerifyNobody => top("verify_every"),
        Problem::StoresTwice { .. } => top("store"),
        Problem::StoreFlagAlone { flag } => top(flag.trim_start_matches('-')),
        Problem::StoreName { name, .. }
        | Problem::DuplicateStore { name }
        | Problem::AlikeStores { name, .. } => of("store", name),
        Problem::TopicName { store, .. } | Problem::DuplicateTopic { second: store, .. } => {
            of("topic", store)
        }
        Problem::PartitionsWithoutCreate { store } | Problem::Partitions { store, .. } => {
            of("partitions", store)
        }
        Problem::ReplicationWithoutCreate { store } | Problem::Replication { store, .. } => {
            of("replication", store)
        }
        Problem::Kafka(BadProperty::NotAPair { .. }) => None,
        Problem::Kafka(
            BadProperty::NotPassedOn { error: KafkaStartError::Property(key), .. }
            | BadProperty::Unknown { key, .. }
            | BadProperty::Refused { key, .. }
            | BadProperty::NoFile { key },
        ) => top(key),
        Problem::Kafka(BadProperty::NotPassedOn { .. }) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_variables_where_the_variable_says_it() {
        let given = [("listen", Some("here".to_owned())), ("memory", Some("7".to_owned()))];
        let mut origins = Origins::new(None, Lines::default(), &File::default(), given);
        origins.variable = |name| {
            (name == "OUTRIGGER_LISTEN" || name == "OUTRIGGER_MEMORY").then(|| "here".into())
        };
        let of = |key| origins.of(&About { key, store: None });
        assert_eq!(of("listen").as_deref(), Some("OUTRIGGER_LISTEN"));
        assert_eq!(of("memory"), None, "a flag says another value");
        assert_eq!(of("log"), None, "nobody says anything");
    }
}
