//! Notes kept in Outrigger: what an application does with it, call by call.
//!
//! `cargo run -p outrigger-client --example notes -- http://127.0.0.1:7400 http://127.0.0.1:7401`
//!
//! The first address is the application's own node. The second is another node of the same store
//! (without it, the first is used again); a Unix socket is written `unix:///run/outrigger.sock`. The
//! store is the node's only one, or the one that the variable STORE names.

use std::env;
use std::process::ExitCode;

use outrigger_client::{Client, Error, ErrorKind, Scan, Store, Token};

#[tokio::main]
async fn main() -> ExitCode {
    let mut addresses = env::args().skip(1);
    let here = addresses.next().unwrap_or_else(|| "http://127.0.0.1:7400".to_owned());
    let there = addresses.next().unwrap_or_else(|| here.clone());
    match tour(&here, &there).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("notes: {error}");
            eprintln!("notes: {}", advice(&error));
            ExitCode::FAILURE
        }
    }
}

async fn tour(here: &str, there: &str) -> Result<(), Error> {
    let name = env::var("STORE").unwrap_or_default();
    let notes = Client::connect(here).await?.store(name.clone());

    write_and_read(&notes).await?;
    read_on_another_node(&notes, &Client::connect(there).await?.store(name)).await?;
    write_many(&notes).await?;
    list(&notes).await?;
    fail_well(&notes).await;
    remove_all(&notes).await
}

async fn write_and_read(notes: &Store) -> Result<(), Error> {
    let revision = notes.put("note/milk", "buy milk").await?;
    println!("written at offset {} of partition {}", revision.offset, revision.partition);

    // The node's copy may not have the record yet; the session waits for it.
    let read = notes.read("note/milk").await?;
    let entry = read.entry.expect("a session reads its own writes");
    println!("read {:?} from a copy confirmed {:?} ago", entry.value, read.copy.age);
    Ok(())
}

/// The session moves by its token: in a cookie, a header, a message of the application's own.
async fn read_on_another_node(here: &Store, there: &Store) -> Result<(), Error> {
    let carried = here.token().expect("the session has written").to_bytes();
    let token = Token::from_bytes(&carried).expect("it was just encoded");
    there.resume(token)?;
    let entry = there.get("note/milk").await?.expect("the session has written it");
    println!("read {:?} on the other node", entry.value);
    Ok(())
}

async fn write_many(notes: &Store) -> Result<(), Error> {
    let writer = notes.writer();
    let mut answers = Vec::new();
    for number in 0..1_000 {
        let key = format!("note/{number:04}");
        answers.push(writer.put(&key, format!("note number {number}")).await?);
    }
    writer.finish().await?;
    for answer in answers {
        answer.await?;
    }
    println!("1,000 notes written on one stream");
    Ok(())
}

async fn list(notes: &Store) -> Result<(), Error> {
    let mut rows = notes.scan(Scan::prefix("note/").reverse().limit(3)).await?;
    while let Some(row) = rows.next().await {
        let row = row?;
        println!("{:?} = {:?}", row.key, row.value);
    }
    Ok(())
}

/// Failures are values: their kind says what to do, and `may_have_happened` whether to look first.
async fn fail_well(notes: &Store) {
    let too_large = vec![b'x'; 2 << 20];
    match notes.put("note/novel", &too_large).await {
        Ok(revision) => println!("this node takes 2 MiB: offset {}", revision.offset),
        Err(error) => println!("refused as it should be: {error} ({})", advice(&error)),
    }
}

async fn remove_all(notes: &Store) -> Result<(), Error> {
    let mut rows = notes.scan(Scan::prefix("note/").keys_only()).await?;
    let mut removed = 0;
    while let Some(row) = rows.next().await {
        notes.delete(row?.key).await?;
        removed += 1;
    }
    assert_eq!(notes.get("note/milk").await?, None, "a session reads its own deletes");
    println!("{removed} notes removed");
    Ok(())
}

fn advice(error: &Error) -> &'static str {
    if error.may_have_happened() {
        return "it may have happened: read before writing again";
    }
    match error.kind() {
        ErrorKind::Unreachable => "is the node running, and is this its address?",
        ErrorKind::Unavailable | ErrorKind::Overloaded => "try again in a moment, or another node",
        ErrorKind::SessionLost => "begin a new session",
        ErrorKind::Refused => "ask the operator: the node's status says why",
        ErrorKind::NotWritten => "nothing was written: it is safe to try again",
        _ => "nothing was written: correct the request",
    }
}
