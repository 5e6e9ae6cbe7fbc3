//! Certificates and keys that tests make.

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

/// Seconds since the Unix epoch between which the certificates of [`Authority::issue`] hold.
const BEGINS: i64 = 1_000_000_000;
const ENDS: i64 = 4_000_000_000;

pub(crate) fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A certificate that holds in `begins..ends`, in seconds since the Unix epoch, and that nobody vouches for.
pub(crate) fn x509(name: &str, begins: i64, ends: i64, key: &PKey<Private>) -> X509 {
    let mut x509 = draft(name, name, begins, ends, key);
    x509.sign(key, MessageDigest::sha256()).unwrap();
    x509.build()
}

pub(crate) fn pem(name: &str, begins: i64, ends: i64) -> Vec<u8> {
    x509(name, begins, ends, &key()).to_pem().unwrap()
}

/// Who vouches for others.
pub(crate) struct Authority {
    name: String,
    certificate: X509,
    key: PKey<Private>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let key = key();
        let mut x509 = draft(name, name, BEGINS, ENDS, &key);
        x509.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        x509.sign(&key, MessageDigest::sha256()).unwrap();
        Authority { name: name.to_owned(), certificate: x509.build(), key }
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    /// A certificate for these names, and its key, both in PEM. A name with `://` is a URI, another one is of DNS.
    pub(crate) fn issue(&self, names: &[&str]) -> (Vec<u8>, Vec<u8>) {
        let key = key();
        let mut x509 = draft("leaf", &self.name, BEGINS, ENDS, &key);
        let mut alternative = SubjectAlternativeName::new();
        for name in names {
            if name.contains("://") {
                alternative.uri(name)
            } else {
                alternative.dns(name)
            };
        }
        if !names.is_empty() {
            let names = alternative.build(&x509.x509v3_context(None, None)).unwrap();
            x509.append_extension(names).unwrap();
        }
        x509.sign(&self.key, MessageDigest::sha256()).unwrap();
        (x509.build().to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap())
    }
}

fn draft(name: &str, issuer: &str, begins: i64, ends: i64, key: &PKey<Private>) -> X509Builder {
    let named = |name| {
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_text("CN", name).unwrap();
        subject.build()
    };
    let mut x509 = X509::builder().unwrap();
    x509.set_version(2).unwrap();
    let mut serial = [0; 16];
    openssl::rand::rand_bytes(&mut serial).unwrap();
    let serial = BigNum::from_slice(&serial).unwrap().to_asn1_integer().unwrap();
    x509.set_serial_number(&serial).unwrap();
    x509.set_subject_name(&named(name)).unwrap();
    x509.set_issuer_name(&named(issuer)).unwrap();
    x509.set_not_before(&Asn1Time::from_unix(begins).unwrap()).unwrap();
    x509.set_not_after(&Asn1Time::from_unix(ends).unwrap()).unwrap();
    x509.set_pubkey(key).unwrap();
    x509
}
