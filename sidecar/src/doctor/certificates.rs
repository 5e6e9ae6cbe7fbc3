//! Certificates in the settings, of the node's own TLS and for Kafka: until when they hold.

use std::time::SystemTime;

use super::findings::Findings;
use crate::config::ServeConfig;
use crate::kafka::certificates;
use crate::tls::{TlsFiles, Validity};

const RENEW: &str = "renew it: a node that runs takes the new one within 10 s";

pub(super) fn examine(config: &ServeConfig, findings: &mut Findings) {
    let now = SystemTime::now();
    let peers = config.peer_listen.iter().filter_map(|peers| peers.tls.as_ref());
    let own = config.tls.iter().chain(peers).flat_map(TlsFiles::certificates);
    let mut own: Vec<_> = own.collect();
    // Both listeners show the same certificate.
    own.sort_by_key(|(setting, _)| *setting);
    own.dedup_by_key(|(setting, _)| *setting);
    for (setting, certificate) in own.into_iter().chain(certificates(&config.kafka)) {
        match certificate {
            Ok(certificate) => match certificate.validity(now) {
                Validity::Holds => findings.good(certificate.to_string()),
                Validity::EndsSoon => findings.warn(certificate.to_string(), RENEW),
                Validity::Ended => findings.bad(certificate.to_string(), RENEW),
                Validity::NotYet => {
                    let to_do =
                        "check this machine's clock, or take a certificate that holds already";
                    findings.bad(certificate.to_string(), to_do);
                }
            },
            Err(error) => findings.bad(
                format!("{setting}: {error}"),
                "give a certificate in PEM, or a keystore with its password",
            ),
        }
    }
}
