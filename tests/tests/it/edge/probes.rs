//! What an orchestrator hears, over HTTP and by the command, from the start of a process to its end.

use std::ffi::OsStr;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, free_port};

use crate::e2e::{MINUTE, Place, run};
use crate::seen::page;

pub(super) const POLL: Duration = Duration::from_millis(50);

/// The statuses of `/started`, `/ready` and `/live`.
fn probes(port: u16) -> Result<[u16; 3]> {
    let status = |path| page(port, path).map(|(status, ..)| status);
    Ok([status("/started")?, status("/ready")?, status("/live")?])
}

async fn until_probes(port: u16, wanted: [u16; 3]) -> Result<()> {
    let deadline = Instant::now() + MINUTE;
    loop {
        let told = probes(port).ok();
        if told == Some(wanted) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{told:?} instead of {wanted:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// How `outrigger probe` ends.
fn probe(node: &Node, probe: &str) -> Result<(Option<i32>, String)> {
    let output = node.ask("probe", &[probe])?;
    Ok((output.status.code(), String::from_utf8(output.stdout)?))
}

#[test]
fn a_node_that_waits_is_live_and_has_not_started_and_one_that_was_ready_has() -> Result<()> {
    run(async {
        let (place, metrics) = (Place::new("probes", TopicSpec::store())?, free_port()?);
        let address = format!("127.0.0.1:{metrics}");
        // No topic of this name: the node waits, and names it.
        let args = ["--bootstrap", &place.bootstrap, "--store", "state", "--topic", "probes-none"];
        let mut waits = Node::with_settings(place.dir.path(), "waits", &args)?
            .with_args(&["--metrics", &address]);
        waits.start().await?;
        waits.until("a stall", MINUTE, |status| !status.stalls.is_empty()).await?;
        until_probes(metrics, [503, 503, 200]).await?;
        let deadline = Instant::now() + MINUTE;
        while !page(metrics, "/ready")?.2.contains("state is OPENING (topic_gone)") {
            ensure!(Instant::now() < deadline, "{:?}", page(metrics, "/ready")?);
            tokio::time::sleep(POLL).await;
        }
        ensure!(probe(&waits, "live")?.0 == Some(0), "it lives");
        for asked in ["started", "ready"] {
            let (code, text) = probe(&waits, asked)?;
            ensure!(code == Some(1) && text.contains("state is OPENING"), "{asked}: {text}");
        }
        waits.kill()?;
        ensure!(probe(&waits, "live")?.0 == Some(69), "nobody answers");

        let delay = ["--drain-delay", "30s", "--metrics", &address];
        let mut node = place.node("node")?.with_args(&delay);
        node.start().await?;
        until_probes(metrics, [200, 200, 200]).await?;
        ensure!(page(metrics, "/ready")?.2 == "yes\n", "{:?}", page(metrics, "/ready")?);
        // The first signal: nobody new is to come, and nobody is to restart it.
        node.terminate()?;
        until_probes(metrics, [200, 503, 200]).await?;
        let why = page(metrics, "/ready")?.2;
        ensure!(why.contains("about to stop"), "{why}");
        node.store().await?.put("k", "v").await?;
        let ended = node.stop()?;
        ensure!(ended.success(), "{ended}");
        Ok(())
    })
}

/// Waits for a datagram that says this; whatever else was said comes before it.
fn hear(manager: &UnixDatagram, wanted: &str) -> Result<Vec<String>> {
    let mut heard = Vec::new();
    let mut bytes = [0; 4_096];
    while !heard.iter().any(|line| line == wanted) {
        let length =
            manager.recv(&mut bytes).with_context(|| format!("{wanted}: only {heard:?}"))?;
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        heard.extend(text.lines().map(str::to_owned));
    }
    Ok(heard)
}

#[test]
fn a_service_manager_hears_that_it_serves_how_it_is_that_it_lives_and_that_it_stops() -> Result<()>
{
    run(async {
        let place = Place::new("manager", TopicSpec::store())?;
        let socket = place.dir.path().join("notify");
        let manager = UnixDatagram::bind(&socket)?;
        manager.set_read_timeout(Some(MINUTE))?;
        let mut node = place.node("node")?.with_env("NOTIFY_SOCKET", socket.as_os_str());
        node = node.with_env("WATCHDOG_USEC", OsStr::new("2000000"));
        node.start().await?;
        let before = hear(&manager, "STATUS=READY")?;
        ensure!(before[0] == "READY=1", "it serves before it is READY: {before:?}");
        hear(&manager, "WATCHDOG=1")?;
        hear(&manager, "WATCHDOG=1")?;
        node.terminate()?;
        hear(&manager, "STOPPING=1")?;
        ensure!(node.stop()?.success(), "{}", node.log());
        Ok(())
    })
}
