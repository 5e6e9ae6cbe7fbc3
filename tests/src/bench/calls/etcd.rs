//! etcd beside ours: what an application would otherwise keep such state in. It is one node, as Debian packages it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tonic::transport::Channel;

use super::generator::{Call, encoded, key, value};
use crate::node::free_port;
use crate::process::Process;

const STARTED_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// The call that writes. etcd syncs its log before it answers; Kafka does not.
pub(in crate::bench) const PUT: Call = Call::new("/etcdserverpb.KV/Put", |number| {
    encoded(&PutRequest { key: key(number), value: value() })
});
/// A read of the node's own state, like our LOCAL.
pub(super) const SERIALIZABLE: Call = Call::new("/etcdserverpb.KV/Range", |number| {
    encoded(&RangeRequest { key: key(number), serializable: true })
});
/// A read of what the leader knows, like our LATEST.
pub(super) const LINEARIZABLE: Call = Call::new("/etcdserverpb.KV/Range", |number| {
    encoded(&RangeRequest { key: key(number), serializable: false })
});

/// What we set of etcd's messages, under the numbers of its API.
#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bool, tag = "7")]
    serializable: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// etcd's process, which is killed when this is dropped.
pub(in crate::bench) struct Etcd {
    pub(in crate::bench) channel: Channel,
    pub(super) process: Process,
}

impl Etcd {
    /// Starts it. None where it is not installed, which is said.
    pub(in crate::bench) async fn start(directory: &Path) -> Result<Option<Etcd>> {
        if Command::new("etcd").arg("--version").output().is_err() {
            println!("etcd is not installed (Debian: etcd-server): nothing stands beside ours");
            return Ok(None);
        }
        let (client, peer) = (free_port()?, free_port()?);
        let (client, peer) =
            (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut command = Command::new("etcd");
        command
            .arg("--data-dir")
            .arg(directory.join("etcd"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")]);
        let process = Process::start(command)?;
        let channel = Channel::from_shared(client)?.connect_lazy();
        let deadline = Instant::now() + STARTED_MAX;
        while let Err(error) = PUT.once(&channel, 0).await {
            ensure!(Instant::now() < deadline, "etcd did not start in time: {error:#}");
            tokio::time::sleep(POLL).await;
        }
        Ok(Some(Etcd { channel, process }))
    }

    /// The version, as it names itself.
    pub(super) fn version() -> Result<String> {
        let output = Command::new("etcd").arg("--version").output().context("asking etcd")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().find_map(|line| line.strip_prefix("etcd Version: "));
        Ok(version.context("etcd does not say its version")?.to_owned())
    }
}
