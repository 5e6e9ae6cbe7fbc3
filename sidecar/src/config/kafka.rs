//! How to reach Kafka: the brokers, and settings passed through to librdkafka.
//!
//! Which settings are passed on is the Kafka adapter's to say; librdkafka itself judges their values
//! here, without connecting, so that a typing error is found before anything is opened.

mod login;

use std::collections::BTreeMap;
use std::path::Path;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;

use super::file::{alike, hint};
use super::problem::Problem;
use super::settings::Passed;
use crate::kafka::{KafkaConfig, KafkaStartError};

#[derive(Debug, thiserror::Error)]
pub enum BadProperty {
    #[error("{place} is not a setting: give KEY=VALUE")]
    NotAPair { place: String },
    #[error("{error}{}", hint(*.alike))]
    NotPassedOn { error: KafkaStartError, alike: Option<&'static str> },
    #[error("{key}: librdkafka has no setting of this name{}", hint(*.alike))]
    Unknown { key: String, alike: Option<&'static str> },
    #[error("{key}: {reason}")]
    Refused { key: String, reason: String },
    #[error("{key}: the file that it names does not exist: create it, or give another path")]
    NoFile { key: String },
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

/// The settings of librdkafka that are passed on and that somebody may want, to guess what a misspelt one was to be.
const NAMES: &[&str] = &[
    "broker.address.family",
    "client.dns.lookup",
    "client.id",
    "debug",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "enable.ssl.certificate.verification",
    "https.ca.location",
    "https.ca.pem",
    "sasl.kerberos.keytab",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.providers",
    "ssl.sigalgs.list",
];

/// How librdkafka's reason begins where it does not know the name.
const NO_SUCH_NAME: &str = "No such configuration property";

/// Returns the brokers, tidied. Each must have a port: librdkafka would silently take 9092.
pub(super) fn bootstrap(text: &str) -> Result<String, Vec<Problem>> {
    let brokers: Vec<&str> =
        text.split(',').map(str::trim).filter(|broker| !broker.is_empty()).collect();
    if brokers.is_empty() {
        return Err(vec![Problem::BootstrapMissing]);
    }
    let wrong = brokers.iter().filter(|broker| !is_broker(broker));
    let problems: Vec<Problem> =
        wrong.map(|broker| Problem::Bootstrap { broker: without_user(broker) }).collect();
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

/// Lays the variable's lines over the file's table, and over both the flags, and judges each. No problem quotes a
/// value: it may be a secret.
pub(super) fn properties(
    table: BTreeMap<String, String>,
    passed: &Passed,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, String> {
    let mut properties = table;
    let mut places = BTreeMap::new();
    let lines = (1..).zip(passed.lines.iter().flat_map(|text| text.lines()));
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let lines = lines.map(|(number, line)| (format!("line {number} of OUTRIGGER_KAFKA"), line));
    let flags = (1..).zip(&passed.pairs);
    let flags = flags.map(|(number, pair)| (format!("--kafka number {number}"), pair.as_str()));
    for (place, pair) in lines.chain(flags) {
        match pair.split_once('=') {
            Some((key, value)) if is_name(key.trim()) => {
                properties.insert(key.trim().to_owned(), value.to_owned());
                places.insert(key.trim().to_owned(), place);
            }
            Some(_) | None => problems.push(BadProperty::NotAPair { place }.into()),
        }
    }
    let each =
        properties.iter().filter_map(|(key, value)| Some((&**key, judge(key, value).err()?)));
    let mut bad: Vec<(&str, BadProperty)> = each.collect();
    if bad.is_empty() {
        bad.extend(login::judge(&properties).err());
    }
    problems.extend(bad.into_iter().map(|(key, bad)| match places.remove(key) {
        Some(origin) => Problem::Said { problem: Box::new(bad.into()), origin },
        None => bad.into(),
    }));
    properties
}

/// Whether it can be a name: what else stands before a `=` may be the middle of a secret, such as a PEM of several
/// lines.
fn is_name(key: &str) -> bool {
    let legal =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    !key.is_empty() && key.bytes().all(legal)
}

/// Returns what lets somebody else pass for a broker, as a sentence.
pub(super) fn unverified(properties: &BTreeMap<String, String>) -> Option<String> {
    let off = [
        ("enable.ssl.certificate.verification", &["false", "f", "0"][..]),
        ("ssl.endpoint.identification.algorithm", &["none"]),
    ];
    let is_off = |(name, values): &(&str, &[&str])| {
        let given = properties.get(*name).map(|value| value.trim().to_ascii_lowercase());
        given.is_some_and(|given| values.contains(&given.as_str()))
    };
    let names: Vec<&str> = off.iter().filter(|off| is_off(off)).map(|(name, _)| *name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "kafka: {} is off: whoever is between this node and Kafka can read and change everything; leave it out, \
             and name the authority with ssl.ca.location",
            names.join(" and ")
        )
    })
}

fn judge(key: &str, value: &str) -> Result<(), BadProperty> {
    let alone = KafkaConfig {
        bootstrap: "any:1".to_owned(),
        properties: BTreeMap::from([(key.to_owned(), value.to_owned())]),
    };
    let alike = alike(key, NAMES).filter(|alike| *alike != key);
    alone.check().map_err(|error| BadProperty::NotPassedOn { error, alike })?;
    let refused = |reason: String| BadProperty::Refused { key: key.to_owned(), reason };
    // A NUL would panic on its way to C.
    if key.contains('\0') || value.contains('\0') {
        return Err(refused("it contains a NUL byte".to_owned()));
    }
    login::judge_method(key, value).map_err(refused)?;
    match ClientConfig::new().set(key, value).create_native_config() {
        Ok(_) => {}
        Err(KafkaError::ClientConfig(_, reason, _, _)) if reason.starts_with(NO_SUCH_NAME) => {
            return Err(BadProperty::Unknown { key: key.to_owned(), alike });
        }
        Err(KafkaError::ClientConfig(_, reason, _, _)) => {
            return Err(refused(unquoted(&reason, value)));
        }
        Err(other) => return Err(refused(unquoted(&other.to_string(), value))),
    }
    let is_path = FILES.contains(&key) && !(key == "ssl.ca.location" && value == "probe");
    if is_path && !Path::new(value).exists() {
        Err(BadProperty::NoFile { key: key.to_owned() })
    } else {
        Ok(())
    }
}

/// Returns what librdkafka says of a value, without the value.
fn unquoted(reason: &str, value: &str) -> String {
    match value.len() {
        // The value is too short for a secret, and the text may have it by chance.
        0..4 => reason.to_owned(),
        4.. => reason.replace(value, "…"),
    }
}

/// Returns an address without the user and the password that some write before it.
pub(super) fn without_user(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((_, address)) => format!("…@{address}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise a typing error would be answered with another one.
    #[test]
    fn every_name_that_may_be_meant_is_one_that_librdkafka_has() {
        for name in NAMES {
            let judged = judge(name, "");
            let known = !matches!(
                judged,
                Err(BadProperty::Unknown { .. } | BadProperty::NotPassedOn { .. })
            );
            assert!(known, "{judged:?}");
        }
    }
}
