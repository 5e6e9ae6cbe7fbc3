//! `drop-quarantine`: lists what was set aside, or deletes one of it.

use std::path::PathBuf;

use indicatif::HumanBytes;

use super::failure::Failure;
use super::output::Output;
use crate::config::StoreName;
use crate::exit::Exit;
use crate::rocks;

/// Lists what a store set aside (a copy with records that the log lost, a damaged one), or deletes one of it;
/// also while its node runs
#[derive(Debug, clap::Args)]
pub(super) struct DropArgs {
    /// Which to delete, such as g3; none: list them
    generation: Option<String>,
    /// Data directory of the node
    #[arg(long, env = "OUTRIGGER_DATA", value_name = "DIR")]
    data: PathBuf,
    /// Store
    #[arg(long, env = "OUTRIGGER_STORE", value_name = "NAME", value_parser = StoreName::parse)]
    store: StoreName,
}

pub(super) fn run(args: &DropArgs) -> Result<Exit, Failure> {
    let DropArgs { generation, data, store } = args;
    let failed = |error: outrigger_core::store::StoreError| Failure::Disk(error.to_string());
    let aside = rocks::quarantined(data, store.as_str()).map_err(failed)?;
    let mut out = Output::open();
    let Some(generation) = generation else {
        let lines = aside.iter().try_for_each(|each| {
            let rocks::Quarantined { generation, why, bytes } = each;
            out.line(&format!("{generation}  {}  {why}", HumanBytes(*bytes)))
        });
        lines.and_then(|()| out.flush()).map_err(Failure::Output)?;
        return Ok(Exit::Success);
    };
    let named = |each: &rocks::Quarantined| each.generation.to_string() == *generation;
    let Some(found) = aside.into_iter().find(named) else {
        return Err(Failure::Usage(format!(
            "{generation} was not set aside by store {store}: without a name, this command lists what was"
        )));
    };
    rocks::drop_quarantined(data, store.as_str(), found.generation).map_err(failed)?;
    let line = format!("{generation} is deleted, {} are free again", HumanBytes(found.bytes));
    out.line(&line).and_then(|()| out.flush()).map_err(Failure::Output)?;
    Ok(Exit::Success)
}
