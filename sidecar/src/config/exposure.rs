//! Addresses that other machines reach: with TLS and rules only, unless it is said that this is not wanted.

use std::net::SocketAddr;

use super::ServeConfig;
use super::problem::Problem;

/// Refuses what would let whoever reaches it read and write everything.
pub(super) fn check(config: &ServeConfig, insecure: bool, problems: &mut Vec<Problem>) {
    if insecure {
        return;
    }
    if let Some(address) = config.listen.filter(is_reached) {
        let (tls, rules) = (config.tls.is_some(), config.access.is_some());
        if !tls || !rules {
            problems.push(Problem::OpenListen { address, tls, rules });
        }
    }
    let plain = config.peer_listen.as_ref().filter(|peers| peers.tls.is_none());
    if let Some(address) = plain.map(|peers| peers.address).filter(is_reached) {
        problems.push(Problem::OpenPeerListen { address });
    }
}

/// Returns what is open all the same, a sentence each.
pub(super) fn warnings(config: &ServeConfig) -> impl Iterator<Item = String> {
    let lacks = match (config.tls.is_some(), config.access.is_some()) {
        (true, true) => None,
        (true, false) => Some("who may do what is not said"),
        (false, true) => Some("nothing is encrypted, tokens included"),
        (false, false) => Some("nothing is encrypted, and nobody is asked who it is"),
    };
    let listen = lacks.and_then(|lacks| {
        let address = config.listen.filter(is_reached)?;
        Some(format!("listen {address} can be reached from other machines, and {lacks}"))
    });
    let plain = config.peer_listen.as_ref().filter(|peers| peers.tls.is_none());
    let peers = plain.map(|peers| peers.address).filter(is_reached).map(|address| {
        format!(
            "peer_listen {address} can be reached from other machines, and nothing is encrypted: neither copies nor the \
             secret"
        )
    });
    let metrics = config.metrics.filter(is_reached).map(|address| {
        format!(
            "metrics {address} can be reached from other machines: it holds no data, and says how the node is"
        )
    });
    [listen, peers, metrics].into_iter().flatten()
}

fn is_reached(address: &SocketAddr) -> bool {
    !address.ip().is_loopback()
}
