//! Batches that are small in the log and large once they are unfolded, as only Java's producer makes them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use outrigger_client::proto::v1::{Phase, StallKind};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::writers::rows;

use super::{MINUTE, Place, run, text};
use crate::e2e::has_stall;

const VALUE_BYTES: usize = 600_000;

/// Writes one batch of this many values, of equal bytes. The format of Java's frames does not tell how large they unfold.
fn produce(place: &Place, compression: &str, values: usize) -> Result<()> {
    let bytes = values * VALUE_BYTES;
    let jars = std::env::var("OUTRIGGER_KAFKA_LIB").context("the jars of Kafka")?;
    let mut java = Command::new("java")
        .args(["-Xmx1g", "-XX:+UseSerialGC", "-cp", &format!("{jars}/*")])
        .args(["org.apache.kafka.tools.ConsoleProducer", "--topic", place.topic.name()])
        .args(["--bootstrap-server", &place.bootstrap, "--compression-codec", compression])
        .args(["--batch-size", &(bytes * 11 / 10).to_string(), "--timeout", "60000"])
        .args(["--max-memory-bytes", &(bytes * 2).to_string()])
        .args(["--command-property", "delivery.timeout.ms=240000"])
        .args(["--reader-property", "parse.key=true", "--reader-property", "key.separator=:"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting Java")?;
    let value = vec![b'v'; VALUE_BYTES];
    let mut input = java.stdin.take().context("Java has a stdin")?;
    for number in 0..values {
        write!(input, "key {number}:")?;
        input.write_all(&value)?;
        input.write_all(b"\n")?;
    }
    drop(input);
    ensure!(java.wait()?.success(), "Java's producer failed");
    Ok(())
}

/// librdkafka's default gave up on one of zstd, and the node called it damaged.
#[test]
fn a_batch_that_unfolds_to_90_mb_is_read() -> Result<()> {
    const VALUES: usize = 150;
    run(async {
        for compression in ["zstd", "lz4", "gzip"] {
            let place = Place::new(&format!("unfolded-{compression}"), TopicSpec::store())?;
            produce(&place, compression, VALUES)?;
            let node = place.ready_node("one").await?;
            let rows = rows(&node).await?;
            ensure!(rows.len() == VALUES, "{compression}: {} rows", rows.len());
        }
        Ok(())
    })
}

#[test]
fn a_batch_that_unfolds_to_more_than_can_be_read_is_told_as_such() -> Result<()> {
    const VALUES: usize = 540;
    run(async {
        let place = Place::new("unfolded-beyond", TopicSpec::store())?;
        produce(&place, "zstd", VALUES)?;
        let mut node = place.node("one")?;
        node.start().await?;
        let stalled = |status: &outrigger_client::StoreStatus| {
            has_stall(status, StallKind::PoisonBatch) && status.phase() != Phase::Ready
        };
        node.until("the stall", MINUTE, stalled).await?;
        let told = text(&node.ask("status", &[])?);
        ensure!(told.contains("zstd") && told.contains("batch.size"), "{told}");
        Ok(())
    })
}
