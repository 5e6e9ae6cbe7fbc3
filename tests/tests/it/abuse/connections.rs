//! Connections that make no call.

use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_client::Client;
use outrigger_tests::node::{Node, STORE, free_port};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{MINUTE, POLL, in_time, metric, run, until_metric};

/// These are more than an address takes at a time.
const SILENT: usize = 1_024;

struct Alone {
    node: Node,
    socket: PathBuf,
    metrics: u16,
    _dir: TempDir,
}

impl Alone {
    /// A node without a Kafka, which serves status and health.
    async fn start() -> Result<Alone> {
        let dir = TempDir::new()?;
        let (socket, metrics) = (dir.path().join("socket"), free_port()?);
        let args = ["--bootstrap", "127.0.0.1:1", "--store", STORE];
        let node = Node::with_settings(dir.path(), "one", &args)?;
        let address = format!("127.0.0.1:{metrics}");
        let socket_text = socket.to_string_lossy().into_owned();
        let mut node = node.with_args(&["--socket", &socket_text, "--metrics", &address]);
        node.start().await?;
        Ok(Alone { node, socket, metrics, _dir: dir })
    }

    fn silent(&self, count: usize) -> Result<Vec<TcpStream>> {
        allow_files()?;
        let address = self.node.url().trim_start_matches("http://").to_owned();
        (0..count).map(|_| Ok(TcpStream::connect(&address)?)).collect()
    }

    async fn answers(&self, address: &str) -> Result<()> {
        let client = in_time("connecting", Client::connect(address)).await??;
        in_time("status", client.status()).await??;
        Ok(())
    }
}

/// Lets this process have more files: it may have 1,024 at first.
pub(super) fn allow_files() -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only read and write the struct, which outlives them.
    let raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max.min(65_536);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
        }
    };
    ensure!(raised, "{}", std::io::Error::last_os_error());
    Ok(())
}

fn closed_metric(why: &str) -> String {
    format!(r#"outrigger_connections_closed_total{{listener="tcp",why="{why}"}}"#)
}

/// The sum of what the lines of a log count.
fn told_closed(log: &str) -> Result<f64> {
    let lines = log.lines().filter(|line| line.contains("connections that make no calls"));
    let counts = lines.filter_map(|line| line.split_once("closed=")?.1.split_whitespace().next());
    counts.map(|count| Ok(count.parse::<f64>()?)).sum()
}

#[test]
fn silent_connections_hold_nobody_up_and_are_cut() -> Result<()> {
    run(async {
        let mut alone = Alone::start().await?;
        let silent = alone.silent(SILENT)?;
        let socket = format!("unix://{}", alone.socket.display());
        for address in [&socket, &alone.node.url(), &socket, &alone.node.url()] {
            alone.answers(address).await?;
        }
        let channel = Channel::from_shared(alone.node.url())?.connect().await?;
        let mut health = HealthClient::new(channel);
        let request = HealthCheckRequest { service: "liveness".to_owned() };
        in_time("a probe", health.check(request)).await??;
        drop(health);

        let open = r#"outrigger_connections{listener="tcp"}"#;
        until_metric(alone.metrics, open, |open| open < 10.0).await?;
        until_metric(alone.metrics, &closed_metric("displaced"), |closed| closed >= 700.0).await?;
        until_metric(alone.metrics, &closed_metric("silent"), |closed| closed >= 200.0).await?;
        let told = alone.node.log().matches("connections that make no calls").count();
        ensure!((1..20).contains(&told), "told {told} times:\n{}", alone.node.log());
        drop(silent);

        let counted: f64 = ["displaced", "silent"]
            .into_iter()
            .map(|why| metric(alone.metrics, &closed_metric(why)))
            .try_fold(0.0, |sum, closed| anyhow::Ok(sum + closed?.unwrap_or_default()))?;
        let silent = alone.silent(SILENT / 4)?;
        ensure!(alone.node.stop()?.success());
        let sum = told_closed(&alone.node.log())?;
        ensure!(sum == counted, "{sum} told and {counted} counted:\n{}", alone.node.log());
        ensure!(!alone.node.log().contains("connections are cut"), "{}", alone.node.log());
        drop(silent);
        Ok(())
    })
}

/// An address takes this many at a time.
const PLACES: usize = 256;

#[test]
fn callers_through_tcp_leave_the_sockets_places_alone() -> Result<()> {
    run(async {
        let alone = Alone::start().await?;
        let mut callers = Vec::new();
        for _ in 0..PLACES {
            let client = Client::connect(&alone.node.url()).await?;
            let mut states = client.watch_status(MINUTE).await?;
            in_time("a state", states.next()).await?.context("the first state")??;
            callers.push((client, states));
        }
        let full = "all places for connections are taken";
        let _another = TcpStream::connect(alone.node.address())?;
        let deadline = Instant::now() + MINUTE;
        while !alone.node.log().contains(full) {
            ensure!(Instant::now() < deadline, "another found a place:\n{}", alone.node.log());
            tokio::time::sleep(POLL).await;
        }
        alone.answers(&format!("unix://{}", alone.socket.display())).await?;
        drop(callers);
        Ok(())
    })
}

#[test]
fn a_drain_does_not_wait_for_connections_that_are_idle() -> Result<()> {
    run(async {
        let mut alone = Alone::start().await?;
        let url = alone.node.url();
        let idle = [Client::connect(&url).await?, Client::connect(&url).await?];
        for client in &idle {
            client.status().await?;
        }
        ensure!(alone.node.stop()?.success());
        ensure!(!alone.node.log().contains("connections are cut"), "{}", alone.node.log());
        drop(idle);
        Ok(())
    })
}
