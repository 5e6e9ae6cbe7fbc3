//! What callers make a node hold is bounded, whoever they are.

use std::io::Write;
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

use super::{MINUTE, POLL, in_time, rows, run};

/// What README says of a node with the `memory` of this test, 64 MiB, whatever its callers do.
const PEAK_MIB_MAX: f64 = 64.0 + 384.0;

const VALUE_BYTES: usize = 900_000;
const CONNECTIONS: usize = 12;
const GETS: u32 = 1_000;

async fn ready(name: &str, dir: &TempDir) -> Result<Node> {
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

async fn bounded(node: &mut Node) -> Result<()> {
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
            .map(|_| calls_without_a_window(&node, "/outrigger.v1.Store/Get", &get, GETS))
            .collect::<Result<_>>()?;
        bounded(&mut node).await?;
        drop(closed);
        Ok(())
    })
}

/// HTTP/2 by hand, for no library lets its caller keep the window closed: one byte of each answer is taken.
fn calls_without_a_window(
    node: &Node,
    path: &str,
    message: &[u8],
    calls: u32,
) -> Result<TcpStream> {
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    const DATA: u8 = 0;
    const END_HEADERS: u8 = 4;
    const END_STREAM: u8 = 1;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // Setting 4 is the first window of a stream.
    frame(&mut bytes, SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])?;
    let mut headers = vec![0x83, 0x86];
    literal(&mut headers, &[0x04], path)?;
    literal(&mut headers, &[0x01], "node")?;
    literal(&mut headers, &[0x0f, 0x10], "application/grpc")?;
    literal(&mut headers, b"\x00\x02te", "trailers")?;
    let mut body = vec![0];
    body.extend(u32::try_from(message.len())?.to_be_bytes());
    body.extend(message);
    for stream in (0..calls).map(|call| 2 * call + 1) {
        frame(&mut bytes, HEADERS, END_HEADERS, stream, &headers)?;
        frame(&mut bytes, DATA, END_STREAM, stream, &body)?;
    }
    let mut connection = TcpStream::connect(node.url().trim_start_matches("http://"))?;
    connection.set_write_timeout(Some(MINUTE))?;
    connection.write_all(&bytes).context("the node reads calls")?;
    Ok(connection)
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<()> {
    bytes.extend(&u32::try_from(payload.len())?.to_be_bytes()[1..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    Ok(())
}

/// A header that is not indexed, short enough for a length of one byte.
fn literal(headers: &mut Vec<u8>, name: &[u8], value: &str) -> Result<()> {
    headers.extend(name);
    headers.push(u8::try_from(value.len())?);
    headers.extend(value.bytes());
    Ok(())
}

/// On the wire a WriteRequest, without what bounds ours.
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
