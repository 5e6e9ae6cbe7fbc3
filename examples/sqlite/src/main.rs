//! Keeps a table of a SQLite database equal to a store. It may be killed at any moment and started again.

#![forbid(unsafe_code)]

mod table;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use outrigger_client::{Client, Watch, WatchEvent};

use self::table::Table;

/// Mirrors a store into the table `rows` of a SQLite database, until it is killed
#[derive(Parser)]
struct Args {
    /// A node of the store
    #[arg(long, default_value = "http://127.0.0.1:7400")]
    server: String,

    /// The store; may be left out where the node has one
    #[arg(long, default_value = "")]
    store: String,

    /// Only keys that begin so; not to be changed for a database that there is
    #[arg(long, default_value = "")]
    prefix: String,

    /// The database; it is created where there is none
    database: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let mut table = Table::open(&args.database)?;
    let watch = Watch::prefix(args.prefix);
    let watch = match table.point()? {
        Some(point) => watch.from_point(point),
        None => watch,
    };
    let store = Client::connect(&args.server).await?.store(&args.store);
    let mut watch = store.watch(watch).await?;
    loop {
        match watch.next().await.context("a watch has no end")?? {
            WatchEvent::Row(row) => table.put(&row.key, &row.value)?,
            WatchEvent::Change(change) => match change.value {
                Some(value) => table.put(&change.key, &value)?,
                None => table.delete(&change.key)?,
            },
            WatchEvent::StateEnd(point) | WatchEvent::Point(point) => table.commit(&point)?,
            WatchEvent::StateAgain(why) => {
                eprintln!("mirror: all rows are told again: {why}");
                table.clear()?;
            }
            WatchEvent::Interrupted(error) => eprintln!("mirror: it goes on when it can: {error}"),
            _ => {}
        }
    }
}
