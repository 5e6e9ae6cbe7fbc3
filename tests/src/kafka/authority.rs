//! Who vouches for clients that show certificates: for as many seconds as a test wants.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::BasicConstraints;
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder};

/// What a broker trusts, in its cluster's directory.
pub(super) const CLIENTS: &str = "clients.pem";
const KEY: &str = "clients.key";

const DAY: Duration = Duration::from_secs(24 * 3_600);

pub(super) struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

impl Authority {
    pub(super) fn make(directory: &Path) -> Result<()> {
        let (key, name) = (key()?, name("authority")?);
        let mut certificate = draft(&name, &name, &key, DAY)?;
        certificate.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        certificate.sign(&key, MessageDigest::sha256())?;
        fs::write(directory.join(CLIENTS), certificate.build().to_pem()?)?;
        fs::write(directory.join(KEY), key.private_key_to_pem_pkcs8()?)?;
        Ok(())
    }

    pub(super) fn read(directory: &Path) -> Result<Authority> {
        let read = |name| fs::read(directory.join(name)).context("this cluster is not secured");
        let certificate = X509::from_pem(&read(CLIENTS)?)?;
        let key = PKey::private_key_from_pem(&read(KEY)?)?;
        Ok(Authority { certificate, key })
    }

    /// A certificate and its key, in PEM.
    pub(super) fn issue(&self, subject: &str, life: Duration) -> Result<(Vec<u8>, Vec<u8>)> {
        let key = key()?;
        let issuer = self.certificate.subject_name().to_owned()?;
        let mut certificate = draft(&name(subject)?, &issuer, &key, life)?;
        certificate.sign(&self.key, MessageDigest::sha256())?;
        Ok((certificate.build().to_pem()?, key.private_key_to_pem_pkcs8()?))
    }
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
    let life = i64::try_from(life.as_secs())?;
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
