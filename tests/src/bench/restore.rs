//! A node with an empty disk against the raw reading rate of the same topic.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_client::proto::v1::Phase;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use tempfile::TempDir;

use super::{ROUNDS, median, per_second, raw, report};
use crate::kafka::{Cluster, Topic, TopicSpec};
use crate::node::Node;

const RECORDS: u64 = 2_000_000;
const KEYS: u64 = 865_000;
const MIB: f64 = 1_048_576.0;

pub async fn run(cluster: &Cluster) -> Result<()> {
    let topic = cluster
        .topic("bench-restore", TopicSpec::store().set("min.compaction.lag.ms", "86400000"))?;
    fill(&cluster.bootstrap(), topic.name())?;
    let (mut raws, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut memory = None;
    for _ in 0..ROUNDS {
        let raw = per_second(RECORDS, raw::consume(&cluster.bootstrap(), topic.name(), RECORDS)?);
        let (rate, used) = restore(cluster, &topic).await?;
        ratios.push(rate / raw);
        raws.push(raw);
        ours.push(rate);
        memory = Some(used);
    }
    let (ours, raws, ratio) = (median(ours), median(raws), median(ratios));
    report("restore, 2 M records of 16+100 B", ours, "raw batch consume", raws, "records/s", ratio);
    let (peak, rest) = memory.context("there was a round")?;
    println!(
        "memory: {:.0} MiB at the restore's peak, {:.0} MiB at rest after it",
        peak / MIB,
        rest / MIB
    );
    Ok(())
}

/// Keys of 16 bytes, values of 100; most keys more than once.
fn fill(bootstrap: &str, topic: &str) -> Result<()> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .create()?;
    let mut value = [0_u8; 100];
    for number in 0..RECORDS {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let key = format!("{:016x}", (mixed >> 20) % KEYS);
        for (at, byte) in value.iter_mut().enumerate() {
            // Half of it compresses, as text does.
            *byte = if at % 2 == 0 {
                b'a'
            } else {
                mixed.rotate_left(u32::try_from(at)?).to_le_bytes()[0]
            };
        }
        while let Err((error, _)) =
            producer.send(BaseRecord::to(topic).partition(0).key(&key).payload(&value[..]))
        {
            ensure!(error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(std::time::Duration::from_millis(5));
        }
    }
    Ok(producer.flush(std::time::Duration::from_secs(120))?)
}

/// Records per second from process start to READY; resident memory at its peak and afterwards, bytes.
async fn restore(cluster: &Cluster, topic: &Topic) -> Result<(f64, (f64, f64))> {
    let dir = TempDir::new()?;
    let mut node = Node::new(dir.path(), "node", &cluster.bootstrap(), topic.name())?;
    let began = Instant::now();
    node.start().await?;
    let status = node.until_ready().await?;
    let took = began.elapsed();
    ensure!(status.phase() == Phase::Ready);
    ensure!(status.partitions[0].position >= RECORDS, "everything was read: {status:?}");
    Ok((per_second(RECORDS, took), (node.memory("VmHWM:")?, node.memory("VmRSS:")?)))
}
