//! `dev`: a small cluster to play with, kept on disk.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;

use super::failure::Failure;
use crate::dev::{self, DevConfig};
use crate::exit::Exit;
use crate::telemetry;
use crate::telemetry::{LogConfig, LogFormat};

/// Runs a small cluster without Kafka, with a prompt to break it: kill N, wipe N, start N, status, quit
///
/// The nodes and the log that stands in for Kafka are in this one process and keep their data over a restart.
/// Orders may also come through a pipe; the end of standard input ends the cluster, as ctrl-c does.
#[derive(Debug, clap::Args)]
pub(super) struct DevArgs {
    /// How many nodes
    #[arg(long, value_name = "NUMBER", default_value = "3", value_parser = RangedU64ValueParser::<u16>::new().range(1..=9))]
    nodes: u16,
    /// Where log and nodes keep their data [default: $XDG_DATA_HOME/outrigger/dev, or ~/.local/share/outrigger/dev]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Port of the first node; the others follow. One that is taken is replaced by a free one
    #[arg(long, value_name = "PORT", default_value = "7400", value_parser = RangedU64ValueParser::<u16>::new().range(1_024..))]
    port: u16,
}

/// The level of the nodes' log. The prompt is for people: what a node says beyond that is for when something is wrong.
const LOG: &str = "error";

pub(super) async fn run(args: DevArgs) -> Result<Exit, Failure> {
    let _logging = telemetry::start_logging(&LogConfig {
        format: LogFormat::Text,
        filter: LOG.to_owned(),
        node: None,
    })?;
    let DevArgs { nodes, data, port } = args;
    Ok(dev::run(DevConfig { nodes, data, port }).await?)
}
