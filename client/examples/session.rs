//! A session that moves: what one node wrote for it, another node shows it.
//!
//! `cargo run --example session -- http://127.0.0.1:7400 http://127.0.0.1:7410`

use std::env;

use outrigger_client::{Client, Error, Level, Token};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut addresses = env::args().skip(1);
    let here = addresses.next().unwrap_or_else(|| "http://127.0.0.1:7400".to_owned());
    let there = addresses.next().unwrap_or_else(|| here.clone());
    // The name may be empty where a node has only one store.
    let here = Client::connect(&here).await?.store("");
    let there = Client::connect(&there).await?.store("");

    here.put("cart/7", "two apples").await?;

    // The token travels as bytes: in a cookie, a header, or a message of the application's own.
    let carried = here.token().expect("the session has written").to_bytes();
    let token = Token::from_bytes(&carried).expect("it was just encoded");

    // The other node waits for the write if its copy is behind.
    there.resume(token)?;
    let cart = there.get("cart/7").await?.expect("the session has written it");
    println!("the session reads {:?}", cart.value);

    // A read at this level does not wait, and may be older than what the session has seen.
    let local = there.clone().with_level(Level::Local).read("cart/7").await?;
    println!("the copy as it is has {:?}, {:?} old", local.entry, local.copy.age);
    Ok(())
}
