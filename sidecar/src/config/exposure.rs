//! Addresses that other machines reach: with TLS and rules only, unless it is said that this is not wanted.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::ServeConfig;
use super::problem::Problem;
use crate::access::Who;

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

/// Returns whom rules name although nobody can be that at the node's addresses, and who everybody is, a sentence each.
pub(super) fn names(config: &ServeConfig) -> Vec<String> {
    let Some(access) = &config.access else { return Vec::new() };
    let of_peers = config.peer_listen.as_ref().and_then(|peers| peers.tls.as_ref());
    let certificates =
        [config.tls.as_ref(), of_peers].into_iter().flatten().any(|tls| tls.client_ca.is_some());
    let wrong = |who: &Who| match who {
        Who::Uid(_) if config.socket.is_none() => {
            Some("nobody: users are known over a `socket` alone, and there is none")
        }
        Who::Uri(_) | Who::UrisFrom(_) | Who::Dns(_) if !certificates => Some(
            "nobody: no address asks for certificates, as one with `tls_client_ca` does, or `peer_listen` with `peer_ca`",
        ),
        Who::Anyone if config.listen.is_some_and(|address| is_reached(&address)) => {
            Some("everybody who reaches `listen` from other machines")
        }
        Who::Uid(_)
        | Who::Uri(_)
        | Who::UrisFrom(_)
        | Who::Dns(_)
        | Who::Token(_)
        | Who::Anyone => None,
    };
    let named: BTreeMap<String, &Who> = access
        .rules
        .all()
        .iter()
        .flat_map(|rule| &rule.who)
        .map(|who| (who.to_string(), who))
        .collect();
    named
        .into_iter()
        .filter_map(|(name, who)| wrong(who).map(|is| format!("access: `{name}` is {is}")))
        .collect()
}

fn is_reached(address: &SocketAddr) -> bool {
    !address.ip().is_loopback()
}
