//! Who vouches for those that show certificates: for as many seconds as a test wants.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Whoever trusts it trusts those to whom it gave a certificate.
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

impl Authority {
    pub fn new(common: &str) -> Result<Authority> {
        let (key, name) = (key()?, name(common)?);
        let mut certificate = draft(&name, &name, &key, DAY)?;
        certificate.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        certificate.sign(&key, MessageDigest::sha256())?;
        Ok(Authority { certificate: certificate.build(), key })
    }

    /// Reads one that was saved.
    pub fn read(certificate: &Path, key: &Path) -> Result<Authority> {
        let certificate = X509::from_pem(&fs::read(certificate)?)?;
        Ok(Authority { certificate, key: PKey::private_key_from_pem(&fs::read(key)?)? })
    }

    pub fn save(&self, certificate: &Path, key: &Path) -> Result<()> {
        fs::write(certificate, self.pem()?)?;
        Ok(fs::write(key, self.key.private_key_to_pem_pkcs8()?)?)
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> Result<Vec<u8>> {
        Ok(self.certificate.to_pem()?)
    }

    /// A certificate for `CN=subject` that ends after `life`, and its key, in PEM. It has these alternative names: a
    /// URI, an IP address, or else a name of DNS.
    pub fn issue(&self, subject: &str, names: &[&str], life: Duration) -> Result<Pair> {
        let key = key()?;
        let issuer = self.certificate.subject_name().to_owned()?;
        let mut certificate = draft(&name(subject)?, &issuer, &key, life)?;
        if !names.is_empty() {
            let mut alternative = SubjectAlternativeName::new();
            for name in names {
                if name.contains("://") {
                    alternative.uri(name);
                } else if name.parse::<IpAddr>().is_ok() {
                    alternative.ip(name);
                } else {
                    alternative.dns(name);
                }
            }
            let names = alternative.build(&certificate.x509v3_context(None, None))?;
            certificate.append_extension(names)?;
        }
        certificate.sign(&self.key, MessageDigest::sha256())?;
        let key = key.private_key_to_pem_pkcs8()?;
        Ok(Pair { certificate: certificate.build().to_pem()?, key })
    }
}

/// A certificate and its key, in PEM.
pub struct Pair {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

fn key() -> Result<PKey<Private>> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    Ok(PKey::from_ec_key(EcKey::generate(&group)?)?)
}

fn name(common: &str) -> Result<X509Name> {
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", common)?;
    Ok(name.build())
}

/// A certificate that is not signed yet. It has begun a minute ago, so that no clock takes it for
/// one of the future.
fn draft(
    subject: &X509Name,
    issuer: &X509Name,
    key: &PKey<Private>,
    life: Duration,
) -> Result<X509Builder> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    // A second in which a certificate ends is the last one in which it holds.
    let life = i64::try_from(life.as_secs())? - 1;
    let mut certificate = X509::builder()?;
    certificate.set_version(2)?;
    // Each certificate has a number of its own.
    let mut serial = [0; 16];
    openssl::rand::rand_bytes(&mut serial)?;
    let serial = BigNum::from_slice(&serial)?;
    certificate.set_serial_number(serial.to_asn1_integer()?.as_ref())?;
    certificate.set_subject_name(subject)?;
    certificate.set_issuer_name(issuer)?;
    certificate.set_not_before(Asn1Time::from_unix(now - 60)?.as_ref())?;
    certificate.set_not_after(Asn1Time::from_unix(now + life)?.as_ref())?;
    certificate.set_pubkey(key)?;
    Ok(certificate)
}
