//! Other tools write with transactions to a topic that somebody made with `cleanup.policy=compact` and nothing else.

use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, ensure};
use outrigger_client::{Level, Store};
use outrigger_core::offset::Partition;
use outrigger_tests::kafka::{Topic, TopicSpec, Transaction};
use outrigger_tests::writers::rows;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{MINUTE, Place, run};

const COUNT: usize = 1_000;
const KEYS: usize = 50;
/// One in this many is aborted.
const ABORTED: usize = 7;
const PAUSE: Duration = Duration::from_millis(5);

fn plain() -> TopicSpec {
    TopicSpec::store()
        .set("message.timestamp.type", "CreateTime")
        .set("min.compaction.lag.ms", "0")
        .set("max.compaction.lag.ms", "9223372036854775807")
        .set("delete.retention.ms", "86400000")
}

#[test]
fn readers_beside_transactions_on_a_plain_topic_are_refused_nothing() -> Result<()> {
    run(async {
        let place = Place::new("plain-transactions", plain())?;
        let node = place.ready_node("one").await?;
        let store = node.store().await?.with_level(Level::Local);
        let mut changes = watch_readiness(&node.url()).await?;
        ensure!(changes.recv().await == Some(ServingStatus::Serving), "READY is not told");

        let writer = write(place.topic.begin("writer", MINUTE)?);
        let (read, refused) = read_beside(&store, &writer).await;
        writer.join().expect("the writer does not panic")?;
        let mut told = Vec::new();
        while let Ok(status) = changes.try_recv() {
            told.push(status);
        }
        ensure!(refused.is_empty(), "{} of {read} reads: {:?}", refused.len(), refused.first());
        ensure!(told.is_empty(), "readiness: {told:?}");
        all_is_there(&place.topic, &node).await
    })
}

/// Writes one record in each transaction, a moment apart, as a tool that copies another topic exactly once.
fn write(transaction: Transaction) -> JoinHandle<Result<()>> {
    std::thread::spawn(move || {
        for number in 0..COUNT {
            let key = format!("key {}", number % KEYS);
            let value = number.to_string();
            transaction.put(Partition(0), key.as_bytes(), Some(value.as_bytes()))?;
            match number % ABORTED {
                0 => transaction.abort_and_go_on()?,
                _ => transaction.commit_and_go_on()?,
            }
            // The pace of the writer is what is played.
            std::thread::sleep(PAUSE);
        }
        transaction.abort()
    })
}

async fn read_beside(store: &Store, writer: &JoinHandle<Result<()>>) -> (usize, Vec<String>) {
    let (mut read, mut refused) = (0, Vec::new());
    while !writer.is_finished() {
        if let Err(error) = store.get(format!("key {}", read % KEYS)).await {
            refused.push(error.to_string());
        }
        read += 1;
    }
    (read, refused)
}

async fn watch_readiness(url: &str) -> Result<UnboundedReceiver<ServingStatus>> {
    let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
    let asked = HealthCheckRequest { service: "readiness".to_owned() };
    let mut answers = HealthClient::new(channel).watch(asked).await?.into_inner();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(Some(answer)) = answers.message().await {
            if sender.send(answer.status()).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

async fn all_is_there(topic: &Topic, node: &outrigger_tests::node::Node) -> Result<()> {
    let last = topic.put(Partition(0), b"last", Some(b"last"))?;
    let read = |status: &outrigger_client::StoreStatus| {
        status.partitions.iter().all(|partition| partition.position > last.0)
    };
    node.until("all that was written", MINUTE, read).await?;
    ensure!(rows(node).await?.len() == KEYS + 1, "rows are missing");
    Ok(())
}
