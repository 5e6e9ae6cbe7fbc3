//! `scan`: the rows of a range, one a line, in a form that `import` reads again.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::builder::RangedU64ValueParser;
use outrigger_client::Scan;

use super::failure::Failure;
use super::form::Form;
use super::kv::tell_who_answered;
use super::output::Output;
use super::target::{Freshness, Target};
use crate::exit::Exit;

/// Prints rows in order, each as KEY<tab>VALUE; what is not printable is written as \xNN, \ as \\. `import` reads each form
/// again, to the same bytes
#[derive(Debug, clap::Args)]
pub(super) struct ScanArgs {
    /// Only keys that begin with this
    #[arg(long, value_name = "BYTES", conflicts_with_all = ["from", "to"])]
    prefix: Option<OsString>,
    /// Only keys from this on
    #[arg(long, value_name = "KEY")]
    from: Option<OsString>,
    /// Only keys below this
    #[arg(long, value_name = "KEY")]
    to: Option<OsString>,
    /// At most this many rows
    #[arg(long, value_name = "ROWS", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    limit: Option<u64>,
    /// Without the values
    #[arg(long)]
    keys_only: bool,
    /// Bytes as they are; ends at a row that has a tab in its key or a line feed
    #[arg(long, conflicts_with_all = ["json", "keys_only"])]
    raw: bool,
    /// An object a line, {"key":…,"value":…}; what is not UTF-8 is key_base64 or value_base64
    #[arg(long)]
    json: bool,
    /// From the last key to the first
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    freshness: Freshness,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(args: ScanArgs) -> Result<Exit, Failure> {
    let store = args.freshness.clone().store(&args.target).await?;
    let (keys_only, form) = (args.keys_only, Form::of(args.raw, args.json));
    let mut rows = store.scan(args.into_scan()).await.map_err(Failure::Read)?;
    tell_who_answered(rows.copy());
    let mut out = Output::open();
    while let Some(row) = rows.next().await {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                out.flush().map_err(Failure::Output)?;
                return Err(Failure::Read(error));
            }
        };
        match form.write(&row.key, (!keys_only).then_some(&row.value)) {
            Ok(line) => {
                out.bytes(&line).and_then(|()| out.bytes(b"\n")).map_err(Failure::Output)?
            }
            Err(fault) => {
                out.flush().map_err(Failure::Output)?;
                return Err(Failure::BadInput(format!(
                    "{fault}: nothing from it on is printed, use --json"
                )));
            }
        }
    }
    out.flush().map_err(Failure::Output)?;
    Ok(Exit::Success)
}

impl ScanArgs {
    fn into_scan(self) -> Scan {
        let scan = match (self.prefix, self.from, self.to) {
            (Some(prefix), _, _) => Scan::prefix(prefix.into_vec()),
            (None, None, None) => Scan::all(),
            (None, Some(from), None) => Scan::starting_at(from.into_vec()),
            (None, from, Some(to)) => {
                Scan::range(from.unwrap_or_default().into_vec(), to.into_vec())
            }
        };
        let scan = if self.keys_only { scan.keys_only() } else { scan };
        let scan = if self.reverse { scan.reverse() } else { scan };
        scan.limit(self.limit.unwrap_or(0))
    }
}
