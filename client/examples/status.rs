//! How a store is on one node, now and after each change, until it is ready.
//!
//! `cargo run --example status -- http://127.0.0.1:7400`

use std::env;
use std::time::Duration;

use outrigger_client::wire::Phase;
use outrigger_client::{Client, Error, StoreStatus};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7400".to_owned());
    let client = Client::connect(&address).await?;

    let node = client.status().await?;
    println!("version {} with {} stores", node.version, node.stores.len());
    for store in &node.stores {
        print(store);
    }

    let Some(first) = node.stores.first() else { return Ok(()) };
    let mut states = client.store(&first.store).watch_status(Duration::from_millis(500)).await?;
    while let Some(store) = states.next().await {
        let store = store?;
        print(&store);
        match store.phase() {
            Phase::Ready | Phase::Refused | Phase::Stopped => break,
            _ => {}
        }
    }
    Ok(())
}

fn print(store: &StoreStatus) {
    println!(
        "{} is {}, {:?} records behind",
        store.store,
        store.phase().as_str_name(),
        store.lag_records
    );
    for stall in &store.stalls {
        println!("  it waits: {}; {}", stall.detail, stall.what_to_do);
    }
    if let Some(cause) = &store.cause {
        println!("  because: {}; {}", cause.detail, cause.what_to_do);
    }
}
