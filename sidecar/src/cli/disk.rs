//! Which copy a command means that works on the disk, without a node.

use std::path::PathBuf;

use crate::config::StoreName;

#[derive(Debug, clap::Args)]
pub(super) struct DiskArgs {
    /// Data directory of the node
    #[arg(long, env = "OUTRIGGER_DATA", value_name = "DIR")]
    pub(super) data: PathBuf,
    /// Store
    #[arg(long, env = "OUTRIGGER_STORE", value_name = "NAME", value_parser = StoreName::parse)]
    pub(super) store: StoreName,
}
