//! etcd's watch beside ours, as its API has it: one stream of requests and one of events.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tonic::Streaming;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

use crate::bench::calls::etcd::{Etcd, PUT};

/// What we set of etcd's messages, under the numbers of its API.
#[derive(Clone, PartialEq, prost::Message)]
struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    create: Option<WatchCreateRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchCreateRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    /// A single zero byte: everything from `key` on.
    #[prost(bytes = "bytes", tag = "2")]
    range_end: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchResponse {
    #[prost(bool, tag = "3")]
    created: bool,
    /// Messages of their own, which nobody looks into.
    #[prost(bytes = "bytes", repeated, tag = "11")]
    events: Vec<Bytes>,
}

/// etcd with one watch of everything.
pub(super) struct EtcdWatch {
    etcd: Etcd,
    events: Streaming<WatchResponse>,
}

impl EtcdWatch {
    /// Starts it. None where it is not installed.
    pub(super) async fn start(directory: &Path) -> Result<Option<EtcdWatch>> {
        let Some(etcd) = Etcd::start(directory).await? else { return Ok(None) };
        let everything = Bytes::from_static(b"\0");
        let create = WatchCreateRequest { key: everything.clone(), range_end: everything };
        let asked = WatchRequest { create: Some(create) };
        // A stream that ends would end the watch.
        let requests =
            tokio_stream::StreamExt::chain(tokio_stream::once(asked), tokio_stream::pending());
        let mut client = Grpc::new(etcd.channel.clone());
        client.ready().await.context("connecting")?;
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
        let answer = client.streaming(tonic::Request::new(requests), path, codec).await?;
        let mut events = answer.into_inner();
        let created = events.message().await?.context("a watch is answered")?;
        ensure!(created.created, "etcd has not made the watch: {created:?}");
        Ok(Some(EtcdWatch { etcd, events }))
    }

    /// Returns the time from the call of a put until its event.
    pub(super) async fn put_to_event(&mut self, number: u64) -> Result<Duration> {
        let began = Instant::now();
        PUT.once(&self.etcd.channel, number).await?;
        let told = self.events.message().await?.context("a watch has no end")?;
        ensure!(told.events.len() == 1, "one put, and {told:?}");
        Ok(began.elapsed())
    }
}
