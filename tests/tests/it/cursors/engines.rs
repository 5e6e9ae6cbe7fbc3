//! What keeps cursors, on Kafka and embedded: the same cases on both.

use std::sync::Arc;

use anyhow::{Result, ensure};
use outrigger::embedded::{EmbeddedConfig, EmbeddedLog};
use outrigger::index::StoreIndex;
use outrigger::kafka::KafkaLog;
use outrigger::log::{Cursors, Log as _};
use outrigger_core::offset::{Epoch, Offset, Partition};
use outrigger_core::topic::TopicPolicy;
use outrigger_core::watch::cursor::Committed;
use outrigger_tests::kafka::{Cluster, TopicSpec};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tempfile::TempDir;

use crate::e2e::run;
use crate::log_client::config;

const IT: StoreIndex = StoreIndex(0);

fn at(partition: u32, position: u64, epoch: Option<u32>, metadata: &str) -> Committed {
    let (partition, position, epoch) = (Partition(partition), Offset(position), epoch.map(Epoch));
    Committed { partition, position, epoch, metadata: metadata.to_owned() }
}

async fn kept(cursors: &dyn Cursors, group: &str) -> Result<Vec<Committed>> {
    let mut kept = cursors.committed(IT, group).await?;
    kept.sort_by_key(|committed| committed.partition);
    Ok(kept)
}

async fn groups(cursors: &dyn Cursors, prefix: &str) -> Result<Vec<String>> {
    let mut groups = cursors.groups(prefix).await?;
    groups.sort();
    Ok(groups)
}

/// What every engine owes. `prefix`: of groups that nobody else has.
async fn cases(cursors: &dyn Cursors, prefix: &str) -> Result<()> {
    let [one, other] = ["one", "other"].map(|name| format!("{prefix}{name}"));
    ensure!(kept(cursors, &one).await?.is_empty(), "an unknown group has nothing");
    ensure!(groups(cursors, prefix).await?.is_empty());

    let first = vec![at(0, 0, None, "m 1"), at(1, 7, Some(3), "\u{e4}"), at(2, 1 << 40, None, "m")];
    cursors.commit(IT, &one, first.clone()).await?;
    ensure!(kept(cursors, &one).await? == first, "{:?}", kept(cursors, &one).await?);
    cursors.commit(IT, &other, vec![at(1, 5, Some(0), "m")]).await?;
    ensure!(groups(cursors, prefix).await? == [one.clone(), other.clone()]);
    ensure!(groups(cursors, &one).await? == [one.as_str()]);

    // A commit replaces what it names, also by what is below it, and leaves the others.
    cursors.commit(IT, &one, vec![at(1, 2, Some(4), "n")]).await?;
    let second = vec![first[0].clone(), at(1, 2, Some(4), "n"), first[2].clone()];
    ensure!(kept(cursors, &one).await? == second, "{:?}", kept(cursors, &one).await?);

    for _ in 0..2 {
        let partitions = [0, 1, 2].map(Partition).to_vec();
        cursors.delete(IT, &one, partitions).await?;
        ensure!(kept(cursors, &one).await?.is_empty(), "it is deleted");
    }
    // A group of which nothing is left may be there for a while.
    ensure!(groups(cursors, prefix).await?.contains(&other));
    ensure!(kept(cursors, &other).await? == [at(1, 5, Some(0), "m")]);
    Ok(())
}

#[test]
fn kafka_keeps_what_is_committed_in_groups_without_members() -> Result<()> {
    run(async {
        let cluster = Cluster::shared()?;
        let topic = cluster.topic("cursor-groups", TopicSpec::store().partitions(3))?;
        let names = [topic.name().to_owned()];
        let log = KafkaLog::start(&config(&cluster.bootstrap()), &names, Arc::new(|_, _| {}))?;
        let cursors = log.cursors().expect("Kafka has groups");
        cases(&*cursors, &format!("{}.", topic.name())).await
    })
}

/// librdkafka's own mock of brokers is enough: its client ended the process when it heard of another coordinator.
#[test]
fn a_coordinator_that_moves_is_looked_for_and_asked_again() -> Result<()> {
    run(async {
        let mock = MockCluster::new(2)?;
        mock.create_topic("moves", 1, 1)?;
        let (bootstrap, names) = (mock.bootstrap_servers(), ["moves".to_owned()]);
        let log = KafkaLog::start(&config(&bootstrap), &names, Arc::new(|_, _| {}))?;
        let cursors = log.cursors().expect("Kafka has groups");
        for error in [
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        ] {
            mock.request_errors(RDKafkaApiKey::OffsetFetch, &[error]);
            ensure!(kept(&*cursors, "moves.one").await?.is_empty(), "{error:?}");
        }
        Ok(())
    })
}

#[test]
fn the_embedded_log_keeps_the_same() -> Result<()> {
    run(async {
        let dir = TempDir::new()?;
        let log = EmbeddedLog::open(dir.path(), EmbeddedConfig::new(3, TopicPolicy::safe(1)))?;
        let client = log.client(IT, Arc::new(|_, _| {}));
        let cursors = client.cursors().expect("it has a file");
        cases(&*cursors, "a.").await
    })
}
