//! How to reach Kafka: the brokers, and settings passed through to librdkafka.
//!
//! Which settings are passed on is the Kafka adapter's to say; librdkafka itself judges their values
//! here, without connecting, so that a typing error is found before anything is opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;

use super::problem::Problem;
use crate::kafka::{KafkaConfig, KafkaStartError};

#[derive(Debug, thiserror::Error)]
pub enum BadProperty {
    #[error("`{text}` is not a setting: give KEY=VALUE")]
    NotAPair { text: String },
    #[error(transparent)]
    NotPassedOn(KafkaStartError),
    #[error("{key}: {reason}")]
    Refused { key: String, reason: String },
    #[error("{key}: its value is neither text nor a number nor a truth value: write it in quotes")]
    NotAValue { key: String },
    #[error("{key}: {} does not exist: create it, or give another path", .path.display())]
    NoFile { key: String, path: PathBuf },
}

/// Settings that name a file.
const FILES: &[&str] = &[
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.crl.location",
    "ssl.keystore.location",
    "sasl.kerberos.keytab",
];

/// The brokers, tidied. Each must have a port: librdkafka would silently take 9092.
pub(super) fn bootstrap(text: &str) -> Result<String, Vec<Problem>> {
    let brokers: Vec<&str> =
        text.split(',').map(str::trim).filter(|broker| !broker.is_empty()).collect();
    if brokers.is_empty() {
        return Err(vec![Problem::BootstrapMissing]);
    }
    let wrong = brokers.iter().filter(|broker| !is_broker(broker));
    let problems: Vec<Problem> =
        wrong.map(|broker| Problem::Bootstrap { broker: (*broker).to_owned() }).collect();
    if problems.is_empty() { Ok(brokers.join(",")) } else { Err(problems) }
}

fn is_broker(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let plain = |host: &str| !host.is_empty() && !host.contains([':', '/', '[', ']', '=', '@']);
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => plain(host),
    };
    host_is_good
        && !text.contains(char::is_whitespace)
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// The file's table with the flags' `key=value` laid over it, each judged.
pub(super) fn properties(
    table: &toml::Table,
    pairs: &[String],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    flatten("", table, &mut properties, problems);
    // One flag is one pair; the environment has one variable for all, so a pair a line.
    for pair in pairs.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty()) {
        match pair.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                properties.insert(key.trim().to_owned(), value.to_owned());
            }
            _ => problems.push(BadProperty::NotAPair { text: pair.to_owned() }.into()),
        }
    }
    let bad = properties.iter().filter_map(|(key, value)| judge(key, value).err());
    problems.extend(bad.map(Problem::from));
    properties
}

/// `security.protocol = "SSL"` without quotes around the key is a table in a table to TOML.
fn flatten(
    prefix: &str,
    table: &toml::Table,
    into: &mut BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        let text = match value {
            toml::Value::Table(inner) => {
                flatten(&format!("{key}."), inner, into, problems);
                continue;
            }
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Array(_) => {
                problems.push(BadProperty::NotAValue { key }.into());
                continue;
            }
        };
        into.insert(key, text);
    }
}

fn judge(key: &str, value: &str) -> Result<(), BadProperty> {
    let alone = KafkaConfig {
        bootstrap: "any:1".to_owned(),
        properties: BTreeMap::from([(key.to_owned(), value.to_owned())]),
    };
    alone.check().map_err(BadProperty::NotPassedOn)?;
    let refused = |reason: String| BadProperty::Refused { key: key.to_owned(), reason };
    // A NUL would panic on its way to C.
    if key.contains('\0') || value.contains('\0') {
        return Err(refused("it contains a NUL byte".to_owned()));
    }
    match ClientConfig::new().set(key, value).create_native_config() {
        Ok(_) => {}
        Err(KafkaError::ClientConfig(_, reason, _, _)) => return Err(refused(reason)),
        Err(other) => return Err(refused(other.to_string())),
    }
    let is_path = FILES.contains(&key) && !(key == "ssl.ca.location" && value == "probe");
    match is_path && !Path::new(value).exists() {
        true => Err(BadProperty::NoFile { key: key.to_owned(), path: value.into() }),
        false => Ok(()),
    }
}
