//! `outrigger watch --exec`, with the commands of a shell.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_client::Watch;
use outrigger_tests::follower::{Followed, Follower};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::Node;
use outrigger_tests::process::Process;
use serde_json::Value;
use tokio::time::sleep;

use super::{MINUTE, POLL, Place, run};

fn watch(node: &Node, from: &str, command: &str) -> Result<Process> {
    let url = node.url();
    Process::outrigger(&["watch", "--server", &url, "--from", from, "--exec", command])
}

/// How it ended by itself, and what it said.
fn ended(node: &Node, command: &str) -> Result<(ExitStatus, String)> {
    watch(node, "state", command)?.end(MINUTE)
}

fn into(file: &Path) -> String {
    format!("cat > '{}'", file.display())
}

/// Waits until what a command has written into a file ends with lines that have this.
async fn until(file: &Path, last: &[&str]) -> Result<()> {
    let ends_so = |text: String| {
        let lines = text.lines().rev().zip(last.iter().rev());
        lines.clone().count() == last.len()
            && lines.into_iter().all(|(line, part)| line.contains(part))
    };
    let deadline = Instant::now() + MINUTE;
    while !std::fs::read_to_string(file).is_ok_and(ends_so) {
        ensure!(Instant::now() < deadline, "{} does not end with {last:?}", file.display());
        sleep(POLL).await;
    }
    Ok(())
}

/// The lines of a file, all of them whole.
fn lines(file: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(file)?;
    ensure!(text.is_empty() || text.ends_with('\n'), "it ends within a line");
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn told(lines: &[Value]) -> Vec<String> {
    let field = |line: &Value, name: &str| line[name].as_str().unwrap_or("-").to_owned();
    let changes = lines.iter().filter(|line| line["event"] != "point");
    changes.map(|line| ["event", "key", "value"].map(|name| field(line, name)).join(" ")).collect()
}

#[test]
fn a_command_reads_each_change_as_a_line_and_the_next_one_goes_on_behind_its_point() -> Result<()> {
    run(async {
        let place = Place::new("exec", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        let store = node.store().await?;
        let file = place.dir.path().join("lines");
        store.put("a", "1").await?;
        ensure!(store.get("a").await?.is_some(), "the node has it");
        let process = watch(&node, "state", &into(&file))?;
        until(&file, &["state_end"]).await?;
        store.put("b", "2\n").await?;
        store.delete("a").await?;
        until(&file, &["delete", "point"]).await?;
        process.terminate()?;
        let (status, said) = process.end(MINUTE)?;
        ensure!(status.success() && said.contains("SIGTERM"), "{status}: {said}");
        let first = lines(&file)?;
        let expected = ["row a 1", "state_end - -", "put b 2\n", "delete a -"];
        ensure!(told(&first) == expected, "{first:?}");

        store.put("c", "3").await?;
        let point = first.last().and_then(|line| line["point"].as_str());
        let point = point.context("a point comes after the last change")?;
        let one = format!("head -n 1 > '{}'", file.display());
        let (status, said) = watch(&node, point, &one)?.end(MINUTE)?;
        ensure!(status.success(), "it has seen enough: {status}: {said}");
        ensure!(told(&lines(&file)?) == ["put c 3"], "nothing comes twice, and nothing is missing");
        Ok(())
    })
}

#[test]
fn the_end_of_the_command_is_the_end_of_its_watch() -> Result<()> {
    run(async {
        let place = Place::new("exec-ends", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        for (command, code, told) in [
            ("exit 3", 3, "exit status: 3"),
            ("read -r line; exit 65", 65, "exit status: 65"),
            ("kill -9 $$", 137, "signal: 9"),
            ("nosuchcommand", 127, "nosuchcommand"),
            ("exec 0<&-; exit 0", 0, ""),
        ] {
            let (status, said) = ended(&node, command)?;
            ensure!(status.code() == Some(code), "{command}: {status}: {said}");
            ensure!(said.contains(told), "{command}: {said}");
        }

        let mut deaf =
            watch(&node, "now", "trap '' TERM INT; echo here; while :; do sleep 9; done")?;
        deaf.line_with(&["here"], MINUTE)?;
        deaf.terminate()?;
        deaf.line_with(&["another signal kills it"], MINUTE)?;
        deaf.terminate()?;
        let (status, said) = deaf.end(MINUTE)?;
        ensure!(status.code() == Some(137), "{status}: {said}");
        Ok(())
    })
}

/// A command that reads nothing until something is written into its pipe.
struct Late {
    process: Process,
    pipe: PathBuf,
    file: PathBuf,
}

impl Late {
    fn start(place: &Place, node: &Node, name: &str) -> Result<Late> {
        let pipe = place.dir.path().join(format!("{name} pipe"));
        let file = place.dir.path().join(format!("{name} lines"));
        ensure!(Command::new("mkfifo").arg(&pipe).status()?.success());
        let command = format!("echo here; read -r go < '{}'; {}", pipe.display(), into(&file));
        let mut process = watch(node, "now", &command)?;
        process.line_with(&["here"], MINUTE)?;
        Ok(Late { process, pipe, file })
    }

    fn release(&self) -> Result<()> {
        Ok(std::fs::write(&self.pipe, "go\n")?)
    }
}

#[test]
fn a_command_that_does_not_read_holds_up_its_own_watch_and_gets_whole_lines_later() -> Result<()> {
    run(async {
        let place = Place::new("exec-late", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        let late = Late::start(&place, &node, "late")?;
        let mut stopped = Late::start(&place, &node, "stopped")?;
        let mut follower = Follower::start(node.url(), Watch::all(), Followed::default()).await?;
        let writer = node.store().await?;
        let mut revisions = Vec::new();
        // More than all that is between the node and the command.
        for number in 0..300 {
            revisions.push(writer.put(format!("key {number}"), vec![b'x'; 16_000]).await?);
        }
        follower.has(&revisions).await?;
        follower.stop().await?;

        stopped.process.terminate()?;
        stopped.process.line_with(&["waiting for the command"], MINUTE)?;
        stopped.release()?;
        let (status, said) = stopped.process.end(MINUTE)?;
        ensure!(status.success(), "{status}: {said}");
        let begun = lines(&stopped.file)?.len();
        ensure!(begun < 300, "it was not given {begun} lines after it was to end");

        late.release()?;
        until(&late.file, &["\"key 299\"", "point"]).await?;
        late.process.terminate()?;
        let (status, said) = late.process.end(MINUTE)?;
        ensure!(status.success(), "{status}: {said}");
        let lines = lines(&late.file)?;
        let keys = lines.iter().filter_map(|line| line["key"].as_str());
        ensure!(keys.clone().count() == 300, "{}", keys.count());
        ensure!(keys.collect::<BTreeSet<_>>().len() == 300, "each once");
        Ok(())
    })
}
