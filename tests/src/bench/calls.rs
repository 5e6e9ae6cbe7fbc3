//! A Get against the emptiest call that the same server answers (its health check).

use std::time::Instant;

use anyhow::Result;
use outrigger_client::Level;
use outrigger_client::proto::v1::store_client::StoreClient;
use outrigger_client::proto::v1::{self, GetRequest, ReadOptions};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{ROUNDS, median, per_second, report};
use crate::kafka::{Cluster, TopicSpec};
use crate::node::{Node, STORE};

const CALLS: u64 = 40_000;
const CALLERS: u64 = 32;

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic("bench-calls", TopicSpec::store())?;
    let dir = TempDir::new()?;
    let mut node = Node::new(dir.path(), "node", &cluster.bootstrap(), topic.name())?;
    node.start().await?;
    node.until_ready().await?;
    let store = node.store().await?;
    store.put("key", [b'v'; 100]).await?;
    store.clone().with_level(Level::Session).get("key").await?;

    let channel = Channel::from_shared(node.url())?.connect().await?;
    let (mut empties, mut gets, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let empty = empty(&channel).await?;
        let get = get(&channel).await?;
        ratios.push(get / empty);
        empties.push(empty);
        gets.push(get);
    }
    let (gets, empties, ratio) = (median(gets), median(empties), median(ratios));
    report(
        "Get, 32 callers on one connection",
        gets,
        "empty call (health check)",
        empties,
        "calls/s",
        ratio,
    );
    Ok(())
}

async fn empty(channel: &Channel) -> Result<f64> {
    callers(|| {
        let mut client = HealthClient::new(channel.clone());
        async move {
            for _ in 0..CALLS / CALLERS {
                client.check(HealthCheckRequest { service: String::new() }).await?;
            }
            Ok(())
        }
    })
    .await
}

async fn get(channel: &Channel) -> Result<f64> {
    callers(|| {
        let mut client = StoreClient::new(channel.clone());
        async move {
            let options = ReadOptions { level: v1::Level::Local.into(), ..ReadOptions::default() };
            let request =
                GetRequest { store: STORE.to_owned(), key: "key".into(), read: Some(options) };
            for _ in 0..CALLS / CALLERS {
                client.get(request.clone()).await?;
            }
            Ok(())
        }
    })
    .await
}

/// Calls per second of all callers together.
async fn callers<F: Future<Output = Result<()>> + Send + 'static>(
    one: impl Fn() -> F,
) -> Result<f64> {
    let began = Instant::now();
    let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(one())).collect();
    for caller in callers {
        caller.await??;
    }
    Ok(per_second(CALLS, began.elapsed()))
}
