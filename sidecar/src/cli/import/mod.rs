//! `import`: the rows of a file, written into a store.

mod lines;

use std::ffi::OsString;

use clap::builder::RangedU64ValueParser;

use self::lines::Lines;
use super::failure::Failure;
use super::form::Form;
use super::send;
use super::target::Target;
use crate::exit::Exit;

/// Writes the rows of a file, as fast as the node takes them
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// Rows to write, KEY<tab>VALUE a line, as `scan` prints them; `-` is standard input. Without --raw or --json a
    /// `\` begins an escape, as in `scan`
    file: OsString,
    /// Take the bytes of each line as they are, as other tools export them; a value ends with its line
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// An object a line, {"key":…,"value":…}, as `scan --json` prints them; a value of null deletes the key
    #[arg(long)]
    json: bool,
    /// At most this many writes a second
    #[arg(long, value_name = "WRITES", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    rate: Option<u64>,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(args: ImportArgs) -> Result<Exit, Failure> {
    let store = args.target.store().await?;
    let mut lines = Lines::open(&args.file, Form::of(args.raw, args.json)).await?;
    let sent = send::all(&store, &mut lines, args.rate).await;
    if lines.escaped() > 0 {
        // Only whoever made the file can know whether one was meant as such.
        eprintln!(
            "{} rows had a `\\`, which was read as the beginning of an escape such as \\n: where it is a part of the \
             data, import with --raw",
            lines.escaped()
        );
    }
    sent
}
