//! Writers that remember what they were told, and readers that hold a node to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outrigger_client::{Client, Error, Level, Revision, Scan};
use outrigger_sim::history::{History, Operation, Row, Told};
use tokio::task::JoinHandle;

use crate::node::{Node, STORE};

/// Tasks that write until they are stopped: puts and deletes of few keys, so that most are overwritten.
pub struct Load {
    writers: Vec<JoinHandle<History>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// One writer per address; each has keys of its own, so that its order of calls is the order of effects.
    pub fn start(addresses: Vec<String>, keys: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let writers = addresses.into_iter().enumerate();
        let writers = writers
            .map(|(number, address)| tokio::spawn(write(number, address, keys, Arc::clone(&stop))))
            .collect();
        Load { writers, stop }
    }

    /// What every writer was told, in the order of the addresses.
    pub async fn stop(self) -> Result<Vec<History>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut histories = Vec::new();
        for writer in self.writers {
            histories.push(writer.await.context("a writer panicked")?);
        }
        Ok(histories)
    }
}

async fn write(number: usize, address: String, keys: u64, stop: Arc<AtomicBool>) -> History {
    let mut history = History::default();
    let mut step: u64 = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(client) = Client::connect(&address).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let store = client.store(STORE);
        while !stop.load(Ordering::Relaxed) {
            step += 1;
            let key = key(number, step.wrapping_mul(0x9e37_79b9) % keys);
            let value = (!step.is_multiple_of(4)).then(|| format!("{number}-{step}"));
            let answer = match &value {
                Some(value) => store.put(&key, value.clone()).await,
                None => store.delete(&key).await,
            };
            let failed = answer.is_err();
            let value = value.map(String::into_bytes);
            history.record(key.as_bytes(), Operation { value, told: told(answer) });
            if failed {
                // The node may be down: connect anew.
                tokio::time::sleep(Duration::from_millis(20)).await;
                break;
            }
        }
    }
    history
}

fn key(number: usize, key: u64) -> String {
    format!("writer-{number}/key-{key}")
}

fn told(answer: Result<Revision, Error>) -> Told {
    match answer {
        Ok(revision) => Told::Offset(revision.offset),
        Err(error) if error.may_have_happened() => Told::Unknown,
        Err(_) => Told::DidNotHappen,
    }
}

/// Everything that a node serves at the log's present end.
pub async fn rows(node: &Node) -> Result<BTreeMap<Vec<u8>, Row>> {
    let store = node.store().await?.with_level(Level::Latest);
    let mut rows = BTreeMap::new();
    let mut scan = store.scan(Scan::all()).await?;
    while let Some(row) = scan.next().await {
        let row = row?;
        let offset = row.revision.offset;
        rows.insert(row.key.to_vec(), Row { offset, value: row.value.to_vec() });
    }
    Ok(rows)
}

/// Every node holds what its callers were told, all hold the same, and their digests say so.
pub async fn judge(nodes: &[Node], histories: &[History]) -> Result<()> {
    let mut digests = Vec::new();
    let mut contents = Vec::new();
    for node in nodes {
        contents.push(rows(node).await?);
        let digest = node.store().await?.status_with_digest().await?.digest;
        digests.push(digest.context("a READY node has a digest")?);
    }
    for content in &contents {
        ensure!(*content == contents[0], "the nodes' contents differ");
    }
    ensure!(digests.iter().all(|digest| *digest == digests[0]), "the digests differ: {digests:?}");
    for (number, history) in histories.iter().enumerate() {
        let own = format!("writer-{number}/");
        let rows = contents[0].iter().filter(|(key, _)| key.starts_with(own.as_bytes()));
        let rows = rows.map(|(key, row)| (key.clone(), row.clone())).collect();
        let violations = history.violations(&rows);
        ensure!(violations.is_empty(), "writer {number}: {violations:#?}");
    }
    Ok(())
}
