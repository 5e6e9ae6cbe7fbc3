//! What callers make a node hold is bounded, whoever they are.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_proto::v1::{
    ErrorDetail, GetRequest, Reason, WriteItem, WriteRequest, WriteResponse,
};
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::{Node, STORE};
use prost::Message;
use tempfile::TempDir;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

use super::http2::{Calls, Sent, message};
use super::{POLL, in_time, rows, run};

/// What docs/operating.md says of a node with the `memory` of this test, 64 MiB, whatever its callers do.
const PEAK_MIB_MAX: f64 = 64.0 + 448.0;

const VALUE_BYTES: usize = 900_000;
const CONNECTIONS: usize = 12;
const GETS: usize = 1_000;

pub(super) async fn ready(name: &str, dir: &TempDir) -> Result<Node> {
    let cluster = Cluster::shared()?;
    let topic = cluster.topic(name, TopicSpec::store())?;
    let node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
    let mut node = node.with_args(&["--memory", "64MiB"]);
    node.start().await?;
    node.until_ready().await?;
    Ok(node)
}

/// Waits until the process takes no more than before: whatever it does for its callers is done.
async fn settled(node: &mut Node) -> Result<f64> {
    let (mut peak, mut since) = (node.usage()?.peak_mib, Instant::now());
    while since.elapsed() < Duration::from_secs(3) {
        let now = node.usage()?.peak_mib;
        if now > peak + 1.0 {
            (peak, since) = (now, Instant::now());
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(peak)
}

pub(super) async fn bounded(node: &mut Node) -> Result<()> {
    let peak = settled(node).await?;
    println!("at its highest {peak:.0} MiB");
    ensure!(peak < PEAK_MIB_MAX, "{peak} MiB:\n{}", node.log());
    let status = in_time("status", node.status()).await?;
    ensure!(status.is_ok(), "others are served: {status:?}");
    Ok(())
}

#[test]
fn answers_that_nobody_takes_are_bounded() -> Result<()> {
    run(async {
        let dir = TempDir::new()?;
        let mut node = ready("untaken-answers", &dir).await?;
        in_time("a write", node.store().await?.put("large", vec![7; VALUE_BYTES])).await??;
        let get = GetRequest { key: "large".into(), ..GetRequest::default() }.encode_to_vec();
        let closed: Vec<TcpStream> = (0..CONNECTIONS)
            .map(|number| {
                // On some connections not one byte of an answer can be sent, on others one byte of each.
                let mut calls = Calls::new(u8::try_from(number % 2)?)?;
                for _ in 0..GETS {
                    calls.open("/outrigger.v1.Store/Get", &message(&get)?, Sent::Whole)?;
                }
                calls.send(&node)
            })
            .collect::<Result<_>>()?;
        bounded(&mut node).await?;
        drop(closed);
        Ok(())
    })
}

/// A WriteRequest on the wire, without what bounds ours.
#[derive(Clone, PartialEq, Message)]
struct Items {
    #[prost(bytes = "vec", repeated, tag = "2")]
    items: Vec<Vec<u8>>,
}

#[test]
fn a_message_of_two_million_items_is_refused_by_name_and_not_decoded() -> Result<()> {
    run(async {
        let dir = TempDir::new()?;
        let mut node = ready("tiny-items", &dir).await?;
        for _ in 0..CONNECTIONS {
            let channel = Channel::from_shared(node.url())?.connect().await?;
            let mut grpc = Grpc::new(channel);
            grpc.ready().await?;
            let items = Items { items: vec![Vec::new(); 2_000_000] };
            let codec = tonic_prost::ProstCodec::<Items, WriteResponse>::default();
            let path = PathAndQuery::from_static("/outrigger.v1.Store/Write");
            let request = tonic::Request::new(tokio_stream::once(items));
            let answers = in_time("the head", grpc.streaming(request, path, codec)).await??;
            let ended = in_time("the end", answers.into_inner().message()).await?;
            let status = ended.err().context("it is refused")?;
            let detail =
                ErrorDetail::from_status(&status).with_context(|| format!("{status:?}"))?;
            ensure!(detail.reason() == Reason::InvalidRequest, "{detail:?}");
            ensure!(!detail.may_have_happened, "{detail:?}");
        }
        bounded(&mut node).await
    })
}

#[test]
fn errors_that_nobody_reads_are_bounded() -> Result<()> {
    run(async {
        let dir = TempDir::new()?;
        let mut node = ready("unread-errors", &dir).await?;
        let mut open = vec![];
        for _ in 0..CONNECTIONS {
            let request = WriteRequest {
                store: STORE.to_owned(),
                items: vec![WriteItem::default(); 1_000],
                ..WriteRequest::default()
            };
            let wrong = tokio_stream::iter(std::iter::repeat_n(request, 1_000));
            let mut rows = rows(&node).await?;
            open.push(in_time("the head", rows.write(wrong)).await??);
        }
        bounded(&mut node).await?;
        drop(open);
        Ok(())
    })
}
