//! Rows in memory, decoded, that follow the store.
//!
//! `cargo run --example cache -- http://127.0.0.1:7400`

use std::env;
use std::error::Error;

use outrigger_client::{CacheError, Client, Watch};

#[tokio::main]
async fn main() -> Result<(), CacheError> {
    let address = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7400".to_owned());
    let store = Client::connect(&address).await?.store("");
    store.put("price/apple", "30").await?;

    // It is ready when it has all of them. A price that is no number fails this, with its key.
    let mut prices = store.cache(Watch::prefix("price/"), cents).await?;
    println!("an apple costs {:?}", prices.get("price/apple")?);

    // What this session wrote is in it a moment later, and surely when it has reached the session's token.
    store.put("price/pear", "45").await?;
    prices.reached(&store.token().expect("the session has written")).await?;
    for (key, cents) in prices.snapshot().iter() {
        println!("{}: {}", key.escape_ascii(), cents?);
    }

    // Whatever has changed since it was asked last wakes this up, on whatever node it was written.
    loop {
        prices.changed().await?;
        println!("{} prices, {:?} old", prices.len(), prices.age());
    }
}

fn cents(_key: &[u8], value: &[u8]) -> Result<u64, Box<dyn Error + Send + Sync>> {
    Ok(str::from_utf8(value)?.parse()?)
}
