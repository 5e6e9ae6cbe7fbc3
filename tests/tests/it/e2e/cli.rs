//! Commands against running nodes, by their output and exit codes.

use std::process::Output;

use anyhow::{Result, ensure};
use outrigger_core::offset::Partition;
use outrigger_tests::kafka::TopicSpec;

use super::{MINUTE, Place, run};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A read straight after a write may be older on any node, and need not be.
#[test]
fn a_read_at_a_revision_sees_what_was_written_there_on_any_node() -> Result<()> {
    run(async {
        let place = Place::new("at-least", TopicSpec::store().partitions(3))?;
        let nodes = [place.ready_node("one").await?, place.ready_node("two").await?];
        for number in 0..10 {
            let value = number.to_string();
            let put = text(&nodes[0].ask("put", &["key", &value])?);
            for node in &nodes {
                let got = node.ask("get", &["key", "--at-least", &put])?;
                ensure!(got.stdout == value.as_bytes(), "{put}: {got:?}");
            }
        }
        let deleted = text(&nodes[0].ask("delete", &["key"])?);
        let gone = nodes[1].ask("get", &["key", "--at-least", &deleted])?;
        ensure!(gone.status.code() == Some(1), "{gone:?}");
        let scanned = nodes[1].ask("scan", &["--at-least", &deleted])?;
        ensure!(scanned.status.success() && scanned.stdout.is_empty(), "{scanned:?}");

        let token = nodes[0].store().await?;
        token.put("other", "1").await?;
        let token = token.token().expect("the session wrote").to_bytes();
        let hex: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
        let got = nodes[1].ask("get", &["other", "--at-least", &hex])?;
        ensure!(got.stdout == b"1", "{got:?}");

        let bare = nodes[0].ask("get", &["key", "--level", "at-least"])?;
        ensure!(bare.status.code() == Some(64), "{bare:?}");
        ensure!(String::from_utf8_lossy(&bare.stderr).contains("--at-least PARTITION:OFFSET"));
        Ok(())
    })
}

/// Somebody writes with a client of another partitioner: it looks like a loss, and is told as one.
#[test]
fn records_that_no_copy_has_are_called_bad_with_what_mends_it() -> Result<()> {
    run(async {
        let place = Place::new("partitioner", TopicSpec::store().partitions(3))?;
        let node = place.ready_node("one").await?;
        for partition in 0..3 {
            place.topic.put(Partition(partition), b"key", Some(b"value"))?;
        }
        node.until("ignored", MINUTE, |status| status.ignored_records == 2).await?;
        let status = text(&node.ask("status", &[])?);
        ensure!(status.contains("2 records IGNORED"), "{status}");
        ensure!(status.contains("bad: 2 records are missing on every node"), "{status}");
        ensure!(status.contains("partitioner=murmur2_random"), "{status}");
        let doctor = node.look("doctor")?;
        ensure!(doctor.status.code() == Some(1), "{doctor:?}");
        let doctor = text(&doctor);
        ensure!(
            doctor.contains("bad   of the newest 3 records 2 are in another partition"),
            "{doctor}"
        );
        ensure!(doctor.contains("partitioner=murmur2_random"), "{doctor}");
        Ok(())
    })
}
