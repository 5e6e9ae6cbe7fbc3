//! A stream of writes: many are open at once, and each has an answer of its own.
//!
//! `cargo run --example stream -- http://127.0.0.1:7400`

use std::env;

use outrigger_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7400".to_owned());
    let store = Client::connect(&address).await?.store("");

    let writer = store.writer();
    let mut answers = Vec::new();
    for number in 0..1_000 {
        // This waits for room only. The answer comes later, through what it returns.
        let answer = writer.put(format!("number/{number:04}"), number.to_string()).await?;
        answers.push((number, answer));
    }

    // This tells whether the stream ended well; what became of each write is in its own answer.
    let ended = writer.finish().await;
    for (number, answer) in answers {
        match answer.await {
            Ok(_revision) => {}
            Err(error) if error.may_have_happened() => println!("{number} is unknown: {error}"),
            Err(error) => println!("{number} was not written: {error}"),
        }
    }
    ended
}
