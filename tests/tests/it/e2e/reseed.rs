//! `outrigger reseed`: a copy becomes a new topic, from which every node begins again.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_core::offset::{Offset, Partition};
use outrigger_tests::kafka::{Isolation, Topic, TopicSpec};
use outrigger_tests::node::{Node, STORE, binary};
use outrigger_tests::writers::rows;

use super::{MINUTE, Place, durable, refused, run};

const P0: Partition = Partition(0);

fn reseed(node: &Node, place: &Place, topic: &str, more: &[&str]) -> Result<Output> {
    let into = ["--bootstrap", &place.bootstrap, "--topic", topic];
    node.on_disk("reseed", &[&into[..], more].concat())
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

async fn values(node: &Node) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    Ok(rows(node).await?.into_iter().map(|(key, row)| (key, row.value)).collect())
}

#[test]
fn a_log_that_lost_its_beginning_is_written_again_from_a_copy_that_has_it() -> Result<()> {
    run(async {
        let place = Place::new("reseed", TopicSpec::store())?;
        let mut has_all = place.ready_node("one").await?;
        let store = has_all.store().await?;
        for number in 0..50 {
            store.put(format!("key {number}"), "1").await?;
        }
        store.put(&b""[..], "the empty key").await?;
        store.put(&b"\xff\0"[..], "").await?;
        store.put("key 1", "2").await?;
        let last = store.delete("key 2").await?;
        has_all.until("on disk", MINUTE, |status| durable(status) > last.offset).await?;
        let before = values(&has_all).await?;
        place.topic.delete_records(P0, Offset(10))?;
        let mut empty = place.node("two")?;
        empty.start().await?;
        empty.until("refused", MINUTE, refused).await?;

        let (name, create) =
            (format!("{}-again", place.topic.name()), ["--create", "--partitions", "3"]);
        let running = reseed(&has_all, &place, &name, &["--create", "--yes"])?;
        ensure!(running.status.code() == Some(73), "{}", said(&running));
        has_all.kill()?;
        empty.kill()?;
        let asked = reseed(&has_all, &place, &name, &create)?;
        ensure!(asked.status.success(), "told, not done: {}", said(&asked));
        ensure!(
            said(&asked).contains("51 rows") && said(&asked).contains("say --yes"),
            "{}",
            said(&asked)
        );
        let missing = reseed(&has_all, &place, &name, &["--yes"])?;
        ensure!(missing.status.code() == Some(65), "it was not created: {}", said(&missing));
        let done = reseed(&has_all, &place, &name, &[&create[..], &["--yes"]].concat())?;
        ensure!(done.status.success(), "{}", said(&done));
        let again = reseed(&has_all, &place, &name, &["--yes"])?;
        ensure!(again.status.success(), "nothing is left to do: {}", said(&again));
        let topic = Topic::existing(&place.bootstrap, &name, 3)?;
        let ends = [0, 1, 2].map(|partition| topic.ends(Partition(partition)));
        let records: u64 = ends.into_iter().map(|ends| Ok(ends?.1.0)).sum::<Result<u64>>()?;
        ensure!(records == 51, "each row once, not {records} records");

        let reset = has_all.on_disk("reset", &["--yes"])?;
        ensure!(reset.status.success(), "{reset:?}");
        for node in ["one", "two"] {
            let mut node = Node::new(place.dir.path(), node, &place.bootstrap, &name)?;
            node.start().await?;
            node.until_ready().await?;
            ensure!(values(&node).await? == before, "the rows of the copy, on every node");
        }
        Ok(())
    })
}

#[test]
fn only_a_safe_and_empty_topic_is_written_into() -> Result<()> {
    run(async {
        let place = Place::new("reseed-into", TopicSpec::store())?;
        let mut node = place.ready_node("one").await?;
        let last = node.store().await?.put("k", "x".repeat(500_000)).await?;
        node.until("on disk", MINUTE, |status| durable(status) > last.offset).await?;
        node.kill()?;
        let refuses = |topic: &str, because: &str| -> Result<()> {
            let output = reseed(&node, &place, topic, &["--yes"])?;
            let said = said(&output);
            ensure!(output.status.code() == Some(65) && said.contains(because), "{said}");
            Ok(())
        };
        refuses(place.topic.name(), "the copy comes from")?;
        let cluster = outrigger_tests::kafka::Cluster::shared()?;
        let used = cluster.topic("reseed-used", TopicSpec::store())?;
        used.put(P0, b"mine", Some(b"1"))?;
        refuses(used.name(), "is not empty")?;
        let unsafe_one = TopicSpec::store().set("cleanup.policy", "compact,delete");
        refuses(cluster.topic("reseed-unsafe", unsafe_one)?.name(), "policy is unsafe")?;
        let small = TopicSpec::store().set("max.message.bytes", "100000");
        refuses(cluster.topic("reseed-small", small)?.name(), "max.message.bytes")?;
        let unknown = reseed(&node, &place, "any", &["--from", "g9", "--yes"])?;
        ensure!(
            unknown.status.code() == Some(64) && said(&unknown).contains("there is g1"),
            "{unknown:?}"
        );
        Ok(())
    })
}

