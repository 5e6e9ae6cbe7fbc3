//! `throttle`, `cancel`, `continue`: what an operator does to a running restore. `release`: an application that is done.

use std::num::NonZeroU64;

use indicatif::HumanBytes;
use outrigger_client::Released;

use super::failure::Failure;
use super::output::Output;
use super::target::Target;
use crate::config::{RateError, parse_rate};
use crate::exit::Exit;

/// Sets how fast the restores of a node read from the log, all its stores together, until its process ends
#[derive(Debug, clap::Args)]
pub(super) struct ThrottleArgs {
    /// What they may read per second, such as 10MiB, or `off`
    #[arg(value_parser = Rate::parse)]
    rate: Rate,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, Debug)]
struct Rate(Option<NonZeroU64>);

impl Rate {
    fn parse(text: &str) -> Result<Rate, RateError> {
        parse_rate(text).map(Rate)
    }
}

/// Stops a store's restore, until `continue` or the end of the process; what is on disk is kept
#[derive(Debug, clap::Args)]
pub(super) struct CancelArgs {
    #[command(flatten)]
    target: Target,
}

/// Lets a cancelled restore go on from what is on disk
#[derive(Debug, clap::Args)]
pub(super) struct ContinueArgs {
    #[command(flatten)]
    target: Target,
}

/// Tells a node that the application beside it is done, so that it does not wait for more calls when it is told to stop
///
/// A node that was told to stop, and serves on for its drain delay, drains at once. Any other node serves as before; the
/// release is forgotten when it is read or written again.
#[derive(Debug, clap::Args)]
pub(super) struct ReleaseArgs {
    #[command(flatten)]
    target: Target,
}

pub(super) async fn throttle(args: ThrottleArgs) -> Result<Exit, Failure> {
    let Rate(rate) = args.rate;
    args.target.client().await?.throttle(rate).await.map_err(Failure::Read)?;
    let told = match rate {
        Some(rate) => format!("restores read at most {} a second", HumanBytes(rate.get())),
        None => "restores read as fast as they can".to_owned(),
    };
    say(&told)
}

pub(super) async fn cancel(args: CancelArgs) -> Result<Exit, Failure> {
    args.target.store().await?.cancel_restore().await.map_err(Failure::Read)?;
    say("the restore is cancelled; `outrigger continue` lets it go on from what is on disk")
}

pub(super) async fn go_on(args: ContinueArgs) -> Result<Exit, Failure> {
    args.target.store().await?.continue_restore().await.map_err(Failure::Read)?;
    say("the restore goes on from what is on disk")
}

pub(super) async fn release(args: ReleaseArgs) -> Result<Exit, Failure> {
    let told = match args.target.client().await?.release().await.map_err(Failure::Read)? {
        Released::Draining => "the node was told to stop, and drains now",
        Released::Remembered => {
            "the node serves as before, and drains without its drain delay when it is told to stop"
        }
    };
    say(told)
}

fn say(line: &str) -> Result<Exit, Failure> {
    let mut out = Output::open();
    out.line(line).and_then(|()| out.flush()).map_err(Failure::Output)?;
    Ok(Exit::Success)
}
