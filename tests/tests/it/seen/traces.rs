//! Traces of real calls: each span where it belongs, what nobody asks for is not there, and a collector that is away or
//! hangs costs no call anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use outrigger_client::Scan;
use outrigger_core::offset::{Offset, Partition};
use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::write_item::Action;
use outrigger_proto::v1::{
    GetRequest, Level, PutRequest, ReadOptions, ScanRequest, WriteItem, WriteRequest,
};
use outrigger_tests::kafka::{Isolation, TopicSpec};
use outrigger_tests::node::{Node, free_port};
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::collector::{Collector, Seen};
use super::scrape::until;
use crate::e2e::peers::SLOW;
use crate::e2e::{Place, run};
use crate::site::until_logged;

const P0: Partition = Partition(0);
const KEY: &[u8] = b"a-key-of-the-test";
const VALUE: &[u8] = b"a-value-of-the-test";
const CALLER: &str = "00f067aa0ba902b7";

const PUT: &str = "outrigger.v1.Store/Put";
const GET: &str = "outrigger.v1.Store/Get";
const WRITE: &str = "outrigger.v1.Store/Write";
const SCAN: &str = "outrigger.v1.Store/Scan";

async fn client(node: &Node) -> Result<StoreClient<Channel>> {
    Ok(StoreClient::connect(node.url()).await?)
}

/// The trace with this number, which its caller records.
fn traceparent(number: u32) -> String {
    format!("00-{number:032x}-{CALLER}-01")
}

fn traced<T>(number: u32, message: T) -> Request<T> {
    with(&traceparent(number), message)
}

fn with<T>(traceparent: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", traceparent.parse().expect("visible ASCII"));
    request
}

fn put() -> PutRequest {
    PutRequest { key: KEY.into(), value: VALUE.into(), ..PutRequest::default() }
}

fn latest() -> GetRequest {
    let read = ReadOptions { level: Level::Latest.into(), ..ReadOptions::default() };
    GetRequest { key: KEY.into(), read: Some(read), ..GetRequest::default() }
}

fn message(number: u32) -> WriteRequest {
    let key = Bytes::from(format!("key {number}"));
    let items = vec![WriteItem { key, action: Some(Action::Put(VALUE.into())) }];
    WriteRequest { items, ..WriteRequest::default() }
}

async fn write_stream(node: &Node, trace: u32, messages: u32) -> Result<()> {
    let requests = tokio_stream::iter((0..messages).map(message));
    let mut replies = client(node).await?.write(traced(trace, requests)).await?.into_inner();
    while replies.message().await?.is_some() {}
    Ok(())
}

async fn traced_node(place: &Place, collector: &str, more: &[&str]) -> Result<Node> {
    let mut node = place.node("one")?.with_args(&["--traces", collector]).with_args(more);
    node.start().await?;
    node.until_ready().await?;
    Ok(node)
}

/// The only span of this name in a trace.
fn one<'a>(spans: &'a [Seen], trace: u32, name: &str) -> Result<&'a Seen> {
    let trace = format!("{trace:032x}");
    let mut found = spans.iter().filter(|span| span.trace == trace && span.name == name);
    let span = found.next().with_context(|| format!("no {name} in {spans:#?}"))?;
    ensure!(found.next().is_none(), "two of {name} in {spans:#?}");
    Ok(span)
}

fn is_below(step: &Seen, parent: &Seen) -> Result<()> {
    ensure!(step.parent == parent.id && step.trace == parent.trace, "{step:#?} {parent:#?}");
    ensure!(step.began >= parent.began && step.began <= step.ended, "{step:#?} {parent:#?}");
    Ok(())
}

fn is_within(step: &Seen, parent: &Seen) -> Result<()> {
    is_below(step, parent)?;
    ensure!(step.ended <= parent.ended, "{step:#?} {parent:#?}");
    Ok(())
}

/// The spans of `docs/operating.md`, with their kinds and attributes.
fn documented() -> Result<BTreeMap<String, (String, BTreeSet<String>)>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let page = std::fs::read_to_string(path)?;
    let (_, section) = page.split_once("\n## Traces\n").context("the section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let span = |row: &str| {
        let cells: Vec<_> = row.split(" | ").collect();
        let name = cells[0].trim_end_matches('`').to_owned();
        let attributes = cells[2].split(", ").map(|cell| cell.trim_matches('`').to_owned());
        (name, (cells[1].to_owned(), attributes.collect()))
    };
    Ok(rows.map(span).collect())
}

