//! Tools on librdkafka put keys where no node looks, unless they are told.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use outrigger_client::StoreStatus;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::writers::rows;

use super::{MINUTE, Place, run, text};
use crate::e2e::interop::kcat;

const KEYS: usize = 100;

/// Their deletes are acknowledged, and nothing happens.
#[test]
fn deletes_that_another_partitioner_puts_elsewhere_are_told_and_counted() -> Result<()> {
    run(async {
        let place = Place::new("deletes-elsewhere", TopicSpec::store().partitions(4))?;
        let node = place.ready_node("one").await?;
        let store = node.store().await?;
        let mut deletes = String::new();
        for number in 0..KEYS {
            store.put(format!("key {number}"), "value").await?;
            writeln!(deletes, "key {number}\t")?;
        }
        let produce = ["-b", &place.bootstrap, "-t", place.topic.name(), "-P", "-Z", "-K", "\t"];
        let murmur2 = ["-X", "topic.partitioner=murmur2_random"];
        let end = |records: usize| {
            move |status: &StoreStatus| {
                let positions = status.partitions.iter().map(|partition| partition.position);
                usize::try_from(positions.sum::<u64>()).is_ok_and(|read| read == records)
            }
        };

        kcat(&produce, deletes.as_bytes())?;
        let status = node.until("the deletes", MINUTE, end(2 * KEYS)).await?;
        let kept = rows(&node).await?.len();
        ensure!((1..KEYS).contains(&kept), "{kept} of {KEYS} keys are there");
        let ignored = usize::try_from(status.ignored_records)?;
        ensure!(ignored == kept, "{ignored} ignored, {kept} kept");
        let told = text(&node.ask("status", &[])?);
        let bad = format!("bad: {kept} records are missing on every node");
        ensure!(told.contains(&bad) && told.contains("partitioner=murmur2_random"), "{told}");
        let doctor = node.look("doctor")?;
        ensure!(doctor.status.code() == Some(1), "{doctor:?}");
        let told = text(&doctor);
        let line = told.lines().find(|line| line.contains("in another partition"));
        let line = line.with_context(|| told.clone())?;
        ensure!(line.contains("bad") && told.contains("partitioner=murmur2_random"), "{told}");

        kcat(&[&produce[..], &murmur2].concat(), deletes.as_bytes())?;
        node.until("the deletes where they belong", MINUTE, end(3 * KEYS)).await?;
        ensure!(rows(&node).await?.is_empty(), "rows are left");
        Ok(())
    })
}
