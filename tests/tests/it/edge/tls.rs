//! TLS on the node's address: who gets in, what a renewal changes, and what ends when a certificate does.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::{Client, ErrorKind, Tls};
use outrigger_tests::authority::Authority;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, free_port};

use crate::abuse::until_metric;
use crate::e2e::{MINUTE, Place, run};
use crate::site::until_logged;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

const HANDSHAKES: &str = "outrigger_connections_closed_total{listener=\"tcp\",why=\"handshake\"}";
const EXPIRED: &str = "outrigger_connections_closed_total{listener=\"tcp\",why=\"expired\"}";

/// A node that asks callers for certificates, and both authorities.
struct Site {
    place: Place,
    nodes: Authority,
    callers: Authority,
    node: Node,
    metrics: u16,
}

impl Site {
    async fn ready(name: &str) -> Result<Site> {
        let place = Place::new(name, TopicSpec::store())?;
        let (node, metrics) = (place.node(name)?, free_port()?);
        let (nodes, callers) = (Authority::new("nodes")?, Authority::new("callers")?);
        let mut site = Site { place, nodes, callers, node, metrics };
        site.put("nodes.pem", &site.nodes.pem()?)?;
        site.put("callers.pem", &site.callers.pem()?)?;
        site.issue_node(&site.nodes)?;
        site.issue_caller("caller", YEAR)?;
        let path = |file: &str| site.path(file).display().to_string();
        let args = ["node.pem", "node.key", "callers.pem"].map(path);
        let metrics = format!("127.0.0.1:{}", site.metrics);
        let args =
            ["--tls-certificate", &args[0], "--tls-key", &args[1], "--tls-client-ca", &args[2]];
        site.node = site.place.node(name)?.with_args(&args).with_args(&["--metrics", &metrics]);
        let caller = site.caller("caller");
        site.node.called_by(Some(caller));
        site.node.start().await?;
        site.node.until_ready().await?;
        Ok(site)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.place.dir.path().join(file)
    }

    /// Replaces a file at once, as those who renew do.
    fn put(&self, file: &str, bytes: &[u8]) -> Result<()> {
        fs::write(self.path("new"), bytes)?;
        Ok(fs::rename(self.path("new"), self.path(file))?)
    }

    fn issue_node(&self, authority: &Authority) -> Result<()> {
        let pair = authority.issue("node", &["127.0.0.1"], YEAR)?;
        self.put("node.pem", &pair.certificate)?;
        self.put("node.key", &pair.key)
    }

    fn issue_caller(&self, name: &str, life: Duration) -> Result<()> {
        let pair = self.callers.issue(name, &["spiffe://td/orders"], life)?;
        self.put(&format!("{name}.pem"), &pair.certificate)?;
        self.put(&format!("{name}.key"), &pair.key)
    }

    fn caller(&self, name: &str) -> Tls {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        Tls::trusting(self.path("nodes.pem"))
            .with_identity(self.path(&certificate), self.path(&key))
    }

    /// Somebody who comes so is never answered, and hears this of why. A caller that sends its call before it reads the
    /// node's alert may hear no more than that the connection was closed, and comes again.
    async fn refuses(&self, tls: &Tls, because: &str) -> Result<()> {
        let deadline = Instant::now() + MINUTE;
        loop {
            let told = self.refusal(tls).await?;
            if told.contains(because) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{because:?} is not in {told:?}");
        }
    }

    async fn refusal(&self, tls: &Tls) -> Result<String> {
        let answered = match Client::connect_tls(&self.node.url(), tls).await {
            // Whoever shows a certificate hears with its first call what the node says of it.
            Ok(client) => client.status().await.map(|_status| ()),
            Err(error) => Err(error),
        };
        let error = answered.err().context("the node has answered a stranger")?;
        ensure!(!error.may_have_happened(), "nothing was sent: {error}");
        Ok(error.to_string())
    }
}

