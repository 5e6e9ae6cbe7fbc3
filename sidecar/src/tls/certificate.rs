//! One certificate: whose it is, and until when it holds.

use std::fmt;
use std::io;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::x509::X509;

use crate::escape::escape;

/// What a setting has to do with certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// This node shows it, with those that vouch for it: none of them holds longer than the first that ends.
    Own,
    /// One of these vouches for the brokers: they are trusted until the last has ended.
    Authorities,
}

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

    /// From when to when it holds, in seconds since the Unix epoch.
    pub fn holds(&self) -> Range<i64> {
        self.begins..self.ends
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

    pub(crate) fn of(setting: &'static str, x509: &X509) -> Result<Certificate, ErrorStack> {
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

/// Reads the certificates of a PEM file, and returns the one that decides how long they hold.
pub(crate) fn of_pem(
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
mod tests {
    use super::*;
    use crate::tls::made::pem;

    fn at(seconds: i64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap())
    }

    #[test]
    fn of_its_own_the_first_to_end_counts_and_of_authorities_the_last() {
        let both = [pem("leaf", 1_000, 900_000), pem("between", 1_000, 800_000)].concat();
        let ends =
            |role| of_pem("ssl.ca.pem", role, &both).map(|decides| (decides.subject, decides.ends));
        assert_eq!(ends(Role::Own).unwrap(), ("CN=between".to_owned(), 800_000));
        assert_eq!(ends(Role::Authorities).unwrap(), ("CN=leaf".to_owned(), 900_000));
    }

    #[test]
    fn the_end_of_its_life_is_told_before_it_is_there() {
        let day = i64::try_from(DAY.as_secs()).unwrap();
        let validity = |life: i64, at_seconds: i64| {
            let text = pem("x", 10 * day, 10 * day + life);
            of_pem("ssl.ca.pem", Role::Own, &text).unwrap().validity(at(at_seconds))
        };
        assert_eq!(validity(90 * day, 9 * day), Validity::NotYet);
        assert_eq!(validity(90 * day, 92 * day), Validity::Holds);
        assert_eq!(validity(90 * day, 94 * day), Validity::EndsSoon, "a week is left");
        assert_eq!(validity(90 * day, 100 * day), Validity::Ended);
        assert_eq!(validity(day, 10 * day + day / 2), Validity::Holds, "of a day half is left");
        assert_eq!(validity(day, 10 * day + 4 * day / 5), Validity::EndsSoon);
    }
}
