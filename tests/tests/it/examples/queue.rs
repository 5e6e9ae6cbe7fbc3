//! A worker that takes changes as messages.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use outrigger_client::{Level, Revision, Scan, Store};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::Node;
use outrigger_tests::process::Process;

use super::{POLL, example};
use crate::e2e::{MINUTE, Place, run};

const CURSOR: &str = "invoicing";

fn worker(node: &Node) -> Result<Process> {
    let mut command = Command::new(example("worker")?);
    command.args(["--server", &node.url(), "--cursor", CURSOR]);
    Process::start(command)
}

async fn invoices(store: &Store) -> Result<BTreeMap<String, String>> {
    let mut invoices = BTreeMap::new();
    let mut rows = store.scan(Scan::prefix("invoices/")).await?;
    while let Some(row) = rows.next().await {
        let row = row?;
        invoices.insert(String::from_utf8(row.key.into())?, String::from_utf8(row.value.into())?);
    }
    Ok(invoices)
}

#[test]
fn each_order_has_its_invoice_however_often_the_worker_is_killed() -> Result<()> {
    run(async {
        let place = Place::new("queue", TopicSpec::store().partitions(3))?;
        let mut one = place.ready_node("one").await?;
        let other = place.ready_node("other").await?;
        let store = other.store().await?.with_level(Level::Latest);
        let (mut ordered, mut last) = (BTreeMap::new(), Vec::new());
        for round in 0..6 {
            let before = invoices(&store).await?.len();
            for number in 0..50 {
                let order = format!("order {round}.{number}");
                let at = store.put(format!("orders/{round}.{number}"), &order).await?;
                let Revision { partition, offset } = at;
                ordered.insert(
                    format!("invoices/{partition}:{offset}"),
                    format!("invoice for {order}"),
                );
                last.push(at);
            }
            let worker = worker(if round % 2 == 0 { &one } else { &other })?;
            let deadline = Instant::now() + MINUTE;
            while invoices(&store).await?.len() == before {
                ensure!(Instant::now() < deadline, "round {round}: it goes on from its cursor");
                tokio::time::sleep(POLL).await;
            }
            if round == 0 {
                until_committed(&store).await?;
            }
            let said = worker.kill_and_hear()?;
            ensure!(said.contains("come again") == (round == 0), "round {round}: {said}");
            if round == 3 {
                one.kill()?;
                one.wipe()?;
                one.start().await?;
                one.until_ready().await?;
            }
        }
        let worker = worker(&one)?;
        let deadline = Instant::now() + MINUTE;
        while !done(&store, &last).await? {
            ensure!(Instant::now() < deadline, "the cursor is behind all orders");
            tokio::time::sleep(POLL).await;
        }
        let written = invoices(&store).await?;
        ensure!(written == ordered, "{} orders, {} invoices", ordered.len(), written.len());
        let said = worker.kill_and_hear()?;
        ensure!(!said.contains("come again"), "{said}");
        Ok(())
    })
}

/// A worker whose cursor is not known begins with all orders; one that is killed later does not.
async fn until_committed(store: &Store) -> Result<()> {
    let deadline = Instant::now() + MINUTE;
    while store.cursor(CURSOR).get().await.is_err() {
        ensure!(Instant::now() < deadline, "the cursor is committed");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Whether the cursor says so of all of them.
async fn done(store: &Store, orders: &[Revision]) -> Result<bool> {
    let point = store.cursor(CURSOR).get().await.ok().and_then(|cursor| cursor.point);
    let position = |partition| point.as_ref().map_or(0, |point| point.token().position(partition));
    Ok(orders.iter().all(|order| position(order.partition) > order.offset))
}
