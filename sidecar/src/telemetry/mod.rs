//! What a node tells about itself: logs to standard error, metrics to Prometheus.
//!
//! Both are set up once per process, by commands that run a node. Nothing here is needed for
//! correctness, and no other module names a metric.

pub mod metrics;

use std::net::SocketAddr;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder};
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogConfig, LogFormat};

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log filter does not parse")]
    Filter(#[from] ParseError),
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
}

#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error(
        "cannot listen on {address} for metrics: {detail}; free the port or give another with --metrics"
    )]
    Listen { address: SocketAddr, detail: String },
    #[error("metrics cannot be set up: {detail}")]
    Install { detail: String },
}

/// Sends events to standard error: standard output belongs to what a command answers.
pub fn start_logging(config: &LogConfig) -> Result<(), LogError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&config.filter)?)
        .with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .finish()
            .try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// The Prometheus endpoint; it ends with this value.
#[derive(Debug)]
#[must_use = "the endpoint ends with this value"]
pub struct MetricsEndpoint {
    serving: JoinHandle<()>,
}

/// Serves metrics on `address`. The port is bound before this returns.
///
/// Must be called on a tokio runtime, once in a process.
pub fn start_metrics(address: SocketAddr) -> Result<MetricsEndpoint, MetricsError> {
    let built = PrometheusBuilder::new().with_http_listener(address).build();
    let (recorder, exporter) = built.map_err(|error| match error {
        BuildError::FailedToCreateHTTPListener(detail) => MetricsError::Listen { address, detail },
        other => MetricsError::Install { detail: other.to_string() },
    })?;
    ::metrics::set_global_recorder(recorder)
        .map_err(|error| MetricsError::Install { detail: error.to_string() })?;
    metrics::describe();
    let serving = tokio::spawn(async move {
        if exporter.await.is_err() {
            tracing::error!(%address, "the metrics endpoint has failed");
        }
    });
    Ok(MetricsEndpoint { serving })
}

impl Drop for MetricsEndpoint {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
