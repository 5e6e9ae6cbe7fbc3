//! `drop-quarantine`: lists what was set aside, or deletes one of it.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use indicatif::HumanBytes;

use super::failure::Failure;
use super::output::Output;
use crate::config::{DiskArgs, StoreName};
use crate::exit::Exit;
use crate::rocks;
use crate::words::counted;

/// Lists what a store set aside (a copy with records that the log lost, a damaged one), or deletes one of it;
/// also while its node runs. Without --yes it only tells what would be lost. The file that tells what the log lost of
/// it, lost-g<N>.jsonl, stays
#[derive(Debug, clap::Args)]
pub(super) struct DropArgs {
    /// Which to delete, such as g3; none: list them
    generation: Option<String>,
    /// Do it
    #[arg(long, requires = "generation")]
    yes: bool,
    /// Delete it even when what the log lost of it is not written yet; that is then lost for good
    #[arg(long, requires = "yes")]
    without_lost_rows: bool,
    #[command(flatten)]
    disk: DiskArgs,
}

pub(super) fn run(args: &DropArgs) -> Result<Exit, Failure> {
    let DropArgs { generation, yes, without_lost_rows, disk } = args;
    let (data, store) = &disk.resolve()?;
    if rocks::owner(data, store.as_str())?.is_none() {
        let data = data.display();
        return Err(Failure::Usage(format!(
            "{data} has nothing of store {store}: give the data directory and the store as `serve` has them"
        )));
    }
    let aside = rocks::quarantined(data, store.as_str())?;
    let files = rocks::lost_files(data, store.as_str())?;
    let Some(generation) = generation else { return list(store, &aside, &files) };
    let named = |each: &rocks::Quarantined| each.generation.to_string() == *generation;
    let Some(found) = aside.into_iter().find(named) else {
        return Err(Failure::Usage(format!(
            "{generation} was not set aside by store {store}: without a name, this command lists what was"
        )));
    };
    let lost = lost(&files, &found)?;
    if let (Some(Lost::NotYet), false) = (&lost, without_lost_rows) {
        return Err(Failure::BadInput(format!(
            "{generation} has rows that the log lost, and no file tells yet which: start its node, which writes it when \
             it is READY, or say --yes --without-lost-rows to lose them"
        )));
    }
    let size = HumanBytes(found.bytes);
    let mut said = if *yes {
        rocks::drop_quarantined(data, store.as_str(), found.generation)?;
        format!("{generation} is deleted, {size} are free again\n")
    } else {
        format!(
            "this would delete {generation} ({}), {size}: what only it has is then lost. Say --yes to do it\n",
            found.why
        )
    };
    if let Some(lost @ Lost::Written { .. }) = lost {
        writeln!(said, "this stays: {lost}").expect("a String takes every text");
    }
    Output::open().whole(&said).map_err(Failure::Output)?;
    Ok(Exit::Success)
}

fn list(
    store: &StoreName,
    aside: &[rocks::Quarantined],
    files: &[rocks::LostFile],
) -> Result<Exit, Failure> {
    let mut list = String::new();
    for each in aside {
        let rocks::Quarantined { generation, why, bytes, .. } = each;
        writeln!(list, "{generation}  {}  {why}", HumanBytes(*bytes))
            .expect("a String takes every text");
        if let Some(lost) = lost(files, each)? {
            writeln!(list, "  {lost}").expect("a String takes every text");
        }
    }
    if aside.is_empty() {
        // It is not told on standard output, where a script counts what is listed.
        eprintln!("outrigger: store {store} has set nothing aside");
    }
    Output::open().whole(&list).map_err(Failure::Output)?;
    Ok(Exit::Success)
}

/// What is known of what the log lost of a generation.
enum Lost {
    Written { path: PathBuf, rows: u64 },
    NotYet,
}

fn lost(files: &[rocks::LostFile], aside: &rocks::Quarantined) -> Result<Option<Lost>, Failure> {
    let file = files.iter().find(|file| file.generation == aside.generation);
    let Some(file) = file else { return Ok(aside.has_lost.then_some(Lost::NotYet)) };
    let what = || file.path.display().to_string();
    let rows = file.rows().map_err(|error| Failure::Input { what: what(), error })?;
    Ok(Some(Lost::Written { path: file.path.clone(), rows }))
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Written { path, rows } => {
                let keys = counted(*rows, "key");
                write!(f, "{}: {keys} of which the log lost something", path.display())
            }
            Lost::NotYet => {
                f.write_str("what the log lost of it is written to a file when its node is READY")
            }
        }
    }
}
