//! `demo`: a minute that shows what this is for.

use clap::builder::RangedU64ValueParser;

use super::failure::Failure;
use crate::demo::{self, DemoConfig};
use crate::exit::Exit;
use crate::telemetry;
use crate::telemetry::{LogConfig, LogFormat};

/// Shows it all in less than a minute, without Kafka: a node loses its disk and gets everything back
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// Distinct keys to write; half as many overwrites and a tenth as many deletes come on top
    #[arg(long, value_name = "NUMBER", default_value = "200000", value_parser = RangedU64ValueParser::<u64>::new().range(1..=5_000_000))]
    keys: u64,
    /// Keep the files of log and nodes, and say where they are
    #[arg(long)]
    keep: bool,
}

pub(super) async fn run(args: DemoArgs) -> Result<Exit, Failure> {
    let _logging = telemetry::start_logging(&LogConfig {
        format: LogFormat::Text,
        filter: "error".to_owned(),
        node: None,
    })?;
    let DemoArgs { keys, keep } = args;
    Ok(demo::run(DemoConfig { keys, keep }).await?)
}
