//! The other nodes: whom to ask for a copy, what all of them know, how much this one gives.

use std::num::NonZeroU64;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use outrigger_client::Tls;

use super::kafka::without_user;
use super::problem::Problem;
use super::settings::Settings;
use super::units::{parse_duration, parse_size};
use crate::peer::{PeerAddress, PeerConfig, RATE_MIN, Secret};

/// How many peers there may be. They are asked one after another: with more, an empty node would wait for silent ones
/// longer than for its log.
pub(super) const PEERS_MAX: usize = 16;

/// `tls`: towards peers.
pub(super) fn resolve(
    settings: &Settings,
    tls: Option<Tls>,
    problems: &mut Vec<Problem>,
) -> PeerConfig {
    let Settings { peers, peer_secret_file, peer_rate, .. } = settings;
    let config = PeerConfig {
        addresses: addresses(peers.as_deref().unwrap_or_default(), problems),
        secret: peer_secret_file.as_deref().and_then(|path| secret(path, problems)),
        tls,
        forward_reads: settings.forward_reads.unwrap_or(true),
        verify_every: verify_every(settings, problems),
        rate: peer_rate.as_deref().and_then(|rate| self::rate(rate, problems)),
    };
    if peer_secret_file.is_none() {
        let certified = settings.peer_ca.is_some();
        let plain = config.addresses.iter().any(|peer| !peer.speaks_tls());
        // Without a secret a copy is given only where certificates are asked for.
        let listens = settings.peer_listen.as_deref().is_some_and(|listen| listen != "off");
        let alone = [
            ("peers", peers.is_some() && (!certified || plain)),
            ("peer_rate", peer_rate.is_some() && !(certified && listens)),
            ("peer_listen", listens && !certified),
        ];
        let alone = alone.into_iter().filter(|(_, alone)| *alone);
        problems.extend(alone.map(|(setting, _)| Problem::PeerSecretMissing { setting }));
    }
    config
}

fn addresses(texts: &[String], problems: &mut Vec<Problem>) -> Vec<PeerAddress> {
    if texts.len() > PEERS_MAX {
        problems.push(Problem::TooManyPeers { count: texts.len() });
    }
    let mut addresses = Vec::new();
    for text in texts.iter().map(|text| text.trim()) {
        match PeerAddress::parse(text) {
            Ok(address) if addresses.contains(&address) => {
                problems.push(Problem::PeerTwice { peer: without_user(text) });
            }
            Ok(address) => addresses.push(address),
            Err(error) => problems.push(Problem::Peer { peer: without_user(text), error }),
        }
    }
    addresses
}

fn secret(path: &Path, problems: &mut Vec<Problem>) -> Option<Secret> {
    let report = |error| problems.push(Problem::PeerSecret { path: path.to_owned(), error });
    Secret::read(path).map_err(report).ok()
}

fn rate(text: &str, problems: &mut Vec<Problem>) -> Option<NonZeroU64> {
    let value = text.to_owned();
    match parse_size(text).map(u64::try_from) {
        Some(Ok(bytes)) if bytes >= RATE_MIN => return NonZeroU64::new(bytes),
        Some(Ok(_)) => problems.push(Problem::PeerRateTooSmall { value }),
        Some(Err(_)) | None => problems.push(Problem::PeerRate { value }),
    }
    None
}

/// Less would compare without a pause.
const VERIFY_EVERY_MIN: Duration = Duration::from_secs(10);

fn verify_every(settings: &Settings, problems: &mut Vec<Problem>) -> Option<Duration> {
    let text = settings.verify_every.as_deref().filter(|text| *text != "off")?;
    if settings.peers.as_deref().unwrap_or_default().is_empty() {
        problems.push(Problem::VerifyNobody);
    }
    let every = parse_duration(text).ok().filter(|every| *every >= VERIFY_EVERY_MIN);
    if every.is_none() {
        problems.push(Problem::VerifyEvery { value: text.to_owned() });
    }
    every
}

/// Whether the file's mode lets any user of the machine read it.
pub(super) fn others_may_read(path: Option<&Path>) -> bool {
    let mode = |path| std::fs::metadata(path).map(|found| found.permissions().mode());
    path.is_some_and(|path| mode(path).is_ok_and(|mode| mode & 0o004 != 0))
}
