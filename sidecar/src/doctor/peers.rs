//! Whether the peers answer this node: otherwise nobody notices that they do not before a disk is lost.

use super::findings::Findings;
use crate::config::ServeConfig;
use crate::peer::RollCall;
use crate::probes::PeerTold;

pub(super) fn examine(config: &ServeConfig, findings: &mut Findings) {
    let stores = config.stores.iter().map(|store| store.name.as_str().to_owned()).collect();
    let Some(peers) = RollCall::new(&config.peer, stores) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a thread's runtime needs a few descriptors");
    for PeerTold { address, said } in runtime.block_on(peers.ask()).iter() {
        match said {
            Ok(said) => findings.good(format!("the peer {address} answers, version {}", said.version)),
            Err(why) => findings.warn(
                format!("the peer {address} gives no copy and no answers: {why}"),
                "start it, if it is down, also if it is this node itself; otherwise compare `peers`, `peer_listen`, `peer_secret_file`, `peer_ca` and the \
                 rules that give `peer` on both nodes",
            ),
        }
    }
}
