//! `serve`: a node until a signal ends it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::failure::Failure;
use crate::config::ServeArgs;
use crate::exit::Exit;
use crate::peer::RollCall;
use crate::probes::{Peers, Probes};
use crate::serve::Signals;
use crate::telemetry::trace;
use crate::{serve, telemetry};

pub(super) async fn run(args: ServeArgs) -> Result<Exit, Failure> {
    // This comes first of all: the first process of a container has no default that would end it.
    let signals = Signals::new().map_err(Failure::Start)?;
    let config = args.resolve()?;
    let _logging = telemetry::start_logging(&config.log)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let probes = Probes::untold();
    let stores = config.stores.iter().map(|store| store.name.as_str().to_owned()).collect();
    let peers = RollCall::new(&config.peer, stores);
    let peers = peers.map(|peers| -> Peers { Arc::new(move || peers.now()) });
    // Where there are rules, only some may see what Status tells.
    let asks = config.access.is_some();
    let start = |address: SocketAddr| {
        let shows_state = !asks || address.ip().is_loopback();
        telemetry::start_metrics(address, probes.subscribe(), peers, shows_state)
    };
    let _endpoint = config.metrics.map(start).transpose()?;
    let node = config.log.node.clone();
    let traces = config.traces.as_ref().map(|collector| trace::start(collector, node));
    let ended = serve::run(config, probes, signals).await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    Ok(ended?)
}
