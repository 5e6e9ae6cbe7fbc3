//! Certificates in the settings for Kafka: until when they hold.

use std::time::SystemTime;

use super::findings::Findings;
use crate::kafka::{KafkaConfig, Validity, certificates};

const RENEW: &str = "renew it: a node that runs takes the new one within 10 s";

pub(super) fn examine(kafka: &KafkaConfig, findings: &mut Findings) {
    let now = SystemTime::now();
    for (setting, certificate) in certificates(kafka) {
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
