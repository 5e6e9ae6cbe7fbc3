//! `plan`: what `serve` with the same settings would decide now.

use super::failure::Failure;
use super::output::Output;
use crate::config::ServeArgs;
use crate::exit::Exit;
use crate::plan;

/// Tells what a start would do with the data directory, and why, and does nothing. Takes the settings of `serve`
#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    serve: ServeArgs,
}

pub(super) async fn run(args: PlanArgs) -> Result<Exit, Failure> {
    let config = args.serve.resolve()?;
    let planned = tokio::task::spawn_blocking(move || plan::run(&config)).await;
    let (text, exit) = planned.expect("planning does not panic")?;
    Output::open().whole(&text).map_err(Failure::Output)?;
    Ok(exit)
}
