//! What operators count: every call that fails, and every item that fails alone, once.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use outrigger_proto::limits::{KEY_BYTES_MAX, REQUEST_BYTES_MAX};
use outrigger_proto::v1::{
    GetRequest, KeyRange, PutRequest, ScanRequest, StatusRequest, ThrottleRequest, VerifyRequest,
    WatchStatusRequest, WriteItem, WriteRequest, scan_request::Keys, write_item::Action,
};
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::{Node, free_port};
use prost::Message;
use tempfile::TempDir;
use tonic::transport::Channel;

use super::run;
use crate::api::refusals::call;
use crate::seen::page;

type Counts = BTreeMap<String, u64>;

#[test]
fn every_failure_is_counted_once() -> Result<()> {
    run(async {
        let cluster = Cluster::shared()?;
        let topic = cluster.topic("counted-failures", TopicSpec::store())?;
        let (dir, metrics) = (TempDir::new()?, free_port()?);
        let node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        let mut node = node.with_args(&["--metrics", &format!("127.0.0.1:{metrics}")]);
        node.start().await?;
        node.until_ready().await?;
        let channel = Channel::from_shared(node.url())?.connect().await?;
        for (method, message, reason, times) in table() {
            let before = counts(metrics)?;
            let answered = call(&channel, &format!("outrigger.v1.{method}"), vec![message]).await;
            let mut expected = before.clone();
            *expected.entry(reason.to_owned()).or_default() += times;
            let after = counts(metrics)?;
            ensure!(after == expected, "{method}: {answered:?}\n{before:?}\n{after:?}");
        }
        Ok(())
    })
}

/// What is asked, why it fails, and how often that is.
fn table() -> Vec<(&'static str, Bytes, &'static str, u64)> {
    let other = || "other".to_owned();
    let key = Bytes::from(vec![0; KEY_BYTES_MAX + 1]);
    let item = WriteItem { key: key.clone(), action: Some(Action::Put("v".into())) };
    let writes = WriteRequest { items: vec![item; 3], ..WriteRequest::default() };
    let many = b"\x12\x00".repeat(20_000);
    let range = Keys::Range(KeyRange { start: "b".into(), end: Some("a".into()) });
    let backwards = ScanRequest { keys: Some(range), ..ScanRequest::default() };
    let zeros = |bytes| Bytes::from(vec![0; bytes]);
    let nonsense = Bytes::from_static(b"\x0a\xff\x01x");
    let asks = |message: Vec<u8>| Bytes::from(message);
    let put = PutRequest { key, ..PutRequest::default() };
    let mebibyte = 1024 * 1024;
    vec![
        (
            "Store/Get",
            asks(GetRequest { store: other(), ..GetRequest::default() }.encode_to_vec()),
            "unknown_store",
            1,
        ),
        ("Store/Get", nonsense.clone(), "invalid_request", 1),
        ("Store/Get", zeros(mebibyte + 1), "request_too_large", 1),
        ("Store/Put", asks(put.encode_to_vec()), "key_too_large", 1),
        ("Store/Put", zeros(REQUEST_BYTES_MAX + 1), "request_too_large", 1),
        ("Store/Scan", asks(backwards.encode_to_vec()), "invalid_range", 1),
        ("Store/Fly", nonsense.clone(), "unimplemented", 1),
        ("Store/Write", asks(writes.encode_to_vec()), "key_too_large", 3),
        ("Store/Write", nonsense.clone(), "invalid_request", 1),
        ("Store/Write", many.into(), "invalid_request", 1),
        ("Store/Write", zeros(REQUEST_BYTES_MAX + 1), "request_too_large", 1),
        (
            "Admin/Status",
            asks(StatusRequest { store: other(), with_digest: false }.encode_to_vec()),
            "unknown_store",
            1,
        ),
        (
            "Admin/WatchStatus",
            asks(WatchStatusRequest { store: other(), interval_ms: 0 }.encode_to_vec()),
            "unknown_store",
            1,
        ),
        ("Admin/Verify", asks(VerifyRequest { ask: None }.encode_to_vec()), "invalid_request", 1),
        ("Admin/Verify", zeros(mebibyte + 1), "request_too_large", 1),
        (
            "Admin/Throttle",
            asks(ThrottleRequest { bytes_per_second: Some(0) }.encode_to_vec()),
            "invalid_request",
            1,
        ),
    ]
}

/// What the node has counted, by reason.
fn counts(port: u16) -> Result<Counts> {
    let (_, _, text) = page(port, "/metrics")?;
    let failures =
        text.lines().filter_map(|line| line.strip_prefix("outrigger_failures_total{reason=\""));
    let counts = failures.map(|line| {
        let (reason, count) = line.split_once("\"} ").context("a reason and a count")?;
        Ok((reason.to_owned(), count.parse()?))
    });
    counts.collect()
}