#[test]
fn strangers_get_nothing_and_both_sides_say_why() -> Result<()> {
    run(async {
        let site = Site::ready("tls-strangers").await?;
        site.node.store().await?.put("k", "v").await?;

        let plain = format!("http://{}", site.node.address());
        let plain = match Client::connect(&plain).await {
            Ok(client) => client.status().await.err().context("it was answered in plain text")?,
            Err(error) => error,
        };
        ensure!(matches!(plain.kind(), ErrorKind::Broken | ErrorKind::Unreachable), "{plain}");

        site.refuses(&Tls::trusting(site.path("nodes.pem")), "CertificateRequired").await?;
        site.put("others.pem", &Authority::new("others")?.pem()?)?;
        site.refuses(&Tls::trusting(site.path("others.pem")), "UnknownIssuer").await?;
        site.refuses(&site.caller("caller").with_server_name("b.example"), "not valid for name")
            .await?;
        let foreign = site.nodes.issue("foreign", &[], YEAR)?;
        site.put("foreign.pem", &foreign.certificate)?;
        site.put("foreign.key", &foreign.key)?;
        site.refuses(&site.caller("foreign"), "alert").await?;
        site.issue_caller("old", Duration::ZERO)?;
        site.refuses(&site.caller("old"), "Expired").await?;

        until_metric(site.metrics, HANDSHAKES, |failed| failed >= 5.0).await?;
        until_logged(&site.node, "handshakes of TLS came to nothing").await?;
        site.node.store().await?.put("k", "v").await?;
        Ok(())
    })
}

#[test]
fn a_renewed_pair_is_for_new_connections_and_no_stream_is_dropped() -> Result<()> {
    run(async {
        let site = Site::ready("tls-renewed").await?;
        let store = site.node.store().await?;
        let (writer, mut written) = (store.writer(), 0_u32);
        let mut write = async |times: u32| -> Result<()> {
            for _ in 0..times {
                written += 1;
                writer.put(format!("k{written}"), "v").await?.await?;
            }
            Ok(())
        };
        write(10).await?;

        // From here on the node is vouched for by others. Half of that is no pair, and is not used.
        let others = Authority::new("others")?;
        let pair = others.issue("node", &["127.0.0.1"], YEAR)?;
        site.put("node.pem", &pair.certificate)?;
        until_logged(&site.node, "files of TLS have changed and are not used").await?;
        until_metric(site.metrics, "outrigger_tls_files_refused{listen=\"listen\"}", |refused| {
            refused == 1.0
        })
        .await?;
        site.node.client().await?.status().await?;
        site.put("node.key", &pair.key[..pair.key.len() / 2])?;
        write(10).await?;
        site.put("node.key", &pair.key)?;
        until_logged(&site.node, "files of TLS were renewed").await?;
        until_metric(site.metrics, "outrigger_tls_files_refused{listen=\"listen\"}", |refused| {
            refused == 0.0
        })
        .await?;
        write(10).await?;

        site.refuses(&site.caller("caller"), "UnknownIssuer").await?;
        site.put("nodes.pem", &others.pem()?)?;
        let rows = site.node.store().await?;
        rows.resume(store.token().context("the stream has written")?)?;
        ensure!(rows.get("k30").await?.is_some(), "what the stream has written is there");
        // The stream's own connection is the first one still.
        write(10).await?;
        writer.finish().await?;
        Ok(())
    })
}

#[test]
fn what_a_caller_has_open_ends_with_its_certificate() -> Result<()> {
    run(async {
        let site = Site::ready("tls-expired").await?;
        let life = Duration::from_secs(20);
        site.issue_caller("short", life)?;
        let short = Client::connect_tls(&site.node.url(), &site.caller("short")).await?;
        let began = Instant::now();
        let mut watched = short.watch_status(Duration::from_millis(100)).await?;
        while let Some(Ok(_)) = watched.next().await {
            ensure!(began.elapsed() < MINUTE, "its certificate ended long ago");
        }
        ensure!(began.elapsed() >= life - Duration::from_secs(2), "{:?}", began.elapsed());
        until_metric(site.metrics, EXPIRED, |expired| expired == 1.0).await?;
        site.refuses(&site.caller("short"), "Expired").await?;
        // A renewed one is read with the next connection.
        site.issue_caller("short", YEAR)?;
        let deadline = Instant::now() + MINUTE;
        // Its first call may still meet the connection that was ended.
        while let Err(error) = short.status().await {
            ensure!(Instant::now() < deadline, "{error}");
        }
        Ok(())
    })
}

#[test]
fn handshakes_that_never_end_keep_nobody_out() -> Result<()> {
    run(async {
        let site = Site::ready("tls-silent").await?;
        let silent: Vec<_> =
            (0..300).map(|_| TcpStream::connect(site.node.address())).collect::<Result<_, _>>()?;
        for _ in 0..5 {
            site.node.client().await?.status().await?;
        }
        drop(silent);
        Ok(())
    })
}
