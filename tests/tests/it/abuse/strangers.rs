//! Callers whom no rule of access knows, in what is open to everybody: they take nothing that others need.

use std::fs;

use anyhow::{Context, Result, ensure};
use outrigger_client::Client;
use outrigger_tests::node::{Node, STORE};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::connections::allow_files;
use super::{in_time, run};

const TOKEN: &str = "0123456789abcdef-of-somebody";

struct Guarded {
    node: Node,
    _dir: TempDir,
}

impl Guarded {
    /// A node with rules and without a Kafka, which serves status and health.
    async fn start() -> Result<Guarded> {
        let dir = TempDir::new()?;
        let (config, tokens) = (dir.path().join("outrigger.toml"), dir.path().join("tokens"));
        fs::write(&tokens, format!("somebody {TOKEN}\n"))?;
        let settings = format!(
            "tokens_file = '{}'\n[[store]]\nname = '{STORE}'\n[[access]]\nwho = ['token:somebody']\nmay = ['read']\n",
            tokens.display()
        );
        fs::write(&config, settings)?;
        let config = config.to_str().context("a path of this test is text")?;
        let args = ["--bootstrap", "127.0.0.1:1", "--config", config];
        let mut node = Node::with_settings(dir.path(), "one", &args)?;
        node.start().await?;
        Ok(Guarded { node, _dir: dir })
    }

    async fn channel(&self) -> Result<Channel> {
        Ok(Endpoint::from_shared(self.node.url())?.connect().await?)
    }

    async fn somebody_is_answered(&self) -> Result<()> {
        let client = in_time("connecting", Client::connect(&self.node.url())).await??;
        client.set_bearer_token(Some(TOKEN))?;
        in_time("status", client.status()).await??;
        Ok(())
    }
}

/// A call without an end, which nobody is asked for.
async fn watch(channel: Channel) -> Result<Streaming<HealthCheckResponse>, Status> {
    let request = HealthCheckRequest { service: "liveness".to_owned() };
    let mut states = HealthClient::new(channel).watch(request).await?.into_inner();
    states.message().await?;
    Ok(states)
}

/// Connections that one address takes at a time.
const PLACES: usize = 256;

#[test]
fn strangers_who_watch_its_health_keep_no_place_that_somebody_known_asks_for() -> Result<()> {
    run(async {
        allow_files()?;
        let guarded = Guarded::start().await?;
        let (mut channels, mut watches) = (Vec::new(), Vec::new());
        for _ in 0..PLACES {
            let channel = guarded.channel().await?;
            // Those of the first connections find room, and the others are refused: both keep their connection.
            watches.push(in_time("a stranger", watch(channel.clone())).await?);
            channels.push(channel);
        }
        ensure!(watches.iter().any(Result::is_ok), "nobody is answered: {watches:?}");
        for _ in 0..3 {
            guarded.somebody_is_answered().await?;
        }
        Ok(())
    })
}

/// Calls that a connection may have open.
const CALLS: usize = 1_024;

#[test]
fn strangers_fill_no_room_that_somebody_known_asks_for() -> Result<()> {
    run(async {
        let guarded = Guarded::start().await?;
        let mut watches = Vec::new();
        let mut refused = 0;
        for _ in 0..5 {
            let channel = guarded.channel().await?;
            let mut calls = JoinSet::new();
            for _ in 0..CALLS {
                calls.spawn(watch(channel.clone()));
            }
            let answers = in_time("strangers", calls.join_all()).await?;
            for answer in answers {
                match answer {
                    Ok(watch) => watches.push(watch),
                    Err(status) => {
                        ensure!(status.code() == tonic::Code::ResourceExhausted, "{status}");
                        refused += 1;
                    }
                }
            }
            guarded.somebody_is_answered().await?;
        }
        ensure!(!watches.is_empty() && refused > 0, "{} and {refused}", watches.len());
        let mut health = HealthClient::new(guarded.channel().await?);
        let request = HealthCheckRequest { service: "liveness".to_owned() };
        in_time("a probe", health.check(request)).await??;
        Ok(())
    })
}
