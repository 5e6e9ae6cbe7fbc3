//! `drop-quarantine`: lists what was set aside, or deletes one of it.

use std::fmt::Write as _;

use indicatif::HumanBytes;

use super::disk::DiskArgs;
use super::failure::Failure;
use super::output::Output;
use crate::exit::Exit;
use crate::rocks;

/// Lists what a store set aside (a copy with records that the log lost, a damaged one), or deletes one of it;
/// also while its node runs
#[derive(Debug, clap::Args)]
pub(super) struct DropArgs {
    /// Which to delete, such as g3; none: list them
    generation: Option<String>,
    #[command(flatten)]
    disk: DiskArgs,
}

pub(super) fn run(args: &DropArgs) -> Result<Exit, Failure> {
    let DropArgs { generation, disk: DiskArgs { data, store } } = args;
    let aside = rocks::quarantined(data, store.as_str())?;
    let Some(generation) = generation else {
        let mut list = String::new();
        for rocks::Quarantined { generation, why, bytes } in &aside {
            writeln!(list, "{generation}  {}  {why}", HumanBytes(*bytes))
                .expect("a String takes every text");
        }
        Output::open().whole(&list).map_err(Failure::Output)?;
        return Ok(Exit::Success);
    };
    let named = |each: &rocks::Quarantined| each.generation.to_string() == *generation;
    let Some(found) = aside.into_iter().find(named) else {
        return Err(Failure::Usage(format!(
            "{generation} was not set aside by store {store}: without a name, this command lists what was"
        )));
    };
    rocks::drop_quarantined(data, store.as_str(), found.generation)?;
    let said = format!("{generation} is deleted, {} are free again\n", HumanBytes(found.bytes));
    Output::open().whole(&said).map_err(Failure::Output)?;
    Ok(Exit::Success)
}
