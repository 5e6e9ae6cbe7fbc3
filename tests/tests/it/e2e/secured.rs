//! A Kafka that asks who the node is and what it may: TLS, SCRAM, OAUTHBEARER and ACLs on a real broker.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::proto::v1::{Phase, StallKind};
use outrigger_client::{Error, ErrorKind, Level, Store, StoreStatus};
use outrigger_tests::kafka::{Cluster, Topic, TopicSpec, Way};
use outrigger_tests::left_out::left_out;
use outrigger_tests::node::{Node, STORE, binary, free_port};
use outrigger_tests::process::Process;
use tempfile::TempDir;

use super::{MINUTE, POLL, has_stall, run};
use crate::site::is_root;

const LEAST: [&str; 4] = ["Read", "Write", "Describe", "DescribeConfigs"];

fn settings(pairs: &[String]) -> Vec<&str> {
    pairs.iter().flat_map(|pair| ["--kafka", pair]).collect()
}

struct Place {
    cluster: &'static Cluster,
    topic: Topic,
    dir: TempDir,
}

impl Place {
    fn new(name: &str) -> Result<Place> {
        let cluster = Cluster::secured()?;
        let topic = cluster.topic(name, TopicSpec::store())?;
        Ok(Place { cluster, topic, dir: TempDir::new()? })
    }

    fn node(&self, way: Way, pairs: &[String]) -> Result<Node> {
        let node = Node::new(self.dir.path(), "one", &self.cluster.way(way)?, self.topic.name())?;
        Ok(node.with_args(&settings(pairs)))
    }

    fn allow(&self, user: &str, operations: &[&str]) -> Result<()> {
        self.cluster.allow(user, self.topic.name(), operations)
    }

    fn forbid(&self, user: &str, operations: &[&str]) -> Result<()> {
        self.cluster.forbid(user, self.topic.name(), operations)
    }
}

/// Whether there is a stall of an authorisation that names this right.
fn wants(status: &StoreStatus, right: &str) -> bool {
    let kind = StallKind::Authorisation;
    status.stalls.iter().any(|stall| stall.kind() == kind && stall.detail.contains(right))
}

async fn put_until_refused(store: &Store) -> Result<Error> {
    let deadline = Instant::now() + MINUTE;
    loop {
        if let Err(error) = store.put("denied", "1").await {
            return Ok(error);
        }
        ensure!(Instant::now() < deadline, "written without the right to");
        tokio::time::sleep(POLL).await;
    }
}

