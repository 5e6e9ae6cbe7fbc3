//! Nodes that know each other by certificates: an address of their own, and copies for nobody else.

use std::time::Duration;

use anyhow::{Result, ensure};
use outrigger_client::{Client, Tls};
use outrigger_tests::authority::Authority;
use outrigger_tests::host::Host;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::left_out::left_out;
use outrigger_tests::node::{Node, free_port};

use super::forward::{first_rows, first_store, row};
use crate::abuse::until_metric;
use crate::e2e::peers::{SECRET, SLOW};
use crate::e2e::{Place, run};
use crate::site::{is_root, text, until_logged};

const DAY: Duration = Duration::from_secs(24 * 3_600);

const NAME: &str = "nodes.test";

const HANDSHAKES: &str = "outrigger_connections_closed_total{listener=\"peers\",why=\"handshake\"}";

/// A READY node that gives to peers, and whatever another one needs.
struct Site {
    place: Place,
    nodes: Authority,
    giver: Node,
    peer_port: u16,
    metrics: u16,
}

impl Site {
    async fn ready(name: &str, args: &[&str]) -> Result<Site> {
        let (place, nodes) = (Place::new(name, TopicSpec::store())?, Authority::new("nodes")?);
        place.fill()?;
        let giver = place.node("giver")?;
        let (peer_port, metrics) = (free_port()?, free_port()?);
        let mut site = Site { place, nodes, giver, peer_port, metrics };
        std::fs::write(site.path("nodes.pem"), site.nodes.pem()?)?;
        let giver = site.node("giver", &site.nodes)?;
        let giver = giver.with_args(&[
            "--peer-listen",
            &format!("127.0.0.1:{}", site.peer_port),
            "--metrics",
            &format!("127.0.0.1:{}", site.metrics),
        ]);
        site.giver = giver.with_args(args);
        site.giver.start().await?;
        site.giver.until_ready().await?;
        Ok(site)
    }

    fn path(&self, file: &str) -> String {
        self.place.dir.path().join(file).display().to_string()
    }

    fn peer_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.peer_port)
    }

    /// A node whose certificate is of this authority, not started.
    fn node(&self, name: &str, authority: &Authority) -> Result<Node> {
        let pair = authority.issue(name, &["127.0.0.1"], DAY)?;
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        std::fs::write(self.path(&certificate), pair.certificate)?;
        std::fs::write(self.path(&key), pair.key)?;
        std::fs::write(self.path(&format!("{name}-ca.pem")), authority.pem()?)?;
        let mut node = self.place.node(name)?.with_args(&[
            "--tls-certificate",
            &self.path(&certificate),
            "--tls-key",
            &self.path(&key),
            "--peer-ca",
            &self.path("nodes.pem"),
        ]);
        node.called_by(Some(Tls::trusting(self.path(&format!("{name}-ca.pem")))));
        Ok(node)
    }
}

#[test]
fn a_wiped_node_takes_its_copy_from_a_peer_that_it_knows_by_certificate() -> Result<()> {
    run(async {
        let mut site = Site::ready("tls-peers", &SLOW).await?;
        let mut taker = site.node("taker", &site.nodes)?.with_args(&["--peers", &site.peer_url()]);
        taker.spawn()?;
        // Until its own copy is there it answers from that peer's.
        ensure!(row(&first_store(&taker).await?).await?.1 == Some(site.peer_url()));
        taker.until_ready().await?;
        until_logged(&taker, "a peer gave its copy").await?;

        let peer = site.peer_url();
        let doctor = text(&taker.look("doctor")?);
        ensure!(doctor.contains(&format!("good  the peer {peer} answers")), "{doctor}");
        site.giver.kill()?;
        let doctor = text(&taker.look("doctor")?);
        ensure!(doctor.contains(&format!("warn  the peer {peer} gives no copy")), "{doctor}");
        Ok(())
    })
}

/// Behind one name are the node itself, which has nothing, and one that has all.
#[test]
fn a_name_stands_for_all_nodes_that_it_has_addresses_of() -> Result<()> {
    if !is_root() {
        return left_out("only root gives a process another /etc/hosts");
    }
    run(async {
        let place = Place::new("peers-by-name", TopicSpec::store())?;
        place.fill()?;
        let (secret, hosts) = (place.secret("secret", SECRET)?, place.dir.path().join("hosts"));
        std::fs::write(&hosts, "127.0.0.2 nodes.test\n127.0.0.3 nodes.test\n")?;
        let secret = ["--peer-secret-file", &secret.display().to_string()];
        let giver = place.node("giver")?.on(Host::also_local(3)).with_args(&secret);
        let mut giver = giver.with_args(&SLOW);
        giver.start().await?;
        giver.until_ready().await?;
        let port = giver.address().port();
        let mut taker = place.node("taker")?.on(Host::also_local(2)).at(port).with_args(&secret);
        taker = taker.with_args(&["--peers", &format!("http://nodes.test:{port}")]);
        taker.know_hosts(hosts);
        taker.spawn()?;
        ensure!(row(&first_store(&taker).await?).await?.1 == Some(giver.url()));
        taker.until_ready().await?;
        until_logged(&taker, "a peer gave its copy").await?;
        until_logged(&taker, &giver.url()).await?;
        Ok(())
    })
}

