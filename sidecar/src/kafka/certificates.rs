//! The certificates of the settings: whose they are, and until when they hold.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::pkcs12::Pkcs12;
use openssl::x509::X509;

use super::config::KafkaConfig;
use crate::escape::escape;

/// What a setting has to do with certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// This node shows it, with those that vouch for it: none of them holds longer than the first that ends.
    Own,
    /// One of these vouches for the brokers: they are trusted until the last has ended.
    Authorities,
}

const FILES: [(&str, Role); 3] = [
    ("ssl.certificate.location", Role::Own),
    ("ssl.keystore.location", Role::Own),
    ("ssl.ca.location", Role::Authorities),
];

/// The same certificates, given in the settings themselves.
const TEXTS: [(&str, Role); 2] =
    [("ssl.certificate.pem", Role::Own), ("ssl.ca.pem", Role::Authorities)];

const KEYSTORE: &str = "ssl.keystore.location";

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A week is enough for whoever renews by hand.
const SOON: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The certificate that decides how long a setting holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub setting: &'static str,
    /// Its subject; empty where it has none.
    pub subject: String,
    /// Seconds since the Unix epoch.
    begins: i64,
    ends: i64,
    /// The end of its validity as text, for people.
    until: String,
    from: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it has no certificate in PEM that can be read")]
    NoPem,
    #[error("it is no PKCS#12 that its password opens, or has no certificate")]
    NoKeystore,
}

impl From<ErrorStack> for CertificateError {
    /// OpenSSL's further words are about its own insides.
    fn from(_stack: ErrorStack) -> CertificateError {
        CertificateError::NoPem
    }
}

/// How a certificate stands at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    NotYet,
    Holds,
    /// Its life is nearly over: it should have been renewed.
    EndsSoon,
    Ended,
}

impl Certificate {
    /// The end of its validity, in seconds since the Unix epoch.
    pub fn ends(&self) -> i64 {
        self.ends
    }

    /// Its end is soon in its last week, or in the last quarter of a shorter life.
    pub fn validity(&self, now: SystemTime) -> Validity {
        let now = seconds(now);
        let soon = i64::try_from(SOON.as_secs()).expect("a week is short");
        let life = self.ends.saturating_sub(self.begins);
        match self.ends.saturating_sub(now) {
            ..=0 => Validity::Ended,
            _ if now < self.begins => Validity::NotYet,
            left if left <= soon.min(life / 4) => Validity::EndsSoon,
            _ => Validity::Holds,
        }
    }

    fn of(setting: &'static str, x509: &X509) -> Result<Certificate, ErrorStack> {
        let parts = x509.subject_name().entries().filter_map(|entry| {
            let name = entry.object().nid().short_name().ok()?;
            Some(format!("{name}={}", escape(entry.data().to_string().ok()?.as_bytes())))
        });
        Ok(Certificate {
            setting,
            subject: parts.collect::<Vec<_>>().join(", "),
            begins: unix(x509.not_before())?,
            ends: unix(x509.not_after())?,
            until: x509.not_after().to_string(),
            from: x509.not_before().to_string(),
        })
    }
}

/// `ssl.certificate.location: CN=orders, until Dec  6 10:00:00 2026 GMT`.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Certificate { setting, subject, until, from, .. } = self;
        match subject.as_str() {
            "" => write!(f, "{setting}: a certificate without a subject")?,
            subject => write!(f, "{setting}: {subject}")?,
        }
        match self.validity(SystemTime::now()) {
            Validity::NotYet => write!(f, ", not before {from}"),
            Validity::Holds | Validity::EndsSoon => write!(f, ", until {until}"),
            Validity::Ended => write!(f, ", expired on {until}"),
        }
    }
}

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

fn of_pem(
    setting: &'static str,
    role: Role,
    bytes: &[u8],
) -> Result<Certificate, CertificateError> {
    let all = X509::stack_from_pem(bytes)?;
    let all = all.iter().map(|x509| Certificate::of(setting, x509));
    let all = all.collect::<Result<Vec<_>, _>>()?.into_iter();
    let decides = match role {
        Role::Own => all.min_by_key(|certificate| certificate.ends),
        Role::Authorities => all.max_by_key(|certificate| certificate.ends),
    };
    decides.ok_or(CertificateError::NoPem)
}

fn unix(time: &Asn1TimeRef) -> Result<i64, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    let day = i64::try_from(DAY.as_secs()).expect("a day is short");
    Ok(i64::from(since.days) * day + i64::from(since.secs))
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
