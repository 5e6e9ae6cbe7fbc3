//! Certificates as somebody may give them, made here.

use super::*;
use crate::tls::made::{key, pem, x509};

fn config(pairs: &[(&str, &str)]) -> KafkaConfig {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    KafkaConfig { bootstrap: "a:1".to_owned(), properties: pairs.collect() }
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
