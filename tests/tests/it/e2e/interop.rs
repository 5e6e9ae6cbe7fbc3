//! The topic is a public contract: other tools read and write it raw.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use outrigger_client::Level;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::writers::rows;

use super::{MINUTE, Place, run};

pub(crate) fn kcat(args: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new("kcat")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .context("starting kcat; `./x setup kafka` installs it")?;
    child.stdin.take().context("kcat has a stdin")?.write_all(input)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "kcat {args:?} failed");
    Ok(output.stdout)
}

#[test]
fn kcat_reads_plain_keys_values_and_null_tombstones() -> Result<()> {
    run(async {
        let place = Place::new("kcat-reads", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        let store = node.store().await?;
        store.put("key", "value").await?;
        store.put("empty", "").await?;
        store.delete("key").await?;
        let read = [
            "-b",
            &place.bootstrap,
            "-t",
            place.topic.name(),
            "-C",
            "-e",
            "-q",
            "-f",
            "%k=%s/%S\n",
        ];
        let lines = String::from_utf8(kcat(&read, b"")?)?;
        ensure!(lines == "key=value/5\nempty=/0\nkey=/-1\n", "kcat read {lines:?}");
        Ok(())
    })
}

#[test]
fn what_kcat_writes_appears_on_every_node_where_javas_partitioner_puts_it() -> Result<()> {
    run(async {
        let place = Place::new("kcat-writes", TopicSpec::store().partitions(5))?;
        let nodes = [place.ready_node("one").await?, place.ready_node("two").await?];
        let mut input = Vec::new();
        for number in 0..100 {
            writeln!(input, "key {number}\tvalue {number}")?;
        }
        let murmur2 = "partitioner=murmur2_random";
        kcat(
            &["-b", &place.bootstrap, "-t", place.topic.name(), "-P", "-K", "\t", "-X", murmur2],
            &input,
        )?;
        for node in &nodes {
            let rows = rows(node).await?;
            ensure!(rows.len() == 100, "{} of 100 rows are there", rows.len());
            ensure!(rows[&b"key 42"[..]].value == b"value 42");
            ensure!(
                node.status().await?.ignored_records == 0,
                "no key is in another partition than ours"
            );
        }
        Ok(())
    })
}

#[test]
fn records_beyond_our_limits_are_applied_and_served() -> Result<()> {
    run(async {
        let spec = TopicSpec::store().set("max.message.bytes", "8000000");
        let place = Place::new("large", spec)?;
        let node = place.ready_node("one").await?;
        let (key, value) = (vec![b'k'; 50_000], vec![b'v'; 700_000]);
        place.topic.put(outrigger_core::offset::Partition(0), &key, Some(&value))?;
        let store = node.store().await?.with_level(Level::Latest);
        let entry = store.get(&key).await?.context("the record is served")?;
        ensure!(entry.value == value);
        Ok(())
    })
}

#[test]
fn a_record_in_the_wrong_partition_is_counted_and_ignored_everywhere() -> Result<()> {
    run(async {
        let place = Place::new("misplaced", TopicSpec::store().partitions(3))?;
        let nodes = [place.ready_node("one").await?, place.ready_node("two").await?];
        for partition in 0..3 {
            place.topic.put(
                outrigger_core::offset::Partition(partition),
                b"key",
                Some(b"value"),
            )?;
        }
        for node in &nodes {
            node.until("ignored", MINUTE, |status| status.ignored_records == 2).await?;
            ensure!(rows(node).await?.len() == 1);
        }
        Ok(())
    })
}
