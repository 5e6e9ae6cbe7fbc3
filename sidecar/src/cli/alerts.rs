//! `alerts`: the rules for Prometheus that belong to this version.

use super::failure::Failure;
use super::output::Output;
use crate::exit::Exit;
use crate::telemetry::alerts;

/// Prints alerting rules for Prometheus, each with what to do
#[derive(Debug, clap::Args)]
pub(super) struct AlertsArgs {}

pub(super) fn run(AlertsArgs {}: &AlertsArgs) -> Result<Exit, Failure> {
    Output::open().whole(&alerts::rules()).map_err(Failure::Output)?;
    Ok(Exit::Success)
}