/// The producer hears of a right that came back a moment later than the node's other clients do: it refuses until then.
async fn put_until_allowed(store: &Store) -> Result<()> {
    let deadline = Instant::now() + MINUTE;
    while let Err(error) = store.put("after", "1").await {
        let definite = !error.may_have_happened() && error.kind() == ErrorKind::Refused;
        ensure!(definite && Instant::now() < deadline, "writes go on by themselves: {error:?}");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

#[test]
fn the_main_job_over_tls_and_scram_with_the_least_rights() -> Result<()> {
    run(async {
        let place = Place::new("scram")?;
        place.cluster.add_user("least")?;
        place.allow("least", &LEAST)?;
        let mut node = place.node(Way::Scram, &place.cluster.scram("least"))?;
        node.start().await?;
        node.until_ready().await?;
        let store = node.store().await?.with_level(Level::Latest);
        store.put("greeting", "hello").await?;
        ensure!(store.get("greeting").await?.is_some(), "LATEST reads what was written");

        node.kill()?;
        node.start().await?;
        node.until_ready().await?;
        let store = node.store().await?.with_level(Level::Latest);
        ensure!(store.get("greeting").await?.is_some(), "after kill -9");
        store.put("greeting", "hello again").await?;

        ensure!(node.stop()?.success());
        node.wipe()?;
        node.start().await?;
        node.until_ready().await?;
        let store = node.store().await?.with_level(Level::Latest);
        ensure!(store.get("greeting").await?.is_some(), "restored from the log");
        let doctor = node.look("doctor")?;
        let told = String::from_utf8_lossy(&doctor.stdout);
        ensure!(!told.to_lowercase().contains("authori"), "the doctor needs no more: {told}");
        Ok(())
    })
}

#[test]
fn a_wrong_password_is_named_and_not_waited_out() -> Result<()> {
    run(async {
        let place = Place::new("password")?;
        place.cluster.add_user("mistaken")?;
        place.allow("mistaken", &LEAST)?;
        let mut pairs = place.cluster.scram("mistaken");
        pairs.push("sasl.password=another".to_owned());
        let mut node = place.node(Way::Scram, &pairs)?;
        node.start().await?;
        let status = node
            .until("the stall", MINUTE, |status| has_stall(status, StallKind::Authorisation))
            .await?;
        ensure!(status.phase() != Phase::Ready);
        let told = &status.stalls[0];
        ensure!(told.what_to_do.contains("credentials"), "{told:?}");
        Ok(())
    })
}

#[test]
fn the_right_that_is_missing_is_named_and_one_taken_away_ends_what_it_allowed() -> Result<()> {
    run(async {
        let place = Place::new("rights")?;
        place.cluster.add_user("little")?;
        place.allow("little", &["Read", "Write", "Describe"])?;
        let mut node = place.node(Way::Scram, &place.cluster.scram("little"))?;
        node.start().await?;
        node.until("the stall", MINUTE, |status| wants(status, "DescribeConfigs")).await?;
        place.allow("little", &["DescribeConfigs"])?;
        node.until_ready().await?;
        let store = node.store().await?;
        store.put("before", "1").await?;

        place.forbid("little", &["Write"])?;
        let refused = put_until_refused(&store).await?;
        let definite = !refused.may_have_happened() && refused.kind() == ErrorKind::Refused;
        ensure!(
            definite && refused.what_to_do().contains("Write"),
            "it did not happen: {refused:?}"
        );
        let local = store.clone().with_level(Level::Local);
        for _ in 0..5 {
            let again =
                store.put("denied", "2").await.err().context("written without the right")?;
            ensure!(!again.may_have_happened(), "it did not happen: {again:?}");
            ensure!(local.get("before").await?.is_some(), "reads go on");
        }
        place.allow("little", &["Write"])?;
        put_until_allowed(&store).await?;
        ensure!(store.get("after").await?.is_some());
        let latest = node.store().await?.with_level(Level::Latest);
        ensure!(latest.get("after").await?.is_some(), "and so do reads at the end");

        place.forbid("little", &["Read"])?;
        node.until("the stall", MINUTE, |status| wants(status, "Read")).await?;
        place.allow("little", &["Read"])?;
        node.until("no stall", MINUTE, |status| {
            status.stalls.is_empty() && status.phase() == Phase::Ready
        })
        .await?;
        Ok(())
    })
}

/// Who may read or write may also describe, so that only a denial takes it away.
#[test]
fn where_describe_is_denied_it_is_named_and_what_needs_it_not_goes_on() -> Result<()> {
    run(async {
        let place = Place::new("describe")?;
        let (cluster, topic) = (place.cluster, place.topic.name());
        cluster.add_user("blind")?;
        place.allow("blind", &LEAST)?;
        let mut node = place.node(Way::Scram, &cluster.scram("blind"))?;
        node.start().await?;
        node.until_ready().await?;
        let store = node.store().await?.with_level(Level::Stale);
        store.put("before", "1").await?;
        place.forbid("blind", &["Describe"])?;
        store.put("before", "2").await?;
        node.until_ready().await?;

        cluster.deny("blind", topic, &["Describe"])?;
        node.until("the stall", MINUTE, |status| wants(status, "Describe")).await?;
        ensure!(store.get("before").await?.is_some(), "the copy answers with its age");
        node.kill()?;
        node.start().await?;
        let status = node.until("the stall", MINUTE, |status| wants(status, "Describe")).await?;
        ensure!(status.phase() != Phase::Ready, "{status:?}");
        let refused = node.store().await?.put("denied", "1").await;
        let refused = refused.err().context("written by a node that is not READY")?;
        ensure!(!refused.may_have_happened(), "it did not happen: {refused:?}");

        cluster.deny_no_more("blind", topic, &["Describe"])?;
        node.until("no stall", MINUTE, |status| {
            status.stalls.is_empty() && status.phase() == Phase::Ready
        })
        .await?;
        put_until_allowed(&node.store().await?).await
    })
}

#[test]
fn who_may_create_and_nothing_else_is_told_what_else_it_needs_and_who_may_not_that() -> Result<()> {
    run(async {
        let place = Place::new("maker")?;
        let cluster = place.cluster;
        cluster.add_user("maker")?;
        let topic = format!("{}-made", place.topic.name());
        let node = Node::new(place.dir.path(), "maker", &cluster.way(Way::Scram)?, &topic)?;
        let node = node.with_args(&settings(&cluster.scram("maker")));
        let mut node = node.with_args(&["--create", "--replication", "1"]);
        cluster.allow("maker", &topic, &LEAST)?;
        node.start().await?;
        let waits = |status: &StoreStatus| {
            status.stalls.iter().any(|stall| stall.detail.contains("the right Create is missing"))
        };
        node.until("the stall", MINUTE, waits).await?;

        cluster.forbid("maker", &topic, &LEAST)?;
        cluster.allow("maker", &topic, &["Create"])?;
        let made = |status: &StoreStatus| wants(status, "Describe") && !waits(status);
        node.until("the stall", MINUTE, made).await?;
        cluster.allow("maker", &topic, &LEAST)?;
        node.until_ready().await?;
        put_until_allowed(&node.store().await?).await?;
        ensure!(node.log().contains("created the topic"), "{}", node.log());
        Ok(())
    })
}

#[test]
fn tokens_are_renewed_before_they_end() -> Result<()> {
    run(async {
        const LIFE: Duration = Duration::from_secs(12);
        let place = Place::new("tokens")?;
        place.allow("alice", &LEAST)?;
        let pairs = [
            "security.protocol=SASL_PLAINTEXT",
            "sasl.mechanism=OAUTHBEARER",
            "enable.sasl.oauthbearer.unsecure.jwt=true",
            &format!("sasl.oauthbearer.config=principal=alice lifeSeconds={}", LIFE.as_secs()),
        ];
        let mut node = place.node(Way::OAuth, &pairs.map(str::to_owned))?;
        node.start().await?;
        node.until_ready().await?;
        let began = Instant::now();
        let store = node.store().await?.with_level(Level::Latest);
        while began.elapsed() < LIFE * 2 {
            store.put("a", "1").await?;
            ensure!(store.get("a").await?.is_some());
            tokio::time::sleep(POLL).await;
        }
        // New connections want a token that is valid now.
        node.kill()?;
        node.start().await?;
        node.until_ready().await?;
        Ok(())
    })
}

#[test]
fn tls_trusts_what_the_system_does_and_names_what_it_does_not() -> Result<()> {
    run(async {
        let place = Place::new("trust")?;
        place.allow("ANONYMOUS", &LEAST)?;
        let pairs = ["security.protocol=SSL".to_owned()];
        let mut node = place.node(Way::Ssl, &pairs)?;
        node.start().await?;
        node.until("the stall", MINUTE, |status| has_stall(status, StallKind::Authorisation))
            .await?;
        node.kill()?;
        let authority = place.cluster.authority();
        let mut node = node.with_env("SSL_CERT_FILE", authority.as_os_str());
        node.start().await?;
        node.until_ready().await?;
        node.store().await?.put("a", "1").await?;
        Ok(())
    })
}

/// The distribution's own bundle, as one process alone sees it: with the authority in it.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

#[test]
fn tls_trusts_an_authority_that_was_added_to_the_systems_store() -> Result<()> {
    if !is_root() || !Path::new(BUNDLE).exists() {
        return left_out(format!("only root can put another file at {BUNDLE}, where it is"));
    }
    let place = Place::new("system-trust")?;
    place.allow("ANONYMOUS", &LEAST)?;
    let listen = format!("127.0.0.1:{}", free_port()?);
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "bash", "-c", r#"mount --bind "$0" "$1" && shift && exec "$@""#]);
    unshare.arg(place.cluster.authority()).arg(BUNDLE).arg(binary()).arg("serve");
    unshare.args(["--bootstrap", &place.cluster.way(Way::Ssl)?, "--listen", &listen]);
    unshare.args(["--kafka", "security.protocol=SSL", "--store", STORE]);
    unshare.args(["--topic", place.topic.name()]).arg("--data").arg(place.dir.path().join("data"));
    let mut node = Process::start(unshare)?;
    node.line_with(&["READY store="], MINUTE)?;
    node.kill()
}
