//! Tells how the stores are to whoever watches over the node: its page, and the metrics that only Status knows.

use std::time::{Duration, Instant};

use outrigger_proto::v1::NodeStatus;
use tokio::sync::watch::Sender;

use super::service::Service;
use super::status::node_status;
use crate::telemetry::metrics;

/// How often it is told: a page is looked at by people.
const INTERVAL: Duration = Duration::from_secs(1);

/// Tells it until this is dropped.
pub(super) async fn run(service: Service, state: Sender<(Instant, NodeStatus)>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let node = node_status(&service, service.stores.all());
        metrics::restores(&node);
        state.send_replace((Instant::now(), node));
    }
}
