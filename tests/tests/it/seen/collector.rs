//! What stands for an OpenTelemetry collector: it takes spans over OTLP, and keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::e2e::MINUTE;
use crate::site::POLL;

/// A span as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) trace: String,
    pub(super) state: String,
    pub(super) id: String,
    pub(super) parent: String,
    /// Nanoseconds since the Unix epoch.
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) status: StatusCode,
    pub(super) attributes: BTreeMap<String, String>,
    /// What it says of the process.
    pub(super) resource: BTreeMap<String, String>,
}

/// It listens for as long as its runtime runs.
pub(super) struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Seen>>>,
}

struct Taking {
    answers: bool,
    spans: Arc<Mutex<Vec<Seen>>>,
}

impl Collector {
    pub(super) async fn start() -> Result<Collector> {
        Collector::listen(true).await
    }

    /// It takes spans and never says so.
    pub(super) async fn hanging() -> Result<Collector> {
        Collector::listen(false).await
    }

    async fn listen(answers: bool) -> Result<Collector> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, spans) = (listener.local_addr()?, Arc::default());
        let taking = TraceServiceServer::new(Taking { answers, spans: Arc::clone(&spans) });
        let connections = TcpListenerStream::new(listener);
        tokio::spawn(Server::builder().add_service(taking).serve_with_incoming(connections));
        Ok(Collector { address, spans })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that came.
    pub(super) fn spans(&self) -> Vec<Seen> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until there are this many spans of each of these names, and returns all that came.
    pub(super) async fn until(&self, wanted: &[(&str, usize)]) -> Result<Vec<Seen>> {
        let deadline = Instant::now() + MINUTE;
        loop {
            let spans = self.spans();
            let count = |name: &str| spans.iter().filter(|span| span.name == name).count();
            if wanted.iter().all(|(name, times)| count(name) >= *times) {
                return Ok(spans);
            }
            let names: BTreeSet<_> = spans.iter().map(|span| &span.name).collect();
            ensure!(Instant::now() < deadline, "{wanted:?}: not in time, but {names:?}");
            tokio::time::sleep(POLL).await;
        }
    }
}

#[tonic::async_trait]
impl TraceService for Taking {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_process in request.into_inner().resource_spans {
            let resource = texts(of_process.resource.unwrap_or_default().attributes);
            let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let spans = spans.map(|span| Seen::of(span, &resource));
            self.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
        }
        if !self.answers {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Seen {
    fn of(span: Span, resource: &BTreeMap<String, String>) -> Seen {
        Seen {
            kind: span.kind(),
            status: span.status.as_ref().map_or(StatusCode::Unset, |status| status.code()),
            name: span.name,
            trace: hex(&span.trace_id),
            state: span.trace_state,
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            began: span.start_time_unix_nano,
            ended: span.end_time_unix_nano,
            attributes: texts(span.attributes),
            resource: resource.clone(),
        }
    }

    pub(super) fn text(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }
}

/// Attributes as text. Two of one name would be wrong, and are shown as such.
fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for KeyValue { key, value, .. } in attributes {
        let text = match value.and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        };
        let twice = texts.insert(key, text.clone());
        if let Some(twice) = twice {
            texts.insert("twice".to_owned(), format!("{twice}, {text}"));
        }
    }
    texts
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
