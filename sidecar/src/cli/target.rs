//! Which store of which node a client command talks to, and for how long.

use std::time::Duration;

use clap::ValueEnum;
use outrigger_client::{Client, Level, Store};

use super::failure::Failure;
use crate::config::parse_duration;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Target {
    /// The node: http://HOST:PORT or unix:///PATH
    #[arg(
        long,
        env = "OUTRIGGER_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:7400"
    )]
    server: String,

    /// The store; may be left out when the node has only one
    #[arg(
        long,
        env = "OUTRIGGER_STORE",
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    store: String,

    /// How long one call may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
}

impl Target {
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        Client::connect(&self.server).await.map_err(Failure::Read)
    }

    /// A handle on the store. That nobody answers at the address is told now: nothing was sent yet.
    pub(super) async fn store(&self) -> Result<Store, Failure> {
        let store = self.client().await?.store(&self.store);
        Ok(store.with_read_deadline(self.timeout).with_write_deadline(self.timeout))
    }

    /// `None`: all stores, or the only one.
    pub(super) fn name(&self) -> Option<&str> {
        Some(self.store.as_str()).filter(|name| !name.is_empty())
    }
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Freshness {
    /// How fresh the answer must be
    #[arg(long, value_enum, default_value = "local")]
    level: LevelName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LevelName {
    /// Whatever copy the node has, also while it restores
    Stale,
    /// The node's copy, which must be READY
    Local,
    /// Everything that the leader of the log had committed when asked
    Latest,
}

impl Freshness {
    pub(super) fn level(self) -> Level {
        match self.level {
            LevelName::Stale => Level::Stale,
            LevelName::Local => Level::Local,
            LevelName::Latest => Level::Latest,
        }
    }
}
