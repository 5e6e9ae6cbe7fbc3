//! What the log says: a node of our own in this process restores a copy from it and nothing else, and is then compared
//! like the others. It tells which of two nodes is wrong, and finds what all that descend from each other share.

use std::time::{Duration, Instant};

use outrigger_client::Client;
use outrigger_client::proto::v1::Phase;

use super::{Copy, VerifyError, compare, node_failed, pin};
use crate::cli::failure::Failure;
use crate::config::{ServeArgs, ServeConfig};
use crate::exit::Exit;
use crate::kafka::KafkaLog;
use crate::probes::Probes;
use crate::runtime::Inbox;
use crate::scratch::Scratch;
use crate::serve::{Claims, ServeError, Sidecar, Signals, sidecar_config};

const LOG: &str = "the log";

const POLL: Duration = Duration::from_millis(100);

/// Compares the copies with one from the log. A restore takes as long as it takes; what holds it up for longer than
/// `within` ends it.
pub(super) async fn compare_with(
    copies: Vec<Copy>,
    serve: ServeArgs,
    within: Duration,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new().map_err(Failure::Start)?;
    let scratch = Scratch::make("verify").map_err(VerifyError::from)?;
    let socket = scratch.path().join("socket");
    let url = format!("unix://{}", socket.display());
    let config = serve.resolve_beside(scratch.path().join("data"), socket)?;
    let sidecar = start(&config).await?;
    let compared = async {
        let client = Client::connect(&url).await.map_err(|error| node_failed(LOG, error))?;
        let log = Copy { name: LOG.to_owned(), client };
        until_ready(&log, within).await?;
        let copies: Vec<Copy> = std::iter::once(log).chain(copies).collect();
        compare(&copies, config.stores[0].name.as_str(), within).await
    };
    let compared = tokio::select! {
        biased;
        _name = signals.next() => Err(VerifyError::Interrupted.into()),
        compared = compared => compared,
    };
    // Nobody needs what it has not flushed.
    sidecar.crash().await;
    compared
}

async fn start(config: &ServeConfig) -> Result<Sidecar, Failure> {
    config.kafka.check()?;
    let claims =
        Claims::take(sidecar_config(config, Probes::untold())).await.map_err(ServeError::from)?;
    let (inbox, sink) = Inbox::new();
    let topics = [config.stores[0].topic.as_str().to_owned()];
    let log = KafkaLog::start(&config.kafka, &topics, sink)?;
    claims.start(inbox, Box::new(log)).map_err(Failure::Start)
}

async fn until_ready(log: &Copy, patience: Duration) -> Result<(), VerifyError> {
    let mut stalled: Option<Instant> = None;
    loop {
        let status = log.client.store("").status().await;
        let status = status.map_err(|error| node_failed(LOG, error))?;
        if status.phase() == Phase::Ready {
            return Ok(());
        }
        stalled =
            if status.stalls.is_empty() { None } else { stalled.or_else(|| Some(Instant::now())) };
        let over = stalled.is_some_and(|since| since.elapsed() >= patience);
        if status.phase() == Phase::Refused || over {
            return Err(pin::not_ready(LOG.to_owned(), &status));
        }
        tokio::time::sleep(POLL).await;
    }
}
