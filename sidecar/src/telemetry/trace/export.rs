//! Spans on their way to the collector: gathered for a moment, sent together, and lost where it does not take them.
//!
//! OpenTelemetry's own queue does not tell how many it loses, and its exporter has a dozen variables beside our setting.
//! Here nothing is sent twice and nobody waits: a collector that is away costs counters and a line of the log once a
//! minute.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use crate::escape::escape;
use crate::seldom::Seldom;
use crate::telemetry::collector::Collector;
use crate::telemetry::metrics::Spans;

/// Spans that wait to be sent: a KiB or so each.
const QUEUE_MAX: usize = 2_048;

/// Spans that are sent together at most.
const BATCH_MAX: usize = 512;

/// How long the first of them waits for others.
const GATHER_MAX: Duration = Duration::from_secs(1);

/// How long the collector may take to answer.
const SEND_MAX: Duration = Duration::from_secs(5);

/// That spans are lost is not logged again before this.
const NEWS_EVERY: Duration = Duration::from_secs(60);

/// Letters of what a collector says that are logged.
const SAID_MAX: usize = 200;

/// Where spans go when they end. It has no more than [`QUEUE_MAX`] of them.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    dropped: Arc<AtomicU64>,
    counted: Spans,
}

/// What sends them.
pub(super) struct Exporter {
    collector: Collector,
    client: TraceServiceClient<Channel>,
    resource: ResourceAttributesWithSchema,
    spans: mpsc::Receiver<SpanData>,
    /// Spans that found no room and were not told of.
    dropped: Arc<AtomicU64>,
    /// Spans that were not sent and not told of, and why the last ones were not.
    failed: u64,
    why: String,
    counted: Spans,
    news: Seldom,
    ending: CancellationToken,
}

/// It must be called on a tokio runtime.
pub(super) fn queue(
    collector: &Collector,
    resource: &Resource,
    counted: Spans,
    ending: CancellationToken,
) -> (Queue, Exporter) {
    let (sender, spans) = mpsc::channel(QUEUE_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let queue = Queue { spans: sender, dropped: dropped.clone(), counted: counted.clone() };
    let exporter = Exporter {
        collector: collector.clone(),
        client: client(collector),
        resource: resource.into(),
        spans,
        dropped,
        failed: 0,
        why: String::new(),
        counted,
        news: Seldom::new(NEWS_EVERY),
        ending,
    };
    (queue, exporter)
}

fn client(collector: &Collector) -> TraceServiceClient<Channel> {
    let endpoint = Endpoint::from(collector.uri()).connect_timeout(SEND_MAX);
    TraceServiceClient::new(endpoint.connect_lazy())
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.counted.dropped.increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Exporter {
    /// Sends spans until the node ends, and then what is left.
    pub(super) async fn run(mut self) {
        loop {
            let batch = self.gather().await;
            if batch.is_empty() {
                return;
            }
            self.send(batch).await;
        }
    }

    /// Returns the spans to be sent next; none: the node ends, and there are no more.
    async fn gather(&mut self) -> Vec<SpanData> {
        let mut batch = Vec::new();
        let mut pause = pin!(sleep(GATHER_MAX));
        loop {
            let (first, room) = (batch.is_empty(), BATCH_MAX - batch.len());
            tokio::select! {
                biased;
                () = self.ending.cancelled(), if !self.spans.is_closed() => self.spans.close(),
                came = self.spans.recv_many(&mut batch, room) => {
                    if came == 0 || batch.len() == BATCH_MAX {
                        return batch;
                    }
                    if first {
                        pause.as_mut().reset(Instant::now() + GATHER_MAX);
                    }
                }
                () = &mut pause, if !first => return batch,
            }
        }
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let count = u64::try_from(batch.len()).expect("a count fits 64 bits");
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let request = ExportTraceServiceRequest { resource_spans };
        let answer = timeout(SEND_MAX, self.client.export(request)).await;
        let (failed, why) = match answer {
            Ok(Ok(answer)) => rejected(answer, count),
            Ok(Err(status)) => (count, told(&status)),
            Err(_late) => {
                // Perhaps nobody is there any more, and collectors do not like to be asked for it.
                self.client = client(&self.collector);
                (count, format!("no answer within {SEND_MAX:?}"))
            }
        };
        self.counted.sent.increment(count - failed);
        self.counted.failed.increment(failed);
        if failed > 0 {
            self.failed += failed;
            self.why = why;
        }
        self.tell();
    }

    /// Tells what was lost, if it is time to.
    fn tell(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if self.failed + dropped == 0 || self.news.now(Instant::now()).is_none() {
            return;
        }
        let (failed, why) = (std::mem::take(&mut self.failed), std::mem::take(&mut self.why));
        self.dropped.fetch_sub(dropped, Ordering::Relaxed);
        tracing::warn!(
            collector = %self.collector,
            failed,
            dropped,
            why,
            "spans are lost: the collector of traces does not take them all"
        );
    }
}

/// Returns how many of `count` spans the collector has rejected, and what it says of it.
fn rejected(answer: Response<ExportTraceServiceResponse>, count: u64) -> (u64, String) {
    let partly = answer.into_inner().partial_success.unwrap_or_default();
    let rejected = u64::try_from(partly.rejected_spans).unwrap_or_default();
    (rejected.min(count), said(&partly.error_message))
}

fn told(status: &Status) -> String {
    format!("{:?}: {}", status.code(), said(status.message()))
}

/// What somebody else says is shown on one line, and not in any length.
fn said(text: &str) -> String {
    escape(text.chars().take(SAID_MAX).collect::<String>().as_bytes())
}
