//! What a node tells about itself: logs to standard error, metrics to Prometheus.
//!
//! Both are set up once per process, by commands that run a node. Nothing here is needed for
//! correctness, and no other module names a metric.

mod endpoint;
pub mod metrics;
mod named;

use std::net::SocketAddr;

use metrics_exporter_prometheus::PrometheusBuilder;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use self::named::Named;
use crate::config::{LogConfig, LogFormat};

pub use self::endpoint::MetricsEndpoint;

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
    let LogConfig { format, node, .. } = config;
    match format {
        LogFormat::Text => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .map_event_format(|lines| Named::text(node.clone(), lines))
            .finish()
            .try_init()?,
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .map_event_format(|lines| Named::json(node.clone(), lines))
            .finish()
            .try_init()?,
    }
    Ok(())
}

/// Serves metrics on `address`. The port is bound before this returns.
///
/// Must be called on a tokio runtime, once in a process.
pub fn start_metrics(address: SocketAddr) -> Result<MetricsEndpoint, MetricsError> {
    let listener = endpoint::bind(address)
        .map_err(|error| MetricsError::Listen { address, detail: error.to_string() })?;
    let recorder = PrometheusBuilder::new().build_recorder();
    let pages = recorder.handle();
    ::metrics::set_global_recorder(recorder)
        .map_err(|error| MetricsError::Install { detail: error.to_string() })?;
    metrics::describe();
    Ok(MetricsEndpoint::start(listener, pages))
}
