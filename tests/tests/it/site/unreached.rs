//! No broker is reached, and a setting is why: the node and the doctor name it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use outrigger_client::StoreStatus;
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::{Node, free_port};
use outrigger_tests::process::Process;
use tempfile::TempDir;

use super::{MINUTE, Place, run, text, until};

const NOWHERE: &str = "nowhere.invalid:9092";

/// Checks that Status and doctor say all of `words`, and that the doctor finds something bad.
async fn told(node: &mut Node, words: &[&str]) -> Result<()> {
    node.start().await?;
    let says = |status: &StoreStatus| {
        let told = format!("{:?}", status.stalls);
        words.iter().all(|word| told.contains(word))
    };
    node.until("what is the matter", MINUTE, says).await?;
    for output in [node.ask("status", &[])?, node.look("doctor")?] {
        let told = text(&output);
        ensure!(words.iter().all(|word| told.contains(word)), "{words:?}: {told}");
    }
    ensure!(node.look("doctor")?.status.code() == Some(1), "the doctor finds nothing bad");
    Ok(())
}

#[test]
fn a_broker_that_names_itself_wrongly_is_named_with_the_setting() -> Result<()> {
    run(async {
        let cluster = Cluster::start_misnamed(NOWHERE)?;
        let topic = cluster.topic("misnamed", TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.outside(), topic.name())?;
        told(&mut node, &[NOWHERE, "advertised.listeners", "broker 1"]).await
    })
}

#[test]
fn tls_to_a_listener_without_is_named_with_the_setting() -> Result<()> {
    run(async {
        let place = Place::new("no-tls", TopicSpec::store())?;
        let node = place.node("one")?;
        let mut node = node.with_args(&["--kafka", "security.protocol=SSL"]);
        told(&mut node, &["SSL", "security.protocol", &place.bootstrap]).await
    })
}

#[test]
fn no_tls_to_a_listener_with_it_is_named_with_the_setting() -> Result<()> {
    run(async {
        let dir = TempDir::new()?;
        let port = free_port()?;
        let _listener = tls_listener(dir.path(), port).await?;
        let bootstrap = format!("127.0.0.1:{port}");
        let mut node = Node::new(dir.path(), "one", &bootstrap, "topic")?;
        told(&mut node, &["security.protocol", &bootstrap]).await
    })
}

/// A listener of TLS. What it speaks inside does not matter: nobody gets there.
async fn tls_listener(dir: &Path, port: u16) -> Result<Process> {
    let (key, certificate) = (dir.join("key.pem"), dir.join("certificate.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).stderr(Stdio::null());
    ensure!(openssl.status()?.success(), "openssl made no certificate");
    let mut listen = Command::new("openssl");
    listen.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
    let listener = Process::start({
        listen.arg("-key").arg(&key).arg("-cert").arg(&certificate);
        listen
    })?;
    until("its port", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await?;
    Ok(listener)
}
