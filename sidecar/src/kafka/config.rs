//! Where Kafka is and how to reach it. `settings` decides everything else about a client.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fmt;
use std::sync::Arc;

use super::raw::{Client, ClientError, Connections, Kind};
use super::settings::{self, BatchBytes, Prefetch};

#[derive(Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas.
    pub bootstrap: String,
    /// librdkafka's own names: how to connect, TLS, SASL.
    pub properties: BTreeMap<String, String>,
}

/// Values are left out, for they may be secrets.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.properties.keys().collect();
        f.debug_struct("KafkaConfig")
            .field("bootstrap", &self.bootstrap)
            .field("properties", &names)
            .finish()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum KafkaStartError {
    #[error(
        "Kafka property {0:?} is not passed on: outrigger decides how it reads and writes; remove \
         it. Passed on are client.id, client.dns.lookup, broker.address.family, debug, \
         security.protocol and every name that begins with ssl., sasl., enable.ssl., https. or \
         enable.sasl."
    )]
    Property(String),
    #[error("no Kafka broker named: set bootstrap to host:port")]
    NoBootstrap,
    #[error("bootstrap {0:?} is not a list of host:port separated by commas")]
    Bootstrap(String),
    #[error("topic name {0:?} is none of Kafka's: letters, digits, '.', '_' and '-', at most 249")]
    Topic(String),
    #[error("librdkafka does not take the settings: {0}")]
    Client(String),
    #[error("cannot start a thread for Kafka")]
    Thread(#[source] std::io::Error),
}

impl From<ClientError> for KafkaStartError {
    fn from(error: ClientError) -> KafkaStartError {
        KafkaStartError::Client(error.to_string())
    }
}

const PASSED_ON: [&str; 5] =
    ["client.id", "client.dns.lookup", "broker.address.family", "debug", "security.protocol"];
const PASSED_ON_BELOW: [&str; 5] = ["ssl.", "sasl.", "enable.ssl.", "https.", "enable.sasl."];

impl KafkaConfig {
    /// Judges everything that can be judged without a broker.
    pub fn check(&self) -> Result<(), KafkaStartError> {
        if self.bootstrap.trim().is_empty() {
            return Err(KafkaStartError::NoBootstrap);
        }
        if !self.bootstrap.split(',').all(|server| is_host_port(server.trim())) {
            return Err(KafkaStartError::Bootstrap(self.bootstrap.clone()));
        }
        let refused = self.properties.keys().find(|name| !is_passed_on(name));
        refused.map_or(Ok(()), |name| Err(KafkaStartError::Property(name.clone())))
    }

    pub(super) fn producer(
        &self,
        batch: BatchBytes,
        connections: Arc<Connections>,
    ) -> Result<Client, ClientError> {
        let mut settings = self.settings(settings::PRODUCER);
        let (name, value) = batch.setting();
        settings.push((name.to_owned(), value));
        Client::watched(Kind::Producer, &settings, connections)
    }

    pub(super) fn consumer(&self, prefetch: Prefetch) -> Result<Client, ClientError> {
        let mut settings = self.settings(settings::CONSUMER);
        settings.extend(prefetch.settings().map(|(name, value)| (name.to_owned(), value)));
        Client::new(Kind::Consumer, &settings)
    }

    pub(super) fn sampler(&self) -> Result<Client, ClientError> {
        let settings = [settings::CONSUMER, settings::SAMPLER].concat();
        Client::new(Kind::Consumer, &self.settings(&settings))
    }

    pub(super) fn admin(&self) -> Result<Client, ClientError> {
        Client::new(Kind::Producer, &self.settings(settings::ADMIN))
    }

    /// A client for questions about groups. librdkafka takes every client that asks for a group's offsets for a member of one
    /// when it hears of another coordinator (rd_kafka_handle_OffsetFetch in 2.12.1 uses the group of its client, and ends the
    /// process where there is none). So this one has a group, which it never joins.
    pub(super) fn groups(&self, group: &CStr) -> Result<Client, ClientError> {
        let mut settings = self.settings(&[settings::ADMIN, settings::GROUPS].concat());
        settings.push(("group.id".to_owned(), group.to_string_lossy().into_owned()));
        Client::new(Kind::Consumer, &settings)
    }

    /// Whom TLS trusts where the user does not say: whom the system does. The TLS inside of this program was built
    /// elsewhere and looks for the system's certificates where that build would have them, unless the variables that it
    /// knows say where they are.
    fn trust(&self, is_set: impl Fn(&str) -> bool) -> Option<(String, String)> {
        let given = ["ssl.ca.location", "ssl.ca.pem"]
            .iter()
            .any(|name| self.properties.contains_key(*name));
        let told = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().any(is_set);
        (!given && !told).then(|| ("ssl.ca.location".to_owned(), "probe".to_owned()))
    }

