//! What of TLS goes together, and what is told where it does not.

use clap::Parser;
use tempfile::TempDir;

use crate::config::{ConfigError, ServeArgs, ServeConfig};
use crate::tls::made::Authority;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    serve: ServeArgs,
}

/// Files of a node, by these names: `own.pem`, `own.key`, `ca.pem`, `secret`.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("nodes");
        let (certificate, key) = authority.issue(&["node"]);
        let files = [("own.pem", certificate), ("own.key", key), ("ca.pem", authority.pem())];
        for (name, bytes) in files {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        std::fs::write(dir.path().join("secret"), "0123456789abcdef").unwrap();
        Files(dir)
    }

    /// Resolves these flags, in which `@` begins the name of a file.
    fn resolve(&self, flags: &str) -> Result<ServeConfig, ConfigError> {
        let file = |name: &str| self.0.path().join(name).display().to_string();
        let named = |flag: &str| flag.strip_prefix('@').map_or(flag.to_owned(), file);
        let node = "outrigger --data /d --bootstrap b:9092 --store notes";
        let line = node.split(' ').chain(flags.split_whitespace()).map(named);
        Line::try_parse_from(line).unwrap().serve.resolve()
    }

    fn problems(&self, flags: &str) -> Vec<String> {
        let error = self.resolve(flags).expect_err(flags);
        error.problems.iter().map(ToString::to_string).collect()
    }
}

const PAIR: &str = "--tls-certificate @own.pem --tls-key @own.key";

#[test]
fn a_pair_is_for_both_listeners_and_each_asks_for_its_own_authorities() {
    let files = Files::new();
    let plain = files.resolve("").unwrap();
    assert!(plain.tls.is_none() && plain.peer_listen.is_none());
    let config = files.resolve(PAIR).unwrap();
    assert_eq!(config.tls.unwrap().client_ca, None);
    assert!(!config.peer.knows_peers());
    let both = "--peer-listen 127.0.0.1:7 --peer-ca @ca.pem --peers https://b:7";
    let config = files.resolve(&format!("{PAIR} {both}")).unwrap();
    assert_eq!(config.tls.unwrap().client_ca, None);
    let peers = config.peer_listen.unwrap().tls.unwrap();
    assert!(peers.client_ca.unwrap().ends_with("ca.pem"));
    assert!(config.peer.asks() && config.peer.secret.is_none(), "certificates tell who is a peer");
    let secret = "--peer-listen 127.0.0.1:7 --peer-secret-file @secret";
    let config = files.resolve(secret).unwrap();
    assert!(config.tls.is_none() && config.peer_listen.unwrap().tls.is_none());
}

#[test]
fn what_does_not_go_together_is_told_by_name() {
    let files = Files::new();
    for (flags, told) in [
        ("--tls-certificate @own.pem", "tls_key: tls_certificate is given and this is not"),
        ("--tls-key @own.key", "tls_certificate: tls_key is given and this is not"),
        ("--tls-certificate @own.pem --tls-key @ca.pem", "tls_key: "),
        ("--tls-certificate @own.key --tls-key @own.key", "tls_certificate: "),
        ("--tls-certificate @none --tls-key @own.key", "tls_certificate: "),
        (&format!("{PAIR} --tls-client-ca @own.key"), "tls_client_ca: "),
        (&format!("{PAIR} --listen off --socket @s"), "tls_certificate: `listen` is off"),
        (&format!("{PAIR} --peer-ca @ca.pem"), "peer_ca: there is nobody"),
        (&format!("{PAIR} --peer-ca @own.key --peer-listen 127.0.0.1:7"), "peer_ca: "),
        (
            &format!("{PAIR} --peer-secret-file @secret --peers https://b:7"),
            "peers: https://b:7 speaks TLS: give --peer-ca",
        ),
        (
            &format!("{PAIR} --peer-ca @ca.pem --peers http://b:7,https://c:7"),
            "peers: peers cannot be told",
        ),
        ("--peer-listen 127.0.0.1:7", "peer_listen: peers cannot be told"),
        (
            "--peer-listen 127.0.0.1:7400 --peer-secret-file @secret",
            "peer_listen: 127.0.0.1:7400 is taken by `listen`",
        ),
    ] {
        let problems = files.problems(flags);
        assert!(problems.iter().any(|text| text.starts_with(told)), "{flags}: {problems:#?}");
        assert!(problems.len() <= 2, "{flags}: {problems:#?}");
    }
    let both = files.problems("--peer-ca @ca.pem --peer-listen 127.0.0.1:7");
    assert!(both[0].starts_with("tls_certificate: peer_ca is given and this is not"), "{both:?}");
    assert!(both[1].starts_with("tls_key: peer_ca is given and this is not"), "{both:?}");
}
