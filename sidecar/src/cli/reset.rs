//! `reset`: deletes the copy of a store, so that its node begins anew.

use indicatif::HumanBytes;

use super::failure::Failure;
use super::output::Output;
use crate::advice;
use crate::config::DiskArgs;
use crate::exit::Exit;
use crate::rocks::{self, DataDir};

/// Deletes a store's copy on this node, which restores it from the log at its next start, or begins with another
/// topic. The node must be stopped. Without --yes it only tells what would be lost
#[derive(Debug, clap::Args)]
pub(super) struct ResetArgs {
    /// Do it
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    disk: DiskArgs,
}

pub(super) fn run(args: &ResetArgs) -> Result<Exit, Failure> {
    let ResetArgs { yes, disk } = args;
    let (data, store) = &disk.resolve()?;
    let owner = rocks::owner(data, store.as_str())?;
    let Some(owner) = owner else {
        let data = data.display();
        return Err(Failure::Usage(format!(
            "{data} has no copy of store {store}: nothing to reset"
        )));
    };
    let aside = rocks::quarantined(data, store.as_str())?;
    if let Some(first) = aside.first() {
        return Err(Failure::Usage(format!(
            "{generation} was set aside here ({}) and may be the only one that has some rows: look at it, then delete \
             it by `outrigger drop-quarantine{} {generation}`, or move it away",
            first.why,
            advice::place(data, store.as_str()),
            generation = first.generation
        )));
    }
    if let Some(file) = rocks::lost_files(data, store.as_str())?.first() {
        // Generations would be counted from 1 again: the next one of this number would seem to be told of already.
        return Err(Failure::Usage(format!(
            "{} tells what the log lost: look at it, then delete it or move it away",
            file.path.display()
        )));
    }
    let size = rocks::size_in_use(data, store.as_str())?.unwrap_or(0);
    let copy = format!("the copy of {owner}, {}", HumanBytes(size));
    if !yes {
        let told = format!(
            "this would delete {copy}: what only this node has is then lost. Say --yes to do it\n"
        );
        Output::open().whole(&told).map_err(Failure::Output)?;
        return Ok(Exit::Success);
    }
    rocks::reset(&DataDir::lock(data)?, store.as_str())?;
    Output::open().whole(&format!("deleted: {copy}\n")).map_err(Failure::Output)?;
    Ok(Exit::Success)
}
