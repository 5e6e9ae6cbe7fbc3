//! Callers and surroundings that behave badly: a node as its users run it holds its bounds, and serves the others.

mod connections;
mod deadlines;
mod failures;
mod halves;
mod http2;
mod little_memory;
mod logging;
mod memory;
mod scans;
mod strangers;
mod watches;

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_proto::limits::RESPONSE_BYTES_MAX;
use outrigger_proto::v1::store_client::StoreClient;
use outrigger_tests::node::Node;
use tonic::transport::Channel;

use crate::seen::page;

const MINUTE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

fn run(test: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(test)
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(MINUTE, future).await.with_context(|| format!("{what}: not in time"))
}

async fn rows(node: &Node) -> Result<StoreClient<Channel>> {
    let client = StoreClient::connect(node.url()).await?;
    Ok(client.max_decoding_message_size(RESPONSE_BYTES_MAX))
}

/// A metric's value, with its labels as it is scraped; none before it was recorded.
pub(crate) fn metric(port: u16, name: &str) -> Result<Option<f64>> {
    let (_, _, text) = page(port, "/metrics")?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.map(str::parse).transpose()?)
}

pub(crate) async fn until_metric(
    port: u16,
    name: &str,
    wanted: impl Fn(f64) -> bool,
) -> Result<()> {
    let deadline = Instant::now() + MINUTE;
    loop {
        let value = metric(port, name)?;
        if value.is_some_and(&wanted) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{name} is {value:?}");
        tokio::time::sleep(POLL).await;
    }
}
