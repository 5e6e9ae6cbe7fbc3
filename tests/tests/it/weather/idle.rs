//! A firewall, or a balancer, that forgets connections which were silent, and tells nobody: what comes next vanishes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::{Client, ErrorKind, Level};
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::{Node, STORE};
use outrigger_tests::weather::{Proxy, Weather};
use tempfile::TempDir;

/// The firewall forgets a connection after this time.
const IDLE: Duration = Duration::from_secs(2);
const QUIET: Duration = Duration::from_secs(3);

/// The firewall forgets after this time: it passes between two questions to a broker in whose place others could be
/// asked.
const SELDOM: Duration = Duration::from_millis(4_800);
const WATCHED: Duration = Duration::from_secs(40);

/// This is well below the 10 s for which a node tries to write: one attempt must not take them all.
const WRITE_MAX: Duration = Duration::from_secs(7);

#[test]
fn a_write_after_a_quiet_time_is_acknowledged_although_the_way_to_kafka_was_forgotten() -> Result<()>
{
    super::run(async {
        let cluster = Cluster::start_behind_proxies(1, &[])?;
        let topic = cluster.topic("forgotten", TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.outside(), topic.name())?;
        node.start().await?;
        node.until_ready().await?;
        let store = node.store().await?.with_write_deadline(WRITE_MAX);
        cluster.set_weather(Weather::Forget { idle: IDLE });
        store.put("a", "1").await?;
        for round in 0..2 {
            tokio::time::sleep(QUIET).await;
            let written = store.put("a", format!("{round}")).await;
            let revision = written.with_context(|| format!("round {round}:\n{}", node.log()))?;
            let read = store.clone().with_level(Level::Latest).get("a").await?;
            ensure!(read.is_some_and(|entry| entry.revision == revision), "round {round}");
        }
        Ok(())
    })
}

/// There are several brokers, of which some are asked seldom: no question of a read may go into a connection that was
/// forgotten.
#[test]
fn reads_of_the_latest_go_on_although_ways_to_brokers_are_forgotten() -> Result<()> {
    super::run(async {
        let cluster = Cluster::start_behind_proxies(3, &[])?;
        let topic = cluster.topic("latest", TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.outside(), topic.name())?;
        node.start().await?;
        node.until_ready().await?;
        cluster.set_weather(Weather::Forget { idle: SELDOM });
        let store = node.store().await?.with_level(Level::Latest);
        let began = Instant::now();
        while began.elapsed() < WATCHED {
            let read = store.get("a").await;
            read.with_context(|| format!("after {:?}:\n{}", began.elapsed(), node.log()))?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    })
}

/// The connection is found dead long before the call's time is over, and the next call makes another.
#[test]
fn a_call_into_nothing_ends_with_its_connection_and_not_at_its_deadline() -> Result<()> {
    super::run(async {
        let cluster = Cluster::shared()?;
        let topic = cluster.topic("into-nothing", TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        node.start().await?;
        node.until_ready().await?;
        let proxy = Proxy::before(node.address())?;
        let store = Client::connect(&proxy.url()).await?.store(STORE);
        let store = store.with_write_deadline(Duration::from_secs(60));
        store.put("a", "1").await?;
        proxy.set(Weather::Vanish);
        let error = store.put("a", "2").await.err().context("nobody can have answered")?;
        ensure!(error.kind() == ErrorKind::Broken && error.may_have_happened(), "{error:?}");
        proxy.set(Weather::Clear);
        // A call may still meet the connection that was given up.
        let until = Instant::now() + Duration::from_secs(60);
        while let Err(error) = store.put("a", "3").await {
            let met_it = matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Broken);
            ensure!(met_it && Instant::now() < until, "{error:?}");
        }
        Ok(())
    })
}

/// The client keeps an idle connection in use: the firewall never forgets it.
#[test]
fn a_caller_that_was_quiet_finds_its_node_although_a_firewall_forgets() -> Result<()> {
    super::run(async {
        let cluster = Cluster::shared()?;
        let topic = cluster.topic("quiet-caller", TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        node.start().await?;
        node.until_ready().await?;
        let proxy = Proxy::before(node.address())?;
        proxy.set(Weather::Forget { idle: Duration::from_secs(12) });
        let store = Client::connect(&proxy.url()).await?.store(STORE);
        store.put("a", "1").await?;
        tokio::time::sleep(Duration::from_secs(15)).await;
        store.with_write_deadline(WRITE_MAX).put("a", "2").await?;
        Ok(())
    })
}
