//! The page for people, and what it asks for, in the phases of a real node.

use anyhow::{Context, Result, ensure};
use outrigger_core::offset::Partition;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, free_port};
use serde_json::Value;

use super::scrape::{page, until_state};
use crate::e2e::{Place, run};

/// 4 MB, which a restore at this rate reads in 16 s.
const KEYS: u64 = 4_000;
const VALUE: [u8; 1_000] = [b'v'; 1_000];
const RATE: &str = "256KiB";

fn store(state: &Value) -> &Value {
    &state["stores"][0]
}

fn is_in(phase: &'static str) -> impl Fn(&Value) -> bool {
    move |state| store(state)["phase"] == phase
}

#[test]
fn the_page_shows_each_phase_with_what_to_do_and_nothing_that_is_stored() -> Result<()> {
    run(async {
        let (mut place, port) = (Place::new("page", TopicSpec::store())?, free_port()?);
        let address = format!("127.0.0.1:{port}");
        let keys: Vec<_> = (0..KEYS).map(|number| format!("secret-{number:06}")).collect();
        tokio::task::block_in_place(|| {
            let rows = keys.iter().map(|key| (Partition(0), key.as_bytes(), Some(&VALUE[..])));
            place.topic.put_all(rows)
        })?;

        let args = ["--bootstrap", &place.bootstrap, "--store", "state", "--topic", "page-none"];
        let mut waits = Node::with_settings(place.dir.path(), "waits", &args)?
            .with_args(&["--metrics", &address]);
        waits.start().await?;
        let stalled = |state: &Value| store(state)["stalls"][0]["name"] == "TOPIC_GONE";
        let state = until_state(port, "a stall", stalled).await?;
        ensure!(store(&state)["phase"] == "OPENING", "{state}");
        let what_to_do = store(&state)["stalls"][0]["what_to_do"].as_str().context("advice")?;
        ensure!(what_to_do.contains("create it"), "{what_to_do}");
        ensure!(state["not_ready"][0].as_str().is_some_and(|why| why.contains("OPENING")));
        let (status, head, body) = page(port, "/")?;
        ensure!(status == 200 && head.to_lowercase().contains("default-src 'none'"), "{head}");
        ensure!(body.starts_with("<!doctype html>") && body.len() < 16_000, "a small page");
        waits.kill()?;

        let mut node =
            place.node("one")?.with_args(&["--metrics", &address, "--restore-rate", RATE]);
        node.start().await?;
        let known = |state: &Value| {
            let fraction = store(state)["restore"]["fraction"].as_f64();
            store(state)["phase"] == "RESTORING" && fraction.is_some_and(|share| share > 0.0)
        };
        let state = until_state(port, "a share", known).await?;
        ensure!(store(&state)["restore"]["eta_seconds"].as_u64().is_some(), "{state}");
        ensure!(store(&state)["horizon_ms"].as_u64().is_some_and(|left| left > 1_000), "{state}");
        ensure!(node.ask("throttle", &["off"])?.status.success());
        let state = until_state(port, "READY", is_in("READY")).await?;
        ensure!(store(&state)["restore"] == Value::Null && store(&state)["exact"] == true);
        let at = &store(&state)["partitions"][0];
        ensure!(at["position"].as_u64() >= Some(KEYS) && at["log_end"] == at["position"], "{at}");
        let ready = |state: &Value| state["not_ready"].as_array().is_some_and(Vec::is_empty);
        let state = until_state(port, "no reason against it", ready).await?;
        ensure!(!state.to_string().contains("secret-"), "no key is told");

        tokio::task::block_in_place(|| place.topic.alter("cleanup.policy", "delete"))?;
        let state = until_state(port, "a refusal", is_in("REFUSED")).await?;
        let cause = &store(&state)["cause"];
        ensure!(cause["name"] == "REFUSED_TOPIC_POLICY", "{cause}");
        ensure!(cause["what_to_do"].as_str().is_some_and(|what| !what.is_empty()), "{cause}");
        Ok(())
    })
}
