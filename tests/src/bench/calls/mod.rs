//! What one call costs: CPU of the server and of the broker behind it, with etcd's beside it, all called by one
//! generator; and how long one takes alone.

mod alone;
mod cost;
pub(super) mod etcd;
mod generator;

use anyhow::{Context, Result, ensure};
use outrigger_client::Level;
use outrigger_client::proto::v1::{self, GetRequest, PutRequest, ReadOptions};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;

pub(super) use self::cost::{Line, Server};
use self::etcd::Etcd;
use self::generator::{Call, encoded, key, value};
use super::ROUNDS;
use crate::kafka::{Cluster, TopicSpec};
use crate::node::{Node, STORE};

/// The emptiest call that our server answers.
const EMPTY: Call = Call::new("/grpc.health.v1.Health/Check", |_| {
    encoded(&HealthCheckRequest { service: String::new() })
});
pub(super) const PUT: Call = Call::new("/outrigger.v1.Store/Put", |number| {
    encoded(&PutRequest {
        store: STORE.to_owned(),
        key: key(number),
        value: value(),
        ..PutRequest::default()
    })
});
pub(super) const GET_LOCAL: Call =
    Call::new("/outrigger.v1.Store/Get", |number| get(number, v1::Level::Local));
const GET_LATEST: Call =
    Call::new("/outrigger.v1.Store/Get", |number| get(number, v1::Level::Latest));

pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    let topic = cluster.topic("bench-calls", TopicSpec::store())?;
    // The raw producer has a topic of its own, or the node would read what it writes meanwhile.
    let raw_topic = cluster.topic("bench-calls-raw", TopicSpec::store())?;
    let directory = TempDir::new()?;
    let mut node = Node::new(directory.path(), "node", &cluster.bootstrap(), topic.name())?;
    node.start().await?;
    node.until_ready().await?;
    let ours = Server {
        channel: Channel::from_shared(node.url())?.connect().await?,
        process: node.process()?,
        broker: Some(cluster.process(1)?),
    };
    let etcd = Etcd::start(directory.path()).await?;

    // What is read was written before, by the warm-up.
    let mut lines = vec![
        Line::new("the server's emptiest call (health check)", &ours, EMPTY),
        Line::new("Put, 100 bytes", &ours, PUT),
        Line::new("Get LOCAL", &ours, GET_LOCAL),
        Line::new("Get LATEST", &ours, GET_LATEST),
    ];
    if let Some(etcd) = &etcd {
        lines.extend(beside(etcd)?);
    }
    for line in &lines {
        line.warm_up().await?;
    }
    check(&node).await?;
    for _ in 0..ROUNDS {
        for line in &mut lines {
            line.turn().await?;
        }
    }
    cost::print(&lines);
    alone::run(&ours, &raw_topic).await
}

fn beside(etcd: &Etcd) -> Result<[Line; 3]> {
    println!(
        "beside ours: etcd {}, one node, which syncs its log before it answers",
        Etcd::version()?
    );
    let server = Server { channel: etcd.channel.clone(), process: etcd.process.id(), broker: None };
    Ok([
        Line::new("etcd put", &server, etcd::PUT),
        Line::new("etcd range, serializable", &server, etcd::SERIALIZABLE),
        Line::new("etcd range, linearizable", &server, etcd::LINEARIZABLE),
    ])
}

fn get(number: u64, level: v1::Level) -> Vec<u8> {
    let options = ReadOptions { level: level.into(), ..ReadOptions::default() };
    encoded(&GetRequest { store: STORE.to_owned(), key: key(number), read: Some(options) })
}

/// Checks that what the generator reads is there: it does not look at answers itself.
async fn check(node: &Node) -> Result<()> {
    let store = node.store().await?.with_level(Level::Latest);
    let first = String::from_utf8(key(0).to_vec()).context("keys are text")?;
    ensure!(store.get(&first).await?.is_some(), "the warm-up has written {first}");
    Ok(())
}
