//! Rows of a range of keys, all from one snapshot, and pages of them.
//!
//! `cargo run --example scan -- http://127.0.0.1:7400`

use std::env;

use outrigger_client::{Client, Error, Scan, Store};

const PAGE: u64 = 100;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7400".to_owned());
    let store = Client::connect(&address).await?.store("");

    // This is one snapshot, however long the rows take: writes in between are not in it.
    let mut rows = store.scan(Scan::prefix("number/")).await?;
    while let Some(row) = rows.next().await {
        let row = row?;
        println!("{:?} = {:?} at offset {}", row.key, row.value, row.revision.offset);
    }

    // The three greatest keys, without their values.
    let mut last = store.scan(Scan::all().reverse().limit(3).keys_only()).await?;
    while let Some(row) = last.next().await {
        println!("{:?}", row?.key);
    }

    println!("{} keys, a page at a time", count(&store).await?);
    Ok(())
}

/// Each page is a snapshot of its own, and none is older than the one before.
async fn count(store: &Store) -> Result<u64, Error> {
    let (mut from, mut keys) = (Vec::new(), 0);
    loop {
        let page = Scan::starting_at(from.clone()).limit(PAGE).keys_only();
        let (mut rows, mut found) = (store.scan(page).await?, 0);
        while let Some(row) = rows.next().await {
            from = row?.key.to_vec();
            found += 1;
        }
        keys += found;
        if found < PAGE {
            return Ok(keys);
        }
        // The smallest key above the last one.
        from.push(0);
    }
}
