//! `serve`: a node until a signal ends it.

use super::failure::Failure;
use crate::config::ServeArgs;
use crate::exit::Exit;
use crate::probes::Probes;
use crate::serve::Signals;
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
    let peers = config.peer.addresses.iter().map(ToString::to_string).collect();
    let start = |address| telemetry::start_metrics(address, probes.subscribe(), peers);
    let _endpoint = config.metrics.map(start).transpose()?;
    Ok(serve::run(config, probes, signals).await?)
}
