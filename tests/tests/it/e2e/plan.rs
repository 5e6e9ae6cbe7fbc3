//! `outrigger plan` and `doctor`: they say what is and what the next start does, and touch nothing.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use outrigger::rocks::DataDir;
use outrigger_client::proto::v1::RestoreCause;
use outrigger_client::proto::v1::cause::Why;
use outrigger_core::offset::Partition;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, binary};
use tempfile::TempDir;

use super::{MINUTE, Place, durable, run};

const P0: Partition = Partition(0);

type Files = BTreeMap<PathBuf, (u64, SystemTime)>;

/// Every file below a directory, with its size and when it was written.
fn files(dir: &Path) -> Result<Files> {
    let mut files = Files::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            files.extend(self::files(&entry.path())?);
        }
        files.insert(entry.path(), (metadata.len(), metadata.modified()?));
    }
    Ok(files)
}

/// Exit code and output; fails when anything on disk was changed.
fn plan(node: &Node) -> Result<(Option<i32>, String)> {
    let before = files(&node.data())?;
    let output = node.look("plan")?;
    ensure!(files(&node.data())? == before, "a plan changed the data directory");
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8(text)?))
}

#[test]
fn a_plan_says_what_the_next_start_does_and_touches_nothing() -> Result<()> {
    run(async {
        let place = Place::new("plan", TopicSpec::store())?;
        let mut node = place.node("one")?;
        let output = node.look("plan")?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(
            output.status.success() && text.contains("REBUILD as g1: nothing on disk"),
            "{text}"
        );
        ensure!(!node.data().exists(), "a plan makes no data directory");

        node.start().await?;
        node.until_ready().await?;
        let last = node.store().await?.put("k", "v").await?;
        node.until("on disk", MINUTE, |status| durable(status) > last.offset).await?;
        let output = node.look("plan")?;
        let text = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(73), "a running node is asked itself: {text}");
        ensure!(text.contains("in use by process") && text.contains("outrigger status"), "{text}");

        ensure!(node.stop()?.success());
        place.topic.put(P0, b"other", Some(b"1"))?;
        place.topic.put(P0, b"other", Some(b"2"))?;
        let (code, text) = plan(&node)?;
        ensure!(code == Some(0) && text.contains("RESUME g1 where it ended"), "{text}");
        ensure!(text.contains("copy at 1, log 0..3, 2 offsets to read"), "{text}");
        node.start().await?;
        let status = node.until_ready().await?;
        let resumed = Why::Restore(RestoreCause::Resume.into());
        ensure!(status.cause.as_ref().is_none_or(|cause| cause.why == Some(resumed)), "{status:?}");
        ensure!(status.generation == Some(1), "{status:?}");

        ensure!(node.stop()?.success());
        place.topic.delete()?;
        place.topic.create_again()?;
        let (code, text) = plan(&node)?;
        ensure!(
            code == Some(65) && text.contains("REFUSE: the data directory belongs to"),
            "{text}"
        );
        Ok(())
    })
}

#[test]
fn without_its_topic_there_is_no_plan() -> Result<()> {
    run(async {
        let place = Place::new("planless", TopicSpec::store())?;
        place.topic.delete()?;
        let output = place.node("one")?.look("plan")?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(output.status.code() == Some(65), "{text}");
        ensure!(text.contains("NO PLAN") && text.contains("create it or start"), "{text}");
        Ok(())
    })
}

#[test]
fn the_doctor_names_what_is_wrong_around_a_node_and_what_to_do() -> Result<()> {
    run(async {
        let mut place = Place::new("doctor", TopicSpec::store())?;
        let mut node = place.ready_node("one").await?;
        let last = node.store().await?.put("k", "v").await?;
        node.until("on disk", MINUTE, |status| durable(status) > last.offset).await?;
        let (code, text) = doctor(&node)?;
        ensure!(code == Some(0) && text.contains("a node runs on it, process"), "{text}");
        ensure!(text.contains("warn  the topic has 1 replica(s)"), "a single broker: {text}");

        ensure!(node.stop()?.success());
        let (code, text) = doctor(&node)?;
        ensure!(code == Some(0), "{text}");
        for line in
            ["good  the copy g1 fits the log", "good  the log is complete", "good  the clock"]
        {
            ensure!(text.contains(line), "{line} in {text}");
        }

        place.topic.alter("cleanup.policy", "compact,delete")?;
        let (code, text) = doctor(&node)?;
        ensure!(code == Some(1) && text.contains("bad   the topic's policy is unsafe"), "{text}");
        ensure!(text.contains("kafka-configs --alter"), "{text}");
        Ok(())
    })
}

/// A Kafka that accepts and says nothing is the longest wait there is, for each client that asks it.
#[test]
fn who_waits_for_kafka_keeps_no_node_from_starting() -> Result<()> {
    for command in ["plan", "doctor"] {
        let silent = TcpListener::bind("127.0.0.1:0")?;
        silent.set_nonblocking(true)?;
        let dir = TempDir::new()?;
        drop(DataDir::lock(dir.path())?);
        let config = dir.path().join("outrigger.toml");
        fs::write(&config, "[[store]]\nname = 'one'\n[[store]]\nname = 'two'\n")?;
        let bootstrap = silent.local_addr()?.to_string();
        let mut asking = Command::new(binary())
            .args([command, "--bootstrap", &bootstrap, "--config"])
            .arg(&config)
            .arg("--data")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let kept = who_is_kept_out(&silent, dir.path(), &mut asking);
        asking.kill()?;
        asking.wait()?;
        ensure!(kept? > 0, "{command} asks Kafka");
    }
    Ok(())
}

/// What a look at an empty disk takes at most: less than anybody waits for Kafka.
const LOOKS_MAX: Duration = Duration::from_secs(3);

/// Holds every connection until the command ends, and locks the data directory at each, as a node that starts.
/// Returns how many there were.
fn who_is_kept_out(silent: &TcpListener, data: &Path, asking: &mut Child) -> Result<usize> {
    let (mut held, deadline) = (Vec::new(), Instant::now() + 4 * MINUTE);
    while asking.try_wait()?.is_none() {
        ensure!(Instant::now() < deadline, "it does not end");
        match silent.accept() {
            Ok((connection, _)) => {
                held.push(connection);
                let ends = Instant::now() + LOOKS_MAX;
                // It may be over with Kafka just now, and look at the disk.
                while let Err(error) = DataDir::lock(data) {
                    ensure!(Instant::now() < ends, "at connection {}: {error}", held.len());
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            Err(_none) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    Ok(held.len())
}

fn doctor(node: &Node) -> Result<(Option<i32>, String)> {
    let output = node.look("doctor")?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8(text)?))
}
