//! What a node tells about itself: logs to standard error, metrics to Prometheus, traces to a collector.
//!
//! All are set up once per process, by commands that run a node. Nothing here is needed for
//! correctness, and no other module names a metric or a span.

pub(crate) mod alerts;
mod collector;
mod endpoint;
mod histogram;
mod logging;
pub mod metrics;
mod named;
#[cfg(feature = "otel")]
pub(crate) mod trace;
#[cfg(not(feature = "otel"))]
#[path = "untraced.rs"]
pub(crate) mod trace;

use std::net::SocketAddr;

use metrics_exporter_prometheus::PrometheusBuilder;

use self::endpoint::Pages;
use crate::probes::{Peers, Told};

pub use self::collector::{Collector, CollectorError};
pub use self::endpoint::MetricsEndpoint;
pub(crate) use self::logging::last_words;
pub use self::logging::{LogConfig, LogError, LogFormat, Logging, lines_dropped, start_logging};

#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error(
        "cannot listen on {address} for metrics: {detail}; free the port or give another with --metrics"
    )]
    Listen { address: SocketAddr, detail: String },
    #[error("metrics cannot be set up: {detail}")]
    Install { detail: String },
}

/// Serves metrics, the answers to probes and the status page on `address`. The port is bound before this returns.
/// `peers`: how those are that this node may ask. `shows_state`: whoever reaches it may see what Status
/// tells; else only metrics and probes are there.
///
/// It must be called on a tokio runtime, once in a process.
pub fn start_metrics(
    address: SocketAddr,
    told: Told,
    peers: Option<Peers>,
    shows_state: bool,
) -> Result<MetricsEndpoint, MetricsError> {
    let listener = endpoint::bind(address)
        .map_err(|error| MetricsError::Listen { address, detail: error.to_string() })?;
    let recorder = PrometheusBuilder::new().build_recorder();
    let pages = recorder.handle();
    ::metrics::set_global_recorder(recorder)
        .map_err(|error| MetricsError::Install { detail: error.to_string() })?;
    metrics::describe();
    metrics::begin_failures();
    metrics_process::Collector::default().describe();
    Ok(MetricsEndpoint::start(listener, Pages { metrics: pages, told, peers, shows_state }))
}
