//! `reset`: deletes the copy of a store, so that its node begins anew.

use std::path::PathBuf;

use indicatif::HumanBytes;
use outrigger_core::store::StoreError;

use super::failure::Failure;
use super::output::Output;
use crate::config::StoreName;
use crate::exit::Exit;
use crate::rocks::{self, DataDir};

/// Deletes a store's copy on this node, which restores it from the log at its next start, or begins with another
/// topic. The node must be stopped. Without --yes it only tells what would be lost
#[derive(Debug, clap::Args)]
pub(super) struct ResetArgs {
    /// Do it
    #[arg(long)]
    yes: bool,
    /// Data directory of the node
    #[arg(long, env = "OUTRIGGER_DATA", value_name = "DIR")]
    data: PathBuf,
    /// Store
    #[arg(long, env = "OUTRIGGER_STORE", value_name = "NAME", value_parser = StoreName::parse)]
    store: StoreName,
}

pub(super) fn run(args: &ResetArgs) -> Result<Exit, Failure> {
    let ResetArgs { yes, data, store } = args;
    let failed = |error: StoreError| Failure::Disk(error.to_string());
    let owner = rocks::owner(data, store.as_str()).map_err(failed)?;
    let Some(owner) = owner else {
        let data = data.display();
        return Err(Failure::Usage(format!(
            "{data} has no copy of store {store}: nothing to reset"
        )));
    };
    let aside = rocks::quarantined(data, store.as_str()).map_err(failed)?;
    if let Some(first) = aside.first() {
        return Err(Failure::Usage(format!(
            "{} was set aside here ({}) and may be the only one that has some rows: look at it, then delete it by \
             `outrigger drop-quarantine`, or move it away",
            first.generation, first.why
        )));
    }
    let size = rocks::size_in_use(data, store.as_str()).map_err(failed)?.unwrap_or(0);
    let copy = format!("the copy of {owner}, {}", HumanBytes(size));
    if !yes {
        return Err(Failure::Usage(format!(
            "this would delete {copy}: what only this node has is then lost. Say --yes to do it"
        )));
    }
    let data = DataDir::lock(data).map_err(|error| Failure::Disk(error.to_string()))?;
    rocks::reset(&data, store.as_str()).map_err(failed)?;
    let mut out = Output::open();
    let line = format!("deleted: {copy}");
    out.line(&line).and_then(|()| out.flush()).map_err(Failure::Output)?;
    Ok(Exit::Success)
}