/// The name is all that their certificates have, and what the rules know them by: as behind a headless service.
#[test]
fn behind_a_name_each_node_proves_that_name() -> Result<()> {
    if !is_root() {
        return left_out("only root gives a process another /etc/hosts");
    }
    run(async {
        let (place, nodes) =
            (Place::new("tls-by-name", TopicSpec::store())?, Authority::new("nodes")?);
        place.fill()?;
        let path = |file: &str| place.dir.path().join(file).display().to_string();
        let pair = nodes.issue("node", &[NAME], DAY)?;
        let rules = format!(
            "[[access]]\nwho = ['dns:{NAME}']\nmay = ['peer']\n[[access]]\nwho = ['anyone']\nmay = ['read', 'admin']\n"
        );
        std::fs::write(path("hosts"), format!("127.0.0.2 {NAME}\n127.0.0.3 {NAME}\n"))?;
        std::fs::write(path("nodes.pem"), nodes.pem()?)?;
        std::fs::write(path("node.pem"), pair.certificate)?;
        std::fs::write(path("node.key"), pair.key)?;
        std::fs::write(path("rules.toml"), rules)?;
        let port = free_port()?;
        let node = |name: &str, last: u8| -> Result<Node> {
            let listen = format!("127.0.0.{last}:{port}");
            let mut node = place.node(name)?.on(Host::also_local(last)).with_args(&[
                "--config",
                &path("rules.toml"),
                "--tls-certificate",
                &path("node.pem"),
                "--tls-key",
                &path("node.key"),
                "--peer-ca",
                &path("nodes.pem"),
                "--peer-listen",
                &listen,
                "--peers",
                &format!("https://{NAME}:{port}"),
            ]);
            node.know_hosts(path("hosts").into());
            node.called_by(Some(Tls::trusting(path("nodes.pem")).with_server_name(NAME)));
            Ok(node)
        };
        let mut giver = node("giver", 3)?.with_args(&SLOW);
        giver.start().await?;
        giver.until_ready().await?;
        let given_by = format!("https://127.0.0.3:{port}");
        let mut taker = node("taker", 2)?;
        taker.spawn()?;
        let store = first_store(&taker).await?;
        ensure!(row(&store).await?.1.as_deref() == Some(given_by.as_str()));
        ensure!(first_rows(&store, 3).await?.1.as_deref() == Some(given_by.as_str()));
        taker.until_ready().await?;
        until_logged(&taker, "a peer gave its copy").await?;
        until_logged(&taker, &given_by).await?;
        Ok(())
    })
}

#[test]
fn nobody_else_is_given_a_copy() -> Result<()> {
    run(async {
        let site = Site::ready("tls-no-peers", &[]).await?;

        // Another authority's nodes.
        let others = Authority::new("others")?;
        let mut stranger =
            site.node("stranger", &others)?.with_args(&["--peers", &site.peer_url()]);
        stranger.start().await?;
        stranger.until_ready().await?;
        until_logged(&stranger, "no peer gave a copy").await?;
        until_metric(site.metrics, HANDSHAKES, |failed| failed >= 1.0).await?;

        // A node that asks where everybody calls.
        let url = site.giver.url();
        let mut mistaken = site.node("mistaken", &site.nodes)?.with_args(&["--peers", &url]);
        mistaken.start().await?;
        mistaken.until_ready().await?;
        until_logged(&mistaken, "it gives no copies at this address").await?;

        // One that trusts peers, listens to none, and has no secret: who asks it cannot be told from anybody else.
        let mistaken_url = mistaken.url();
        let mut last = site.node("last", &site.nodes)?.with_args(&["--peers", &mistaken_url]);
        last.start().await?;
        last.until_ready().await?;
        until_logged(&last, "it gives no copies at this address").await?;

        // A caller, where only nodes ask, and only for copies.
        let (certificate, key) = (site.path("giver.pem"), site.path("giver.key"));
        let node = Tls::trusting(site.path("nodes.pem")).with_identity(certificate, key);
        let client = Client::connect_tls(&site.peer_url(), &node).await?;
        let refused = client.status().await.err();
        let told = refused.map(|error| error.to_string()).unwrap_or_default();
        ensure!(told.contains("does not know this service"), "{told:?}");
        Ok(())
    })
}
