//! What TLS costs: the same calls, the same stream of writes and the same restore from a peer with it and without it,
//! in turns. Both ends show certificates.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use outrigger_client::Tls;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use super::calls::{GET_LOCAL, Line, PUT, Server};
use super::records::{RECORD_BYTES, Records};
use super::restore::{count_rows, topic};
use super::{ROUNDS, median, peer, per_second, writes};
use crate::authority::Authority;
use crate::kafka::{Cluster, Topic, TopicSpec};
use crate::node::{Node, free_port};

/// Bytes of keys and values of the copy that a peer gives.
const COPY_BYTES: u64 = 1_000_000_000;

const DAY: Duration = Duration::from_secs(24 * 3_600);

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    calls_and_writes(cluster).await?;
    from_a_peer(cluster).await
}

/// One authority, and the certificate that everybody here shows.
pub(super) struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    fn make(directory: &Path) -> Result<Certificates> {
        let path = |name: &str| directory.join(name);
        let authority = Authority::new("bench")?;
        let pair = authority.issue("bench", &["127.0.0.1"], DAY)?;
        std::fs::write(path("ca.pem"), authority.pem()?)?;
        std::fs::write(path("all.pem"), pair.certificate)?;
        std::fs::write(path("all.key"), pair.key)?;
        let (certificate, key) = (path("all.pem"), path("all.key"));
        Ok(Certificates { authority: path("ca.pem"), certificate, key })
    }

    fn tls(&self) -> Tls {
        Tls::trusting(&self.authority).with_identity(&self.certificate, &self.key)
    }

    /// Flags of a node that shows the certificate, with the setting of the authority for those who come.
    fn flags(&self, authority: &str) -> Vec<String> {
        let pairs = [
            ("--tls-certificate", &self.certificate),
            ("--tls-key", &self.key),
            (authority, &self.authority),
        ];
        pairs.into_iter().flat_map(|(flag, path)| [flag.to_owned(), text(path)]).collect()
    }

    /// Makes the node speak TLS, and its callers here.
    pub(super) fn applied(&self, node: Node, authority: &str) -> Node {
        let flags = self.flags(authority);
        let mut node = node.with_args(&flags.iter().map(String::as_str).collect::<Vec<_>>());
        node.called_by(Some(self.tls()));
        node
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A READY node of a topic of its own.
struct Started {
    node: Node,
    server: Server,
    _topic: Topic,
}

impl Started {
    async fn start(
        cluster: &Cluster,
        place: &TempDir,
        name: &str,
        tls: Option<&Certificates>,
    ) -> Result<Started> {
        let topic = cluster.topic(&format!("bench-{name}"), TopicSpec::store())?;
        let node = Node::new(place.path(), name, &cluster.bootstrap(), topic.name())?;
        let mut node = match tls {
            Some(certificates) => certificates.applied(node, "--tls-client-ca"),
            None => node,
        };
        node.start().await?;
        node.until_ready().await?;
        let channel = match tls {
            Some(certificates) => {
                let connector = certificates.tls().connector();
                Endpoint::from_shared(node.url())?.connect_with_connector(connector).await?
            }
            None => Channel::from_shared(node.url())?.connect().await?,
        };
        let server = Server { channel, process: node.process()?, broker: None };
        Ok(Started { node, server, _topic: topic })
    }
}

async fn calls_and_writes(cluster: &Cluster) -> Result<()> {
    let place = TempDir::new()?;
    let certificates = Certificates::make(place.path())?;
    let plain = Started::start(cluster, &place, "plain", None).await?;
    let tls = Started::start(cluster, &place, "tls", Some(&certificates)).await?;
    let mut lines = [("Put, 100 bytes", PUT), ("Get LOCAL", GET_LOCAL)].map(|(name, call)| {
        [Line::new(name, &plain.server, call), Line::new(name, &tls.server, call)]
    });
    for line in lines.iter().flatten() {
        line.warm_up().await?;
    }
    for _ in 0..ROUNDS {
        for line in lines.iter_mut().flatten() {
            line.turn().await?;
        }
    }
    println!("CPU of the server for one call, 64 callers on one connection:");
    for [plain, tls] in &lines {
        let (without, with) = (plain.server_us(), tls.server_us());
        let (name, ratio) = (plain.name(), tls.to(plain));
        println!("{name:<34} {with:>6.1} us with TLS, {without:>6.1} us without, ratio {ratio:.2}");
    }

    let (mut rates, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    let stores = [tls.node.store().await?, plain.node.store().await?];
    for _ in 0..ROUNDS {
        let with = per_second(writes::STREAMED, writes::stream(&stores[0]).await?);
        let without = per_second(writes::STREAMED, writes::stream(&stores[1]).await?);
        ratios.push(with / without);
        rates[0].push(with);
        rates[1].push(without);
    }
    let [with, without] = rates.map(median);
    println!(
        "Write stream, 16+100 B: {with:.0} records/s with TLS, {without:.0} without, ratio {:.2}",
        median(ratios)
    );
    Ok(())
}

async fn from_a_peer(cluster: &Cluster) -> Result<()> {
    let records = COPY_BYTES / RECORD_BYTES;
    let topic = topic(cluster, Records::DISTINCT, records)?;
    let place = TempDir::new()?;
    let certificates = Certificates::make(place.path())?;
    let port = free_port()?;
    let wires = [None, Some((certificates, port))];
    let [mut plain, mut tls] = {
        let [plain, tls] = wires;
        [
            peer::Pair::start_over(cluster, &topic, records, plain).await?,
            peer::Pair::start_over(cluster, &topic, records, tls).await?,
        ]
    };
    let rows = count_rows(&plain.giver).await?;
    let (mut took, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    for _ in 0..ROUNDS {
        let with = tls.restore(rows).await?.0.took.as_secs_f64();
        let without = plain.restore(rows).await?.0.took.as_secs_f64();
        ratios.push(with / without);
        took[0].push(with);
        took[1].push(without);
    }
    let [with, without] = took.map(median);
    println!(
        "a copy of {} MB from a peer, start to READY: {with:.2} s with TLS, {without:.2} s without, ratio {:.2}",
        COPY_BYTES / 1_000_000,
        median(ratios)
    );
    Ok(())
}
