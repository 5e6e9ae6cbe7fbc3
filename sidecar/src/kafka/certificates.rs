//! The certificates of the settings for Kafka: which setting names which, and how each stands.

use std::path::Path;
use std::time::SystemTime;

use openssl::pkcs12::Pkcs12;

use super::config::KafkaConfig;
use crate::tls::{Certificate, CertificateError, Role, Validity, of_pem};

const FILES: [(&str, Role); 3] = [
    ("ssl.certificate.location", Role::Own),
    ("ssl.keystore.location", Role::Own),
    ("ssl.ca.location", Role::Authorities),
];

/// The same certificates, given in the settings themselves.
const TEXTS: [(&str, Role); 2] =
    [("ssl.certificate.pem", Role::Own), ("ssl.ca.pem", Role::Authorities)];

const KEYSTORE: &str = "ssl.keystore.location";

/// The certificates as they are now, one for each setting that names any.
pub fn certificates(
    config: &KafkaConfig,
) -> Vec<(&'static str, Result<Certificate, CertificateError>)> {
    let given = |name: &'static str| config.properties.get(name);
    let files = FILES.into_iter().filter_map(|(name, role)| {
        let path = Path::new(given(name)?);
        // A directory has the certificates of a whole system, and `probe` is no path.
        path.is_file().then(|| (name, of_file(config, name, role, path)))
    });
    let texts = TEXTS
        .into_iter()
        .filter_map(|(name, role)| Some((name, of_pem(name, role, given(name)?.as_bytes()))));
    files.chain(texts).collect()
}

/// A certificate that has ended or does not hold yet: whoever is shown it turns this node away.
pub fn unfit(config: &KafkaConfig) -> Option<Certificate> {
    let now = SystemTime::now();
    let known = certificates(config).into_iter().filter_map(|(_, certificate)| certificate.ok());
    known.into_iter().find(|known| match known.validity(now) {
        Validity::NotYet | Validity::Ended => true,
        Validity::Holds | Validity::EndsSoon => false,
    })
}

fn of_file(
    config: &KafkaConfig,
    setting: &'static str,
    role: Role,
    path: &Path,
) -> Result<Certificate, CertificateError> {
    let bytes = std::fs::read(path)?;
    if setting != KEYSTORE {
        return of_pem(setting, role, &bytes);
    }
    let password = config.properties.get("ssl.keystore.password").map_or("", String::as_str);
    let opened = Pkcs12::from_der(&bytes).and_then(|store| store.parse2(password));
    let certificate = opened.ok().and_then(|opened| opened.cert);
    let certificate = certificate.ok_or(CertificateError::NoKeystore)?;
    Ok(Certificate::of(setting, &certificate)?)
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