    /// The user's settings come after what all clients share, and before what one client is for.
    fn settings(&self, own: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut settings: Vec<_> = settings::COMMON.iter().map(owned).collect();
        settings.push(("bootstrap.servers".to_owned(), self.bootstrap.clone()));
        settings.extend(self.trust(|name| std::env::var_os(name).is_some()));
        settings.extend(self.properties.clone());
        settings.extend(own.iter().map(owned));
        settings
    }
}

fn is_passed_on(name: &str) -> bool {
    PASSED_ON.contains(&name) || PASSED_ON_BELOW.iter().any(|below| name.starts_with(below))
}

fn is_host_port(server: &str) -> bool {
    let address = server.rsplit_once("://").map_or(server, |(_, address)| address);
    address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// Kafka's own rule.
pub(super) fn is_topic_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bootstrap: &str, properties: &[(&str, &str)]) -> KafkaConfig {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        KafkaConfig {
            bootstrap: bootstrap.to_owned(),
            properties: properties.iter().map(owned).collect(),
        }
    }

    #[test]
    fn what_we_decide_is_refused_by_name() {
        for (name, _) in settings::PRODUCER.iter().chain(settings::CONSUMER).chain(settings::ADMIN)
        {
            let error = config("localhost:9092", &[(name, "1")]).check().unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        let group = config("localhost:9092", &[("group.id", "a")]).check();
        assert!(matches!(group, Err(KafkaStartError::Property(name)) if name == "group.id"));
    }

    #[test]
    fn tls_and_sasl_are_passed_on_and_secrets_are_not_printed() {
        let config = config(
            "localhost:9092",
            &[
                ("security.protocol", "sasl_plaintext"),
                ("sasl.mechanisms", "PLAIN"),
                ("sasl.password", "s3cret"),
            ],
        );
        config.check().unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn a_bootstrap_that_is_no_address_is_refused() {
        assert!(matches!(config(" ", &[]).check(), Err(KafkaStartError::NoBootstrap)));
        for wrong in ["localhost", "localhost:", ":9092", "localhost:0", "a:1,b", "a:70000"] {
            assert!(
                matches!(config(wrong, &[]).check(), Err(KafkaStartError::Bootstrap(_))),
                "{wrong}"
            );
        }
        config("a:1, [::1]:2,SSL://c:3", &[]).check().unwrap();
    }

    #[test]
    fn topic_names_are_kafkas() {
        assert!(is_topic_name("orders.v1_eu-west"));
        for wrong in ["", ".", "..", "a b", "a/b", "ä", &"x".repeat(250)] {
            assert!(!is_topic_name(wrong), "{wrong}");
        }
    }

    /// A misspelt setting of ours would only show when a user starts the sidecar.
    #[test]
    fn librdkafka_takes_all_our_settings() {
        let config = config("127.0.0.1:9", &[]);
        config.producer(BatchBytes::MAX, Arc::new(Connections::new(|| {}))).unwrap();
        config.consumer(Prefetch::of(settings::PREFETCH_BYTES, 1)).unwrap();
        config.consumer(Prefetch::of(0, 100_000)).unwrap();
        config.sampler().unwrap();
        config.admin().unwrap();
    }

    #[test]
    fn tls_trusts_whom_the_system_does_unless_somebody_says_whom() {
        let plain = config("a:1", &[]);
        let probe = Some(("ssl.ca.location".to_owned(), "probe".to_owned()));
        assert_eq!(plain.trust(|_| false), probe);
        assert_eq!(plain.trust(|name| name == "SSL_CERT_FILE"), None);
        assert_eq!(plain.trust(|name| name == "SSL_CERT_DIR"), None);
        for name in ["ssl.ca.location", "ssl.ca.pem"] {
            assert_eq!(config("a:1", &[(name, "x")]).trust(|_| false), None);
        }
        let tls = config("127.0.0.1:9", &[("security.protocol", "SSL")]);
        tls.consumer(Prefetch::of(0, 1)).unwrap();
    }

    #[test]
    fn a_value_that_librdkafka_refuses_names_its_property() {
        let config = config("127.0.0.1:9", &[("security.protocol", "carrier-pigeon")]);
        let error = config.consumer(Prefetch::of(0, 1)).err().unwrap().to_string();
        assert!(error.contains("security.protocol"), "{error}");
    }
}
