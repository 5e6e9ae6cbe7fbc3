//! The first steps. README.md of this crate shows the same lines.

use outrigger_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::connect("http://127.0.0.1:7400").await?;
    let notes = client.store("notes");
    notes.put("greeting", "hello").await?;
    let greeting = notes.get("greeting").await?.expect("a session reads its own writes");
    assert_eq!(greeting.value, "hello");
    Ok(())
}
