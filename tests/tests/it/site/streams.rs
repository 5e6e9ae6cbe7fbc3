//! More streams than a connection takes.

use anyhow::{Context, Result, ensure};
use outrigger_client::{Client, Writer};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::STORE;

use super::{MINUTE, Place, run};

/// These are more than a node takes through one connection, and fewer than through one address.
const STREAMS: usize = 100;

#[test]
fn a_client_with_many_open_streams_goes_on_to_call() -> Result<()> {
    run(async {
        let place = Place::new("streams", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        let store = Client::connect(&node.url()).await?.store(STORE);
        let writers: Vec<Writer> = (0..STREAMS).map(|_| store.writer()).collect();
        let mut last = None;
        for (number, writer) in writers.iter().enumerate() {
            let written = writer.put(format!("key {number}"), "value").await?;
            last = Some(tokio::time::timeout(MINUTE, written).await.context("no answer")??);
        }
        ensure!(last.is_some());
        let found = store.get(format!("key {}", STREAMS - 1)).await?;
        ensure!(found.is_some(), "it is not there");
        store.put("another", "value").await?;
        for writer in writers {
            writer.finish().await?;
        }
        Ok(())
    })
}
