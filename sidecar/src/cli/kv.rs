//! `put`, `get`, `delete`: one key. Bytes go in and come out as they are.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

use outrigger_client::proto::limits::{PAYLOAD_BYTES_MAX, VALUE_BYTES_MAX};
use outrigger_client::{CopyState, Revision};

use super::failure::Failure;
use super::output::Output;
use super::target::{Freshness, Target};
use crate::exit::Exit;

/// Sets the value of a key; prints the revision as PARTITION:OFFSET
#[derive(Debug, clap::Args)]
pub(super) struct PutArgs {
    /// The key, byte for byte; may be empty
    key: OsString,
    /// The value, byte for byte; may be empty. `-` reads it from standard input
    value: OsString,
    #[command(flatten)]
    target: Target,
}

/// Prints the value of a key, byte for byte; exits with 1 when the key does not exist
#[derive(Debug, clap::Args)]
pub(super) struct GetArgs {
    /// The key, byte for byte; may be empty
    key: OsString,
    #[command(flatten)]
    freshness: Freshness,
    #[command(flatten)]
    target: Target,
}

/// Deletes a key, whether or not it exists; prints the revision as PARTITION:OFFSET
#[derive(Debug, clap::Args)]
pub(super) struct DeleteArgs {
    /// The key, byte for byte; may be empty
    key: OsString,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn put(args: PutArgs) -> Result<Exit, Failure> {
    let value = match args.value.to_str() {
        Some("-") => standard_input()?,
        Some(_) | None => args.value.into_vec(),
    };
    let store = args.target.store().await?;
    let revision = store.put(args.key.into_vec(), value).await.map_err(Failure::Write)?;
    print_revision(revision)
}

pub(super) async fn get(args: GetArgs) -> Result<Exit, Failure> {
    let store = args.freshness.store(&args.target).await?;
    let read = store.read(args.key.into_vec()).await.map_err(Failure::Read)?;
    tell_who_answered(&read.copy);
    let Some(entry) = read.entry else {
        eprintln!("outrigger: the key does not exist");
        return Ok(Exit::Negative);
    };
    let mut out = Output::open();
    let written =
        out.bytes(&entry.value).and_then(|()| out.end_for_people()).and_then(|()| out.flush());
    written.map_err(Failure::Output)?;
    Ok(Exit::Success)
}

pub(super) async fn delete(args: DeleteArgs) -> Result<Exit, Failure> {
    let store = args.target.store().await?;
    let revision = store.delete(args.key.into_vec()).await.map_err(Failure::Write)?;
    print_revision(revision)
}

/// Says so where it was not the node that was asked.
pub(super) fn tell_who_answered(copy: &CopyState) {
    if let Some(peer) = &copy.given_by {
        eprintln!("outrigger: the node's own copy is not READY: its peer {peer} answers");
    }
}

fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    let input = |error| Failure::Input { what: "the value from standard input".to_owned(), error };
    // What a request can carry is read, for the node to judge; nobody knows how much more there is.
    let limit = u64::try_from(PAYLOAD_BYTES_MAX).expect("a size fits 64 bits");
    io::stdin().lock().take(limit + 1).read_to_end(&mut value).map_err(input)?;
    if value.len() > PAYLOAD_BYTES_MAX {
        Err(Failure::BadInput(format!(
            "the value from standard input has more than {PAYLOAD_BYTES_MAX} bytes, and at most {VALUE_BYTES_MAX} \
             are accepted; split it over several keys, or compress it"
        )))
    } else {
        Ok(value)
    }
}

fn print_revision(revision: Revision) -> Result<Exit, Failure> {
    let mut out = Output::open();
    let Revision { partition, offset } = revision;
    out.line(&format!("{partition}:{offset}"))
        .and_then(|()| out.flush())
        .map_err(Failure::Output)?;
    Ok(Exit::Success)
}
