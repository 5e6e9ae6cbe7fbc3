//! What the README tells a newcomer to paste works as it stands there.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use outrigger_tests::kafka::Cluster;
use outrigger_tests::node::{binary, free_port};
use tempfile::TempDir;

const README: &str = include_str!("../../../README.md");

/// Nothing of the script waits longer by itself.
const SECONDS_MAX: &str = "150";

/// The last of the lines to be pasted below a heading.
fn pasted(heading: &str) -> Result<&'static str> {
    let (_, section) = README.split_once(heading).context("the heading is there")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let (_, block) = section.rsplit_once("```sh\n").context("it has lines to paste")?;
    Ok(block.split("```").next().unwrap_or_default())
}

/// Only addresses and directories are replaced: a test must not meet what runs on this machine.
#[test]
fn three_nodes_on_a_real_kafka_come_up_and_read_what_one_of_them_wrote() -> Result<()> {
    let cluster = Cluster::shared()?;
    let dir = TempDir::new()?;
    let mut script = pasted("\n## On a real Kafka\n")?.to_owned();
    let directory = format!("{}/", dir.path().display());
    let mut replace = |from: &str, to: &str| -> Result<()> {
        ensure!(script.contains(from), "{from} is not in what the README has to paste:\n{script}");
        script = script.replace(from, to);
        Ok(())
    };
    replace("127.0.0.1:19092", &cluster.bootstrap())?;
    replace("/tmp/", &directory)?;
    let mut first = None;
    for port in ["7400", "7410", "7420"] {
        let free = free_port()?;
        replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{free}"))?;
        first = first.or(Some(free));
    }
    let server = format!("http://127.0.0.1:{}", first.context("there is a first node")?);
    // What a person does in the end, with ctrl-c or `kill`.
    script.push_str("\nstatus=$?; kill $(jobs -p); wait; exit $status\n");
    let binary = binary();
    let path = binary.parent().context("a program is in a directory")?.display().to_string();
    let path = format!("{path}:{}", std::env::var("PATH")?);
    let mut bash = Command::new("timeout");
    bash.args([SECONDS_MAX, "bash", "-c", &script]).env("PATH", path);
    bash.env("OUTRIGGER_SERVER", server).stdin(Stdio::null());
    let output = bash.output().context("starting bash")?;
    let (out, log) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}\n{out}\n{log}", output.status);
    ensure!(out.ends_with("hello"), "{out}\n{log}");
    for node in ["one", "two", "three"] {
        let speaks = |line: &str| line.starts_with(&format!("{node}  ")) && line.contains("READY");
        ensure!(log.lines().any(speaks), "{node} does not say that it is READY:\n{log}");
    }
    Ok(())
}
