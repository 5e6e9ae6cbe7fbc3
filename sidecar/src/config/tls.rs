//! TLS of the node's own listeners and towards its peers: files that go together, and that can be used now.

use std::net::SocketAddr;
use std::path::PathBuf;

use outrigger_client::Tls;

use super::PeerListen;
use super::problem::Problem;
use super::settings::Settings;
use crate::peer::PeerAddress;
use crate::tls::{Listen, TlsFiles};

/// What TLS comes of the settings.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// Of `listen`.
    pub(super) callers: Option<TlsFiles>,
    pub(super) peer_listen: Option<PeerListen>,
    /// Towards peers.
    pub(super) peers: Option<Tls>,
}

/// A certificate and its key.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

/// `listen`, `peer_listen`: the addresses that are listened on.
pub(super) fn resolve(
    settings: &Settings,
    listen: Option<SocketAddr>,
    peer_listen: Option<SocketAddr>,
    problems: &mut Vec<Problem>,
) -> Resolved {
    let Settings { tls_client_ca, peer_ca, .. } = settings;
    check_use(settings, problems);
    let known = problems.len();
    let Some(pair) = pair(settings, problems) else {
        let peer_listen = peer_listen.map(|address| PeerListen { address, tls: None });
        return Resolved { peer_listen, ..Resolved::default() };
    };
    let files = |listen, client_ca: &Option<PathBuf>| TlsFiles {
        listen,
        certificate: pair.certificate.clone(),
        key: pair.key.clone(),
        client_ca: client_ca.clone(),
    };
    let callers = listen.map(|_| files(Listen::Callers, tls_client_ca));
    let others = peer_listen.map(|_| files(Listen::Peers, peer_ca));
    let peers = peer_ca
        .as_ref()
        .map(|authorities| Tls::trusting(authorities).with_identity(&pair.certificate, &pair.key));
    for files in callers.iter().chain(&others) {
        let error = files.check().err().map(Problem::Tls);
        // Both use the same certificate and key, and what is wrong with those was told.
        problems.extend(error.filter(|_| problems.len() == known));
    }
    let unusable = peers.as_ref().and_then(|peers| peers.check().err());
    if let Some(error) = unusable.filter(|_| problems.len() == known) {
        problems.push(Problem::PeerCa(error));
    }
    let peer_listen = peer_listen.map(|address| PeerListen { address, tls: others });
    Resolved { callers, peer_listen, peers }
}

/// Tells of what is given and would be used by nobody.
fn check_use(settings: &Settings, problems: &mut Vec<Problem>) {
    let Settings { listen, socket, tls_certificate, tls_key, tls_client_ca, .. } = settings;
    let Settings { peer_listen, peer_ca, peers, .. } = settings;
    // Beside a socket nothing listens that nobody asked for.
    let off = listen.as_deref().map_or(socket.is_some(), |listen| listen == "off");
    let https = |peer: &String| PeerAddress::parse(peer.trim()).is_ok_and(|peer| peer.speaks_tls());
    let asks = peers.iter().flatten().any(https);
    let unused = [
        ("tls_certificate", tls_certificate, off && peer_listen.is_none() && !asks),
        ("tls_key", tls_key, off && peer_listen.is_none() && !asks),
        ("tls_client_ca", tls_client_ca, off),
    ];
    let unused = unused.into_iter().filter(|(_, given, unused)| given.is_some() && *unused);
    problems.extend(unused.map(|(setting, ..)| Problem::TlsWithoutListen { setting }));
    if peer_ca.is_some() && peer_listen.is_none() && !asks {
        problems.push(Problem::PeerCaUnused);
    }
    if let Some(peer) = peers.iter().flatten().find(|peer| https(peer) && peer_ca.is_none()) {
        problems.push(Problem::PeerCaMissing { peer: super::kafka::without_user(peer.trim()) });
    }
}

/// Returns the pair where it is whole. What needs it, or is half of it, tells what is missing.
fn pair(settings: &Settings, problems: &mut Vec<Problem>) -> Option<Pair> {
    let Settings { tls_certificate, tls_key, tls_client_ca, peer_ca, .. } = settings;
    if let (Some(certificate), Some(key)) = (tls_certificate, tls_key) {
        return Some(Pair { certificate: certificate.clone(), key: key.clone() });
    }
    let given = [
        ("tls_certificate", tls_certificate),
        ("tls_key", tls_key),
        ("tls_client_ca", tls_client_ca),
        ("peer_ca", peer_ca),
    ];
    let (setting, _) = given.into_iter().find(|(_, given)| given.is_some())?;
    let missing = given.into_iter().take(2).filter(|(_, given)| given.is_none());
    problems.extend(missing.map(|(missing, _)| Problem::TlsMissing { setting, missing }));
    None
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
