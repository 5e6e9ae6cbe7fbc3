//! Takes the rows of a prefix as messages, and answers each with a row of its own. It may be killed at any moment and started
//! again, on any node of the store.

#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use clap::Parser;
use outrigger_client::{Client, Pending, Revision, Watch, WatchEvent, Writer};

/// Answers each row below `orders/` with one below `invoices/`, until it is killed
#[derive(Parser)]
struct Args {
    /// A node of the store
    #[arg(long, default_value = "http://127.0.0.1:7400")]
    server: String,

    /// The store; may be left out where the node has one
    #[arg(long, default_value = "")]
    store: String,

    /// Where it is kept how far the orders are done; another name is another queue over the same orders
    #[arg(long, default_value = "invoicing")]
    cursor: String,
}

/// Invoices that are on their way at most.
const SENT_MAX: usize = 1_000;

/// Invoices on their way, none of which is in doubt when it is empty.
struct Invoices {
    writer: Writer,
    sent: Vec<Pending>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let store = Client::connect(&args.server).await?.store(&args.store);
    let cursor = store.cursor(&args.cursor);
    let mut invoices = Invoices { writer: store.writer(), sent: Vec::new() };
    let mut orders = store.watch(Watch::prefix("orders/").from_cursor(&args.cursor)).await?;
    loop {
        match orders.next().await.context("a watch has no end")?? {
            WatchEvent::Row(row) => invoices.send(row.revision, &row.value).await?,
            WatchEvent::Change(change) => {
                // An order that was deleted asks for nothing.
                if let Some(order) = change.value {
                    invoices.send(change.revision, &order).await?;
                }
            }
            WatchEvent::StateEnd(point) | WatchEvent::Point(point) => {
                invoices.are_written().await?;
                cursor.commit(&point).await?;
            }
            WatchEvent::StateAgain(why) => eprintln!("worker: all orders come again: {why}"),
            WatchEvent::Interrupted(error) => eprintln!("worker: it goes on when it can: {error}"),
            _ => {}
        }
    }
}

impl Invoices {
    /// An order that comes twice has the same revision, and its invoice is the same row.
    async fn send(&mut self, order: Revision, text: &[u8]) -> Result<()> {
        let Revision { partition, offset } = order;
        let invoice = [b"invoice for ", text].concat();
        let key = format!("invoices/{partition}:{offset}");
        if self.sent.len() == SENT_MAX {
            self.are_written().await?;
        }
        self.sent.push(self.writer.put(key, invoice).await?);
        Ok(())
    }

    async fn are_written(&mut self) -> Result<()> {
        for written in self.sent.drain(..) {
            written.await?;
        }
        Ok(())
    }
}
