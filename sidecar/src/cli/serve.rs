//! `serve`: a node until a signal ends it.

use tokio::sync::watch;

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
    let (probes, told) = watch::channel(Probes::starting());
    let start = |address| telemetry::start_metrics(address, told);
    let _endpoint = config.metrics.map(start).transpose()?;
    Ok(serve::run(config, probes, signals).await?)
}
