//! Callers who begin a Watch and do not read it.

use anyhow::{Context, Result, ensure};
use outrigger_client::{Level, Watch, WatchEvent};
use outrigger_proto::v1::watch_request::From;
use outrigger_proto::v1::{WatchNow, WatchRequest};
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::Node;
use tempfile::TempDir;

use super::{in_time, rows, run};

/// Connections, and watches of each: together they keep more than all callers of an address have room for.
const CONNECTIONS: usize = 16;
const WATCHES: usize = 8;

/// The largest that a node writes.
const VALUE_BYTES: usize = 960 * 1024;
const WRITES: usize = 12;

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