/// Whether every span is as the page says, and says nothing of keys and values.
fn are_documented(spans: &[Seen]) -> Result<()> {
    let documented = documented()?;
    for span in spans {
        let name = if span.name.contains('/') { "SERVICE/METHOD" } else { &span.name };
        let (kind, attributes) = documented.get(name).with_context(|| format!("{span:#?}"))?;
        ensure!(format!("{:?}", span.kind).to_lowercase() == *kind, "{span:#?}");
        ensure!(span.attributes.keys().all(|key| attributes.contains(key)), "{span:#?}");
        let told = format!("{span:?}");
        ensure!(!told.contains("of-the-test"), "a key or a value is told: {told}");
    }
    Ok(())
}

#[test]
fn a_traced_write_and_a_traced_read_tell_all_their_steps_and_no_other_call_does() -> Result<()> {
    run(async {
        let place = Place::new("traces", TopicSpec::store())?;
        let collector = Collector::start().await?;
        let mut node = traced_node(&place, &collector.url(), &[]).await?;
        let mut store = client(&node).await?;
        let unsampled = format!("00-{:032x}-{CALLER}-00", 9);
        for parent in [unsampled.as_str(), "00-0-0-01", "nonsense", ""] {
            store.put(with(parent, put())).await?;
            store.get(with(parent, latest())).await?;
        }
        store.put(put()).await?;

        let mut request = traced(1, put());
        request.metadata_mut().insert("tracestate", "a=1,b=2".parse()?);
        let revision = store.put(request).await?.into_inner().revision.context("a revision")?;
        store.get(traced(2, latest())).await?;
        let spans = collector.until(&[(PUT, 1), ("apply", 1), (GET, 1), ("read", 1)]).await?;
        ensure!(spans.len() == 6, "nobody else is traced: {spans:#?}");
        are_documented(&spans)?;

        let call = one(&spans, 1, PUT)?;
        ensure!(call.parent == CALLER && call.kind == SpanKind::Server, "{call:#?}");
        ensure!(call.text("rpc.grpc.status_code") == "0" && call.status == StatusCode::Unset);
        ensure!(
            call.text("rpc.service") == "outrigger.v1.Store" && call.text("rpc.method") == "Put"
        );
        ensure!(call.text("outrigger.store") == "state", "{call:#?}");
        ensure!(call.resource["service.name"] == "outrigger", "{call:#?}");
        ensure!(call.resource["service.instance.id"].ends_with("/data"), "{call:#?}");
        let (append, apply) = (one(&spans, 1, "append")?, one(&spans, 1, "apply")?);
        is_within(append, call)?;
        is_below(apply, append)?;
        ensure!(apply.began == append.ended, "{apply:#?} {append:#?}");
        for step in [append, apply] {
            ensure!(step.text("outrigger.partition") == "0", "{step:#?}");
            ensure!(step.text("outrigger.offset") == revision.offset.to_string(), "{step:#?}");
            ensure!(step.state == "a=1,b=2", "{step:#?}");
        }
        let call = one(&spans, 2, GET)?;
        let (wait, read) = (one(&spans, 2, "wait")?, one(&spans, 2, "read")?);
        is_within(wait, call)?;
        is_within(read, call)?;
        ensure!(wait.ended <= read.began, "{wait:#?} {read:#?}");

        let records = place.topic.read(P0, Offset(0), Isolation::Committed)?;
        ensure!(records.len() == 6 && records.iter().all(|record| record.headers == 0));
        ensure!(node.stop()?.success(), "{}", node.log());
        ensure!(!node.log().contains(&call.trace), "{}", node.log());
        Ok(())
    })
}

#[test]
fn a_stream_is_one_span_with_an_append_for_each_message_and_a_scan_has_its_pages() -> Result<()> {
    run(async {
        let place = Place::new("traces-streams", TopicSpec::store())?;
        let collector = Collector::start().await?;
        let mut node = traced_node(&place, &collector.url(), &[]).await?;
        write_stream(&node, 1, 5).await?;
        let store = node.store().await?.with_traceparent(&traceparent(2))?;
        let mut rows = store.scan(Scan::all()).await?;
        while rows.next().await.transpose()?.is_some() {}
        // What a node has not sent when it ends is sent then.
        ensure!(node.stop()?.success(), "{}", node.log());
        let spans = collector.spans();
        are_documented(&spans)?;
        let call = one(&spans, 1, WRITE)?;
        let appends: Vec<_> = spans.iter().filter(|span| span.name == "append").collect();
        ensure!(appends.len() == 5, "{spans:#?}");
        for append in &appends {
            is_within(append, call)?;
            ensure!(append.text("outrigger.changes") == "1", "{append:#?}");
            let apply = spans.iter().find(|span| span.parent == append.id);
            is_below(apply.with_context(|| format!("{spans:#?}"))?, append)?;
        }
        is_within(one(&spans, 2, "read")?, one(&spans, 2, SCAN)?)
    })
}

