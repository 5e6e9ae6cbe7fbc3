//! Tells the metrics how the stores are: also when nothing changes, for ages grow.

use std::time::Duration;

use crate::runtime::{StoreHandle, clock};
use crate::telemetry;

/// Scrapes are seconds apart.
const INTERVAL: Duration = Duration::from_secs(1);

/// Until it is aborted.
pub(super) async fn run(stores: Vec<StoreHandle>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        for store in &stores {
            telemetry::metrics::status(&store.status(), clock::now());
        }
    }
}
