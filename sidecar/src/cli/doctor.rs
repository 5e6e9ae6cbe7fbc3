//! `doctor`: what is well around a node, and what is not.

use super::failure::Failure;
use super::output::Output;
use crate::config::ServeArgs;
use crate::doctor;
use crate::exit::Exit;

/// Looks at topic, brokers, disk, copy and clock, a line each with what to do. Takes the settings of `serve`
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    serve: ServeArgs,
}

pub(super) async fn run(args: DoctorArgs) -> Result<Exit, Failure> {
    let config = args.serve.resolve()?;
    let found = tokio::task::spawn_blocking(move || doctor::run(&config)).await;
    let (text, exit) = found.expect("the doctor does not panic")?;
    Output::open().whole(&text).map_err(Failure::Output)?;
    Ok(exit)
}
