//! Failures: what may be repeated, and what must be looked at first.
//!
//! `cargo run --example errors -- http://127.0.0.1:7400`

use std::env;
use std::time::Duration;

use outrigger_client::{Client, Error, ErrorKind, Store};

const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7400".to_owned());
    let store = Client::connect(&address).await?.store("");

    set_once(&store, "greeting", "hello").await?;

    let too_large = vec![b'x'; 8 << 20];
    let error = store.put("novel", &too_large).await.expect_err("8 MiB are too many");
    println!("{error} ({:?}, {:?})", error.kind(), error.reason());
    Ok(())
}

/// Sets a key that only this process writes, so that to read it tells what became of a write in doubt.
///
/// Such a write can still reach the log after the read. Here it would set the same value once more;
/// where another process writes the key too, it could undo that write, and there is nothing safe to do
/// but to tell the user.
async fn set_once(store: &Store, key: &str, value: &str) -> Result<(), Error> {
    let mut tries = 1;
    loop {
        let error = match store.put(key, value).await {
            Ok(_revision) => return Ok(()),
            Err(error) => error,
        };
        if tries == TRIES || !(error.may_have_happened() || may_be_repeated(error.kind())) {
            return Err(error);
        }
        tokio::time::sleep(PAUSE * tries).await;
        if error.may_have_happened() && is_set(store, key, value).await? {
            return Ok(());
        }
        tries += 1;
    }
}

async fn is_set(store: &Store, key: &str, value: &str) -> Result<bool, Error> {
    Ok(store.get(key).await?.is_some_and(|entry| entry.value == value))
}

/// Whether the same call can succeed a moment later. Everything else needs another request, another
/// session or a person.
fn may_be_repeated(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unreachable
            | ErrorKind::Unavailable
            | ErrorKind::Overloaded
            | ErrorKind::Deadline
            | ErrorKind::NotWritten
            | ErrorKind::Broken
    )
}
