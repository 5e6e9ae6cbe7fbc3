//! Certificates that end while nodes run, and are renewed meanwhile, or are not.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use outrigger_client::proto::v1::Phase;
use outrigger_tests::kafka::{Cluster, Topic, TopicSpec, Way};
use outrigger_tests::node::{Node, free_port};
use outrigger_tests::writers::{Writers, Writes, judge};
use tempfile::TempDir;

use super::{MINUTE, POLL, run};
use crate::abuse::until_metric;

/// A certificate lives long enough to be looked at twice, and to be renewed in two steps.
const LIFE: Duration = Duration::from_secs(45);

const ENDS: &str =
    "outrigger_kafka_certificate_expiry_timestamp_seconds{setting=\"ssl.certificate.location\"}";

/// A node that shows a certificate.
struct Shown {
    node: Node,
    directory: PathBuf,
    metrics: u16,
    _topic: Topic,
}

impl Shown {
    async fn ready(cluster: &Cluster, dir: &TempDir, name: &str) -> Result<Shown> {
        let (topic, metrics) = (cluster.topic(name, TopicSpec::store())?, free_port()?);
        let operations = ["Read", "Write", "Describe", "DescribeConfigs"];
        cluster.allow(&format!("CN={name}"), topic.name(), &operations)?;
        let directory = dir.path().join(format!("tls-{name}"));
        fs::create_dir(&directory)?;
        let node = Node::new(dir.path(), name, &cluster.way(Way::Mutual)?, topic.name())?;
        let path = |file: &str| directory.join(file).display().to_string();
        let pairs = [
            "security.protocol=SSL".to_owned(),
            format!("ssl.ca.location={}", cluster.authority().display()),
            format!("ssl.certificate.location={}", path("certificate.pem")),
            format!("ssl.key.location={}", path("key.pem")),
        ];
        let address = format!("127.0.0.1:{metrics}");
        let mut args = vec!["--metrics", &address];
        args.extend(pairs.iter().flat_map(|pair| ["--kafka", pair]));
        let node = node.with_args(&args);
        let mut shown = Shown { node, directory, metrics, _topic: topic };
        let (certificate, key) = cluster.issue(name, LIFE)?;
        shown.put("certificate.pem", &certificate)?;
        shown.put("key.pem", &key)?;
        shown.node.start().await?;
        shown.node.until_ready().await?;
        Ok(shown)
    }

    /// Replaces a file at once, as those who renew do.
    fn put(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let new = self.directory.join("new");
        fs::write(&new, bytes)?;
        Ok(fs::rename(new, self.directory.join(file))?)
    }

    async fn until_log(&self, part: &str) -> Result<()> {
        let deadline = Instant::now() + MINUTE;
        while !self.node.log().contains(part) {
            ensure!(Instant::now() < deadline, "{part:?} is not in\n{}", self.node.log());
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

#[test]
fn a_renewed_certificate_is_taken_without_a_restart_and_one_that_ended_is_named() -> Result<()> {
    run(async {
        let (mut cluster, dir) = (Cluster::start_secured()?, TempDir::new()?);
        let renewed = Shown::ready(&cluster, &dir, "renewed").await?;
        let left = Shown::ready(&cluster, &dir, "left").await?;
        let ended = Instant::now() + LIFE;
        let writers =
            Writers::start_paced(vec![renewed.node.url(); 4], 50, Duration::from_millis(5));
        until_metric(renewed.metrics, ENDS, |ends| ends > 0.0).await?;

        // Half of it is no pair, and it is not used.
        let (certificate, key) = cluster.issue("renewed", MINUTE * 60)?;
        renewed.put("certificate.pem", &certificate)?;
        renewed.until_log("files of TLS for Kafka have changed and are not used").await?;
        renewed.put("key.pem", &key)?;
        renewed.until_log("files of TLS for Kafka were renewed").await?;
        tokio::time::sleep_until(ended.into()).await;
        let history = writers.stop().await?;
        let writes = Writes::of(&history);
        ensure!(writes.acknowledged > 500, "they went on: {writes:?}");
        ensure!((writes.did_not_happen, writes.unknown) == (0, 0), "nobody noticed: {writes:?}");

        // Whoever comes now has to show one that holds.
        cluster.stop(1)?;
        cluster.start_broker(1)?;
        let store = renewed.node.store().await?;
        let deadline = Instant::now() + MINUTE;
        while let Err(error) = store.put("after", "1").await {
            ensure!(Instant::now() < deadline, "{error:?}\n{}", renewed.node.log());
            tokio::time::sleep(POLL).await;
        }
        renewed
            .node
            .until("no stall", MINUTE, |status| {
                status.phase() == Phase::Ready && status.stalls.is_empty()
            })
            .await?;
        let Shown { node, .. } = renewed;
        judge(&[node], &history).await?;
        named(&left).await
    })
}

/// Waits until the certificate that nobody renewed is named.
async fn named(left: &Shown) -> Result<()> {
    let names = |text: &str| {
        text.contains("ssl.certificate.location: CN=left, expired on") && text.contains("renew")
    };
    left.node
        .until("the stall", MINUTE, |status| {
            status
                .stalls
                .iter()
                .any(|stall| names(&format!("{}{}", stall.detail, stall.what_to_do)))
        })
        .await?;
    let doctor = left.node.look("doctor")?;
    let told = String::from_utf8_lossy(&doctor.stdout);
    ensure!(doctor.status.code() == Some(1), "{told}");
    let bad = told.lines().find(|line| line.contains("CN=left"));
    ensure!(bad.is_some_and(|line| line.starts_with("bad ") && names(&told)), "{told}");
    Ok(())
}
