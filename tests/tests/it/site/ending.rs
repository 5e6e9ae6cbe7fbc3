//! SIGTERM comes to a node together with its application, or in its first moments.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_client::Released;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, binary};
use outrigger_tests::process::Process;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{MINUTE, POLL, Place, is_root, run, terminate, until, until_logged};

const SERVES_ON: &str = "serving on for the drain delay";

/// What an application does that is told to stop: it takes its time, and then writes its last state.
const APPLICATION: &str = r#"
    trap 'kill %1; sleep 1; exec "$0" put last state --store state --server "$1"' TERM
    sleep 60 & echo up; wait
"#;

/// Starts an application of the node, and waits until it is up.
fn application(node: &Node, script: &str) -> Result<Process> {
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).arg(binary()).arg(node.url());
    let mut application = Process::start(bash)?;
    application.line_with(&["up"], MINUTE)?;
    Ok(application)
}

/// What the application wrote last is there when the node is started again.
async fn has_the_last_state(node: &mut Node) -> Result<()> {
    node.kill()?;
    node.start().await?;
    node.until_ready().await?;
    let last = node.store().await?.get("last").await?;
    ensure!(last.is_some_and(|row| &row.value[..] == b"state"), "it is not there");
    Ok(())
}

#[test]
fn an_application_that_is_stopped_together_with_its_node_can_write_its_last_state() -> Result<()> {
    run(async {
        let place = Place::new("last-words", TopicSpec::store())?;
        let mut node = place.node("one")?.with_args(&["--drain-delay", "5s"]);
        node.start().await?;
        node.until_ready().await?;
        let application = application(&node, APPLICATION)?;

        terminate(node.process()?)?;
        terminate(application.id())?;
        let (ended, said) = application.end(MINUTE)?;
        ensure!(ended.success(), "{said}\n{}", node.log());
        ended_in_order(&mut node).await?;
        let log = node.log();
        let after = log.split_once(SERVES_ON).context("it says that it goes on")?.1;
        ensure!(after.contains("draining; ") && after.contains("drained"), "{log}");
        has_the_last_state(&mut node).await
    })
}

/// What an application does that says when it is done.
const JOB: &str = r#"
    trap 'kill %1; "$0" put last state --store state --server "$1"; exec "$0" release --server "$1"' TERM
    sleep 60 & echo up; wait
"#;

#[test]
fn an_application_that_is_done_ends_the_drain_delay_of_its_node() -> Result<()> {
    run(async {
        let place = Place::new("released", TopicSpec::store())?;
        let mut node = place.node("one")?.with_args(&["--drain-delay", "1h"]);
        node.start().await?;
        node.until_ready().await?;
        let application = application(&node, JOB)?;

        terminate(node.process()?)?;
        until_logged(&node, SERVES_ON).await?;
        let status = node.ask("status", &[])?;
        let told = String::from_utf8(status.stdout)?;
        ensure!(told.lines().nth(1) == Some("the node is about to stop"), "{told}");
        terminate(application.id())?;
        let (ended, said) = application.end(MINUTE)?;
        ensure!(ended.success() && said.contains("drains now"), "{said}\n{}", node.log());
        ended_in_order(&mut node).await?;
        ensure!(node.log().contains("the drain delay ends"), "{}", node.log());
        has_the_last_state(&mut node).await
    })
}

#[test]
fn a_release_stops_no_node_and_is_remembered_until_somebody_calls() -> Result<()> {
    run(async {
        let place = Place::new("released-early", TopicSpec::store())?;
        let mut node = place.node("one")?.with_args(&["--drain-delay", "1h"]);
        node.start().await?;
        node.until_ready().await?;
        let store = node.store().await?;
        let writer = store.writer();
        writer.put("k", "u").await?.await?;
        ensure!(node.client().await?.release().await? == Released::Remembered);
        ensure!(health(&node, "readiness").await? == ServingStatus::Serving, "it serves on");
        // Another thread of the application was not done, and writes on.
        writer.put("k", "v").await?.await?;
        node.terminate()?;
        until_logged(&node, SERVES_ON).await?;
        store.put("k", "w").await?;
        ensure!(node.client().await?.release().await? == Released::Draining);
        ended_in_order(&mut node).await?;

        node.kill()?;
        node.start().await?;
        node.until_ready().await?;
        ensure!(node.client().await?.release().await? == Released::Remembered);
        node.terminate()?;
        ended_in_order(&mut node).await?;
        Ok(())
    })
}

#[test]
fn a_second_signal_cuts_the_drain_delay_short() -> Result<()> {
    run(async {
        let place = Place::new("drain-delay", TopicSpec::store())?;
        let mut node = place.node("one")?.with_args(&["--drain-delay", "1h"]);
        node.start().await?;
        node.until_ready().await?;
        ensure!(health(&node, "readiness").await? == ServingStatus::Serving);

        terminate(node.process()?)?;
        until_logged(&node, SERVES_ON).await?;
        let deadline = Instant::now() + MINUTE;
        for service in ["readiness", "outrigger.v1.Store", "outrigger.v1.Store/state"] {
            while health(&node, service).await? != ServingStatus::NotServing {
                ensure!(Instant::now() < deadline, "{service} is still told to be served");
                tokio::time::sleep(POLL).await;
            }
        }
        ensure!(health(&node, "liveness").await? == ServingStatus::Serving);
        let store = node.store().await?;
        store.put("k", "v").await?;
        ensure!(store.get("k").await?.is_some(), "reads go on, too");
        ensure!(node.stop()?.success(), "{}", node.log());
        ensure!(node.log().contains("the drain delay is cut short"), "{}", node.log());
        Ok(())
    })
}

/// The first process of a container has no default that ends it: a signal that it does not take is lost.
#[test]
fn the_first_process_of_a_container_ends_in_order_also_in_its_first_moments() -> Result<()> {
    run(async {
        let dir = tempfile::tempdir()?;
        let (data, socket) = (dir.path().join("data"), dir.path().join("s"));
        let mut unshare = Command::new("unshare");
        unshare.args(if is_root() { &[][..] } else { &["--user", "--map-root-user"] });
        unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(binary());
        unshare.args(["serve", "--create", "--bootstrap", "127.0.0.1:1", "--store", "state"]);
        unshare.arg("--data").arg(&data).arg("--socket").arg(&socket).args(["--listen", "off"]);
        let container = Process::start(unshare)?;
        until("its socket", || socket.exists()).await?;
        terminate(only_child(container.id())?)?;
        let (ended, said) = container.end(MINUTE)?;
        ensure!(ended.success(), "{ended}\n{said}");
        ensure!(!socket.exists(), "the socket's file is left behind:\n{said}");
        Ok(())
    })
}

async fn health(node: &Node, service: &str) -> Result<ServingStatus> {
    let mut health = HealthClient::new(Channel::from_shared(node.url())?.connect().await?);
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(health.check(request).await?.into_inner().status())
}

async fn ended_in_order(node: &mut Node) -> Result<()> {
    let deadline = Instant::now() + MINUTE;
    loop {
        if let Some(ended) = node.ended()? {
            ensure!(ended.success(), "{ended}:\n{}", node.log());
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "it does not end:\n{}", node.log());
        tokio::time::sleep(POLL).await;
    }
}

fn only_child(process: u32) -> Result<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    Ok(children.trim().parse()?)
}
