//! `status`: how a node and its stores are, once or as it changes, for people or as JSON.

mod follow;
pub(super) mod text;

use std::time::Duration;

use outrigger_client::{Client, NodeStatus};

pub(super) use self::follow::is_gone;

use super::failure::Failure;
use super::output::Output;
use super::target::Target;
use crate::exit::Exit;
use crate::shown::json;

/// The interval between two changes: a bar that moves several times a second looks alive.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);

/// Shows phase, lag, age and restore of the node's stores (all, or the one of --store)
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Show every change until interrupted, as a progress bar on a terminal
    #[arg(long)]
    follow: bool,
    /// One JSON object; with --follow one a line
    #[arg(long)]
    json: bool,
    /// Show the digest of each copy too, to compare nodes; this reads every row
    #[arg(long, conflicts_with = "follow")]
    digest: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(args: StatusArgs) -> Result<Exit, Failure> {
    if args.follow {
        follow::run(&args.target, args.json).await
    } else {
        once(&args.target.client().await?, &args).await
    }
}

async fn once(client: &Client, args: &StatusArgs) -> Result<Exit, Failure> {
    let mut node = look(client, args.target.name()).await?;
    if args.digest {
        for store in &mut node.stores {
            let with_digest = client.store(&store.store).status_with_digest().await;
            *store = with_digest.map_err(Failure::Read)?;
        }
    }
    let mut out = Output::open();
    let printed = if args.json {
        out.line(&json::node(&node).to_string())
    } else {
        out.bytes(text::node(&node).as_bytes())
    };
    printed.and_then(|()| out.flush()).map_err(Failure::Output)?;
    Ok(Exit::Success)
}

/// Asks for the store that is named, or for all: a caller may have rights on the one alone.
async fn look(client: &Client, name: Option<&str>) -> Result<NodeStatus, Failure> {
    let asked = match name {
        Some(name) => client.status_of(name).await,
        None => client.status().await,
    };
    asked.map_err(Failure::Read)
}
