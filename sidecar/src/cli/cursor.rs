//! `cursor`: points of watches that the store keeps under names.

use std::time::SystemTime;

use outrigger_client::{CursorState, Store, WatchPoint};
use serde::Serialize;

use super::failure::Failure;
use super::form::hex;
use super::output::Output;
use super::target::Target;
use super::watch;
use crate::exit::Exit;

/// Shows and changes cursors: points of watches that the store keeps under names, as `watch --from cursor:NAME` takes them
#[derive(Debug, clap::Args)]
pub(super) struct CursorArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Prints all cursors, one a line: NAME, the records behind, the seconds since it was committed, and its point; or NAME,
    /// `lost` and why
    List(ListArgs),
    /// Prints the point of a cursor
    Get(GetArgs),
    /// Keeps a point under a name, if that does not go back
    Commit(CommitArgs),
    /// Deletes a cursor, whether or not there is one
    Delete(DeleteArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// An object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
struct GetArgs {
    /// The cursor
    name: String,
    /// An object, as `list` prints it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
struct CommitArgs {
    /// The cursor
    name: String,
    /// The point, as `watch --points` and `cursor get` print it
    #[arg(value_parser = parse_point)]
    point: WatchPoint,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
struct DeleteArgs {
    /// The cursor
    name: String,
    #[command(flatten)]
    target: Target,
}

#[derive(Serialize)]
struct JsonCursor<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    point: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    behind_records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<&'a str>,
}

pub(super) async fn run(args: CursorArgs) -> Result<Exit, Failure> {
    match args.what {
        What::List(ListArgs { json, target }) => list(&target.store().await?, json).await,
        What::Get(GetArgs { name, json, target }) => {
            let cursor = target.store().await?.cursor(name).get().await.map_err(Failure::Read)?;
            let point = || cursor.point.as_ref().map(printed).unwrap_or_default();
            print([if json { as_json(&cursor) } else { point() }])
        }
        What::Commit(CommitArgs { name, point, target }) => {
            target.store().await?.cursor(name).commit(&point).await.map_err(Failure::Read)?;
            Ok(Exit::Success)
        }
        What::Delete(DeleteArgs { name, target }) => {
            target.store().await?.cursor(name).delete().await.map_err(Failure::Read)?;
            Ok(Exit::Success)
        }
    }
}

async fn list(store: &Store, json: bool) -> Result<Exit, Failure> {
    let (cursors, more) = store.cursors().await.map_err(Failure::Read)?;
    let line = |cursor| if json { as_json(cursor) } else { as_text(cursor, SystemTime::now()) };
    let exit = print(cursors.iter().map(line))?;
    if more {
        eprintln!("outrigger: there are more cursors than these {}", cursors.len());
    }
    Ok(exit)
}

fn print(lines: impl IntoIterator<Item = String>) -> Result<Exit, Failure> {
    let mut out = Output::open();
    let lines = lines.into_iter().try_for_each(|line| out.line(&line));
    lines.and_then(|()| out.flush()).map_err(Failure::Output)?;
    Ok(Exit::Success)
}

fn parse_point(text: &str) -> Result<WatchPoint, String> {
    let why = |why: Option<_>| why.map(|why| format!(" ({why})")).unwrap_or_default();
    watch::point(text).map_err(|wrong| {
        format!("it is no point in hexadecimal digits, as `watch --points` prints it{}", why(wrong))
    })
}

fn printed(point: &WatchPoint) -> String {
    hex(&point.to_bytes())
}

fn as_text(cursor: &CursorState, now: SystemTime) -> String {
    let CursorState { name, point, behind_records, committed_at, lost, .. } = cursor;
    if let Some(lost) = lost {
        return format!("{name}\tlost\t{lost}");
    }
    let behind = behind_records.unwrap_or(0);
    // A clock that is ahead counts as no age.
    let age = committed_at.map(|at| now.duration_since(at).unwrap_or_default().as_secs());
    let point = point.as_ref().map(printed).unwrap_or_default();
    format!("{name}\t{behind}\t{}\t{point}", age.unwrap_or(0))
}

fn as_json(cursor: &CursorState) -> String {
    let CursorState { name, point, behind_records, committed_at, lost, .. } = cursor;
    let since = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ms = |at| u64::try_from(since(at).as_millis()).unwrap_or(u64::MAX);
    let cursor = JsonCursor {
        name,
        point: point.as_ref().map(printed),
        behind_records: *behind_records,
        committed_at_ms: committed_at.map(ms),
        lost: lost.as_deref(),
    };
    serde_json::to_string(&cursor).expect("texts are always written as JSON")
}
