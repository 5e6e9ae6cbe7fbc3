//! `scan`: the rows of a range, one a line, in a form that `load` reads again.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::builder::RangedU64ValueParser;
use outrigger_client::{Row, Scan};

use super::failure::Failure;
use super::output::Output;
use super::target::{Freshness, Target};
use crate::escape::escape;
use crate::exit::Exit;

/// Prints rows in order, each as KEY<tab>VALUE; what is not printable is written as \xNN, \ as \\
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
    /// At most so many rows
    #[arg(long, value_name = "ROWS", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    limit: Option<u64>,
    /// Without the values
    #[arg(long)]
    keys_only: bool,
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
    let keys_only = args.keys_only;
    let mut rows = store.scan(args.into_scan()).await.map_err(Failure::Read)?;
    let mut out = Output::open();
    while let Some(row) = rows.next().await {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                out.flush().map_err(Failure::Output)?;
                return Err(Failure::Read(error));
            }
        };
        out.line(&line(&row, keys_only)).map_err(Failure::Output)?;
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

fn line(row: &Row, keys_only: bool) -> String {
    match keys_only {
        true => escape(&row.key),
        false => format!("{}\t{}", escape(&row.key), escape(&row.value)),
    }
}
