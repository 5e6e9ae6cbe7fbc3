//! A node whose core thread hangs answers as before, and is not shown as if it went on.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use outrigger_tests::halt::Halted;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{binary, free_port};
use serde_json::Value;

use super::scrape::{until, until_state};
use super::top::Running;
use crate::e2e::{Place, run};

fn age_ms(state: &Value) -> u64 {
    state["state_age_ms"].as_u64().unwrap_or(u64::MAX)
}

#[test]
fn a_core_that_hangs_is_shown_by_name_and_no_state_as_what_is() -> Result<()> {
    run(async {
        let (place, port) = (Place::new("silence", TopicSpec::store())?, free_port()?);
        let address = format!("127.0.0.1:{port}");
        let mut node = place.node("one")?.with_args(&["--metrics", &address]);
        node.start().await?;
        node.until_ready().await?;
        let told = until_state(port, "its state", |state| state["version"] != "").await?;
        ensure!(age_ms(&told) < 3_000 && told["hung"] == Value::Array(vec![]), "{told}");
        let mut top = Command::new(binary());
        top.args(["top", "--server", &node.url()]);
        let mut top = Running::start(top)?;
        top.hear(&format!("{}  state  READY", node.url()))?;

        let halted = Halted::thread(node.process()?, "core")?;
        let hangs = |state: &Value| state["hung"][0] == "core" && age_ms(state) >= 10_000;
        let state = until_state(port, "what hangs", hangs).await?;
        ensure!(state["stores"][0]["phase"] == "READY", "it was: {state}");
        top.hear("state  NO NEWS")?;
        top.hear("core does not go on")?;
        let status = String::from_utf8(node.ask("status", &[])?.stdout)?;
        let lines: Vec<_> = status.lines().take(3).collect();
        ensure!(lines.get(1).context("more")?.starts_with("no news for "), "{status}");
        ensure!(lines.get(2).context("more")?.starts_with("core does not go on: "), "{status}");
        let old = |seen: &super::scrape::Samples| seen["outrigger_state_age_seconds"] > 10.0;
        until(port, "the age of what metrics say", old).await?;

        let before = top.said_bytes();
        drop(halted);
        let goes_on =
            |state: &Value| state["hung"] == Value::Array(vec![]) && age_ms(state) < 3_000;
        until_state(port, "it goes on", goes_on).await?;
        top.hear_after(before, "state  READY")
    })
}
