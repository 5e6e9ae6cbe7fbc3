//! Bad networks between nodes and brokers, callers and nodes, and peers, on the real thing.

mod idle;
mod scene;
mod slow;
mod table;

use std::future::Future;

use anyhow::Result;

/// Runs a test to its end; a panic in it fails the test like an error does.
fn run(test: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(test)
}