/// Rows of a kilobyte each: they are enough for a reseed to be met in its middle.
const MANY: usize = 60_000;

#[test]
fn a_reseed_that_was_killed_goes_on_where_it_was_acknowledged() -> Result<()> {
    run(async {
        let place = Place::new("reseed-killed", TopicSpec::store())?;
        let keys: Vec<String> = (0..MANY).map(|number| format!("key {number:06}")).collect();
        let value = vec![b'v'; 1_024];
        let records = keys.iter().map(|key| (P0, key.as_bytes(), Some(&value[..])));
        place.topic.put_all(records)?;
        let mut node = place.ready_node("one").await?;
        node.stop()?;
        let cluster = outrigger_tests::kafka::Cluster::shared()?;
        let topic = cluster.topic("reseed-killed-into", TopicSpec::store())?;

        let mut command = Command::new(binary());
        command.arg("reseed").arg("--data").arg(node.data()).args(["--store", STORE, "--yes"]);
        command.args(["--bootstrap", &place.bootstrap, "--topic", topic.name()]);
        let mut first = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let acknowledged = until_some_are_written(&node)?;
        first.kill()?;
        ensure!(!first.wait()?.success(), "it was met in the middle");
        let written = written(&node)?.context("it has begun")?;
        ensure!(written >= acknowledged && written < MANY, "{written} of {MANY}");

        let done = reseed(&node, &place, topic.name(), &["--yes"])?;
        ensure!(done.status.success(), "{}", said(&done));
        let mut times: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for record in topic.read(P0, Offset::ZERO, Isolation::Committed)? {
            *times.entry(record.key.context("every record has a key")?).or_default() += 1;
        }
        ensure!(times.len() == MANY, "every row is there, not {}", times.len());
        let (before, behind): (Vec<_>, Vec<_>) =
            times.values().enumerate().partition(|(at, _)| *at < written);
        ensure!(
            before.iter().all(|(_, times)| **times == 1),
            "what was acknowledged is written once"
        );
        ensure!(behind.iter().all(|(_, times)| **times <= 2), "what was not, twice at most");

        topic.put(P0, b"key 000001", Some(b"mine"))?;
        let foreign = reseed(&node, &place, topic.name(), &["--yes"])?;
        ensure!(foreign.status.code() == Some(1), "{}", said(&foreign));
        ensure!(said(&foreign).contains("somebody else writes there"), "{}", said(&foreign));
        node.start().await?;
        node.until_ready().await?;
        let store = node.store().await?;
        store.put("later", "1").await?;
        ensure!(store.get("later").await?.is_some(), "the copy has it");
        node.stop()?;
        let changed = reseed(&node, &place, topic.name(), &["--yes"])?;
        ensure!(changed.status.code() == Some(65), "{}", said(&changed));
        ensure!(said(&changed).contains("it has changed since"), "{}", said(&changed));
        Ok(())
    })
}

/// Rows that the progress file says are acknowledged.
fn written(node: &Node) -> Result<Option<usize>> {
    let Ok(text) = fs::read_to_string(node.data().join(STORE).join("RESEED")) else {
        return Ok(None);
    };
    let rows = text.lines().find_map(|line| line.strip_prefix("rows = "));
    Ok(Some(rows.context("it says how many")?.parse()?))
}

fn until_some_are_written(node: &Node) -> Result<usize> {
    let deadline = Instant::now() + MINUTE;
    loop {
        match written(node)? {
            Some(rows) if rows > 0 => return Ok(rows),
            Some(_) | None => ensure!(Instant::now() < deadline, "nothing is written"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
