//! Callers who begin a Watch and do not read it.

use anyhow::{Context, Result, ensure};
use outrigger_client::{Level, Watch, WatchEvent};
use outrigger_proto::v1::watch_request::From;
use outrigger_proto::v1::{WatchNow, WatchRequest};
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::Node;
use tempfile::TempDir;

use super::{in_time, rows, run};
use crate::e2e::Place;

/// Connections, and watches of each: together they keep more than all callers of an address have room for.
const CONNECTIONS: usize = 16;
const WATCHES: usize = 8;

/// The largest that a node writes.
const VALUE_BYTES: usize = 960 * 1024;
const WRITES: usize = 12;

/// Of one client: each has more to send than the client lets it send ahead.
const WATCHES_OF_ONE: usize = 8;
const WRITES_TO_THEM: usize = 8;
const VALUE_BYTES_TO_THEM: usize = 512 * 1024;

#[test]
fn watches_that_nobody_reads_keep_neither_writes_nor_scans_nor_other_watches_from_going_on()
-> Result<()> {
    run(async {
        let cluster = Cluster::shared()?;
        let topic = cluster.topic("idle-watches", TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        node.start().await?;
        node.until_ready().await?;

        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut caller = rows(&node).await?;
            for _ in 0..WATCHES {
                let from = Some(From::Now(WatchNow {}));
                let request = WatchRequest { from, ..WatchRequest::default() };
                idle.push(caller.watch(request).await?.into_inner());
            }
        }
        let store = node.store().await?.with_level(Level::Local);
        let mut read = node.store().await?.watch(Watch::all().from_now()).await?;
        for number in 0..WRITES {
            let key = format!("{number:02}");
            let written = store.put(&key, vec![b'v'; VALUE_BYTES]);
            in_time("a write", written).await?.with_context(|| format!("write {number}"))?;
            in_time("its change", async {
                loop {
                    match read.next().await.context("a watch has no end")?? {
                        WatchEvent::Change(change) if change.key == key => return anyhow::Ok(()),
                        _ => {}
                    }
                }
            })
            .await??;
        }
        let scanned = in_time("a scan", async {
            let mut scan = store.scan(outrigger_client::Scan::all()).await?;
            let mut count = 0;
            while let Some(row) = scan.next().await {
                row?;
                count += 1;
            }
            anyhow::Ok(count)
        });
        ensure!(scanned.await?? == WRITES, "all rows");
        drop(idle);
        Ok(())
    })
}

#[test]
fn watches_that_a_client_does_not_read_keep_none_of_its_other_calls_from_their_answers()
-> Result<()> {
    run(async {
        let place = Place::new("idle-watches-of-one", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        let store = node.store().await?;
        let mut unread = Vec::new();
        for _ in 0..WATCHES_OF_ONE {
            unread.push(store.watch(Watch::all().from_now()).await?);
        }
        let (value, other) = (vec![b'v'; VALUE_BYTES_TO_THEM], node.store().await?);
        for number in 0..WRITES_TO_THEM {
            other.put(number.to_string(), &value).await?;
        }
        store.resume(other.token().context("it wrote")?)?;
        for number in 0..WRITES_TO_THEM {
            let key = number.to_string();
            let found = store.get(&key).await.with_context(|| format!("read {number}"))?;
            ensure!(found.context("it was written")?.value == value, "{number}");
            store.put(&key, "small").await.with_context(|| format!("write {number}"))?;
        }
        for mut events in unread {
            let mut changes = 0;
            while changes < 2 * WRITES_TO_THEM {
                let event = in_time("a change", events.next()).await?;
                match event.context("a watch has no end")?? {
                    WatchEvent::Change(_) => changes += 1,
                    WatchEvent::Point(_) => {}
                    event => anyhow::bail!("{event:?}"),
                }
            }
        }
        Ok(())
    })
}