#[test]
fn a_forwarded_read_is_one_trace_across_both_nodes() -> Result<()> {
    run(async {
        let place = Place::new("traces-forward", TopicSpec::store())?;
        place.fill()?;
        let collector = Collector::start().await?;
        let url = collector.url();
        let giver = place.giver(&[&SLOW[..], &["--traces", &url]].concat()).await?;
        let mut taker = place.taker(&giver)?.with_args(&["--traces", &url]);
        taker.start().await?;
        let mut store = client(&taker).await?;
        let get = GetRequest { key: "key 2500".into(), ..GetRequest::default() };
        let answer = store.get(traced(1, get)).await?.into_inner();
        ensure!(
            answer.copy.context("of a copy")?.given_by == giver.url(),
            "its copy came too fast"
        );
        store.scan(traced(2, ScanRequest { limit: 1, ..ScanRequest::default() })).await?;

        const FORWARD_GET: &str = "outrigger.peer.v1.Peer/ForwardGet";
        let spans =
            collector.until(&[(GET, 1), ("forward", 1), (FORWARD_GET, 1), ("read", 1)]).await?;
        are_documented(&spans)?;
        let (call, forward) = (one(&spans, 1, GET)?, one(&spans, 1, "forward")?);
        let (asked, read) = (one(&spans, 1, FORWARD_GET)?, one(&spans, 1, "read")?);
        is_within(forward, call)?;
        is_within(asked, forward)?;
        is_within(read, asked)?;
        ensure!(forward.kind == SpanKind::Client, "{forward:#?}");
        ensure!(forward.text("outrigger.peer") == giver.url(), "{forward:#?}");
        Ok(())
    })
}

#[test]
fn a_call_that_is_refused_says_how_it_ended() -> Result<()> {
    run(async {
        let place = Place::new("traces-refused", TopicSpec::store())?;
        let collector = Collector::start().await?;
        let node = traced_node(&place, &collector.url(), &[]).await?;
        let nowhere = format!("127.0.0.1:{}", free_port()?);
        let alone = Node::new(place.dir.path(), "alone", &nowhere, "none")?;
        let mut alone = alone.with_args(&["--traces", &collector.url()]);
        alone.start().await?;

        let long = PutRequest { key: vec![b'k'; 40_000].into(), ..put() };
        let refused = client(&node).await?.put(traced(1, long)).await;
        ensure!(refused.is_err_and(|status| status.code() == Code::InvalidArgument));
        let refused = client(&alone).await?.put(traced(2, put())).await;
        ensure!(refused.is_err_and(|status| status.code() == Code::Unavailable));
        let spans = collector.until(&[(PUT, 2)]).await?;
        are_documented(&spans)?;
        let (callers, nodes) = (one(&spans, 1, PUT)?, one(&spans, 2, PUT)?);
        ensure!(callers.text("rpc.grpc.status_code") == "3", "{callers:#?}");
        ensure!(callers.text("outrigger.reason") == "REASON_KEY_TOO_LARGE", "{callers:#?}");
        ensure!(callers.status == StatusCode::Unset, "it is the caller's: {callers:#?}");
        ensure!(nodes.text("rpc.grpc.status_code") == "14", "{nodes:#?}");
        ensure!(nodes.status == StatusCode::Error, "{nodes:#?}");
        Ok(())
    })
}

fn lost(outcome: &str) -> String {
    format!("outrigger_trace_spans_total{{outcome=\"{outcome}\"}}")
}

#[test]
fn a_collector_that_is_away_or_hangs_costs_spans_and_no_call() -> Result<()> {
    run(async {
        let hanging = Collector::hanging().await?;
        let away = format!("http://127.0.0.1:{}", free_port()?);
        for (name, collector) in [("traces-away", away), ("traces-hang", hanging.url())] {
            let (place, port) = (Place::new(name, TopicSpec::store())?, free_port()?);
            let metrics = format!("127.0.0.1:{port}");
            let mut node = traced_node(&place, &collector, &["--metrics", &metrics]).await?;
            // More than may wait to be sent.
            write_stream(&node, 1, 4_000).await?;
            let is_counted = |outcome: &'static str| {
                until(port, outcome, move |seen| {
                    seen.get(&lost(outcome)).is_some_and(|lost| *lost > 0.0)
                })
            };
            is_counted("failed").await?;
            if name == "traces-hang" {
                is_counted("dropped").await?;
            }
            let seen = until(port, "a scrape", |_| true).await?;
            ensure!(seen.get(&lost("sent")) == Some(&0.0), "{seen:#?}");
            until_logged(&node, "spans are lost").await?;
            client(&node).await?.put(traced(2, put())).await?;
            ensure!(node.stop()?.success(), "{}", node.log());
            let log = node.log();
            ensure!(log.matches("spans are lost").count() == 1, "{log}");
            ensure!(log.contains("it lacks the last spans") == (name == "traces-hang"), "{log}");
        }
        Ok(())
    })
}
