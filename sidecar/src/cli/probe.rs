//! `probe`: what an orchestrator asks a node, as a command.

use std::time::Duration;

use super::failure::Failure;
use super::output::Output;
use super::status::text;
use super::target::Target;
use crate::exit::Exit;
use crate::probes::Probe;

/// Asks a node whether it has started, is ready, or lives, for a probe that runs a command
///
/// Ends with 0 when it is so, with 1 when it is not, and with 69 when nobody answers. Only `live` is a reason to restart a
/// node: one that restores is live, and a restart would not make it quicker.
#[derive(Debug, clap::Args)]
pub(super) struct ProbeArgs {
    #[arg(value_enum)]
    probe: Probe,

    #[command(flatten)]
    target: Target,
}

/// How long the reason may take, once the answer is no.
const REASON_MAX: Duration = Duration::from_secs(1);

pub(super) async fn run(args: ProbeArgs) -> Result<Exit, Failure> {
    let client = args.target.client().await?;
    if client.is_serving(args.probe.service()).await.map_err(Failure::Read)? {
        return Ok(Exit::Success);
    }
    let mut out = Output::open();
    let asked = tokio::time::timeout(REASON_MAX, client.status()).await;
    let stores = asked.ok().and_then(Result::ok).map(|node| node.stores).unwrap_or_default();
    let mut tell = |line: &str| out.line(line).map_err(Failure::Output);
    tell("no")?;
    for store in &stores {
        tell(&format!("{} is {}", store.store, text::phase(store)))?;
    }
    out.flush().map_err(Failure::Output)?;
    Ok(Exit::Negative)
}
