//! Certificates as somebody may give them, made here.

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509NameBuilder;

use super::*;

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A certificate that holds in `begins..ends`, in seconds since the Unix epoch.
fn x509(name: &str, begins: i64, ends: i64, key: &PKey<Private>) -> X509 {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut x509 = X509::builder().unwrap();
    x509.set_subject_name(&subject).unwrap();
    x509.set_issuer_name(&subject).unwrap();
    x509.set_not_before(&Asn1Time::from_unix(begins).unwrap()).unwrap();
    x509.set_not_after(&Asn1Time::from_unix(ends).unwrap()).unwrap();
    x509.set_pubkey(key).unwrap();
    x509.sign(key, MessageDigest::sha256()).unwrap();
    x509.build()
}

fn pem(name: &str, begins: i64, ends: i64) -> Vec<u8> {
    x509(name, begins, ends, &key()).to_pem().unwrap()
}

fn at(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap())
}

fn config(pairs: &[(&str, &str)]) -> KafkaConfig {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    KafkaConfig { bootstrap: "a:1".to_owned(), properties: pairs.collect() }
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

#[test]
fn what_is_none_is_told_by_its_setting_and_what_names_none_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let key = key();
    let own = x509("orders", 1, 2_000_000_000, &key);
    let mut store = Pkcs12::builder();
    store.name("orders").pkey(&key).cert(&own);
    let store = path("store.p12", &store.build2("secret").unwrap().to_der().unwrap());
    let (own, none) = (path("own.pem", &own.to_pem().unwrap()), path("none.pem", b"none"));
    let told = |pairs: &[(&str, &str)]| -> Vec<String> {
        let all = certificates(&config(pairs)).into_iter();
        all.map(|(setting, told)| match told {
            Ok(certificate) => certificate.to_string(),
            Err(error) => format!("{setting}: {error}"),
        })
        .collect()
    };
    let holds = "until May 18 03:33:20 2033 GMT";
    assert_eq!(
        told(&[("ssl.certificate.location", &own), ("ssl.ca.location", &none)]),
        [
            format!("ssl.certificate.location: CN=orders, {holds}"),
            "ssl.ca.location: it has no certificate in PEM that can be read".to_owned()
        ]
    );
    let opened = [("ssl.keystore.location", &*store), ("ssl.keystore.password", "secret")];
    assert_eq!(told(&opened), [format!("ssl.keystore.location: CN=orders, {holds}")]);
    let closed = told(&[opened[0], ("ssl.keystore.password", "another")]);
    assert!(closed[0].contains("PKCS#12") && !closed[0].contains("another"), "{closed:?}");
    let directory = dir.path().display().to_string();
    assert!(told(&[("ssl.ca.location", &directory), ("ssl.key.location", &none)]).is_empty());
    assert!(told(&[("ssl.ca.location", "probe")]).is_empty());
    let ended = String::from_utf8(pem("old", 1, 1_000)).unwrap();
    let unfit = unfit(&config(&[("ssl.certificate.pem", &ended)])).unwrap().to_string();
    assert_eq!(unfit, "ssl.certificate.pem: CN=old, expired on Jan  1 00:16:40 1970 GMT");
}
