//! Traces: what this node does for a call that belongs to one, told to an OpenTelemetry collector.
//!
//! ```text
//! traceparent ─► Call ─► current() ─┬─► steps of the call: admission, wait, read, forward
//!                                   └─► Append ─ the log's answer ─► Applies ─ reads show it
//!                           each, when it ends ─► export::Queue ─► export::Exporter ─► collector
//! ```
//! Only a call that brings a `traceparent` which says that it is recorded has spans: whoever calls decides, and whoever
//! does not ask pays nothing but a look at whether there are traces at all. No span has a key or a value, and nothing
//! goes into the log.
//!
//! Spans are OpenTelemetry's own and none of `tracing`: a span there could be seen by the lines of the log and their
//! filter, and would be looked for in every call.

mod call;
mod export;
mod headers;
mod step;
mod table;
mod write;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanLimits};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::collector::Collector;
use super::metrics::Spans;

pub(crate) use self::call::Call;
pub(crate) use self::headers::Headers;
pub(crate) use self::step::{Span, admission, forward, read, wait};
pub(crate) use self::write::{Append, Applies};

/// How long the end of a node waits for its last spans to be sent.
const LAST_SPANS_MAX: Duration = Duration::from_secs(2);

/// What makes the spans of this process; none: there are no traces. It is set once, so that a call finds out with one
/// load.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// The traces of this process.
#[must_use = "the last spans are sent when it is told to end"]
pub(crate) struct Traces {
    exporter: JoinHandle<()>,
    ending: CancellationToken,
}

/// Sends the traces of calls to `collector` from now on. `node`: the name of this node on its machine.
///
/// It must be called on a tokio runtime, once in a process, after the metrics were started.
pub(crate) fn start(collector: &Collector, node: Option<String>) -> Traces {
    let resource = resource(node);
    let ending = CancellationToken::new();
    let (queue, exporter) = export::queue(collector, &resource, Spans::begin(), ending.clone());
    let provider = SdkTracerProvider::builder()
        .with_span_processor(queue)
        // The caller has decided. What is said here holds whatever variables of OpenTelemetry's this process was given.
        .with_sampler(Sampler::AlwaysOn)
        .with_span_limits(SpanLimits::default())
        .with_resource(resource)
        .build();
    TRACER.get_or_init(|| provider.tracer("outrigger"));
    tracing::info!(%collector, "traces of calls that bring one are sent");
    Traces { exporter: tokio::spawn(exporter.run()), ending }
}

/// Nodes have the same name on many machines, and several may be on one.
fn resource(node: Option<String>) -> Resource {
    let host = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
    let instance = format!("{host}/{}", node.unwrap_or_default());
    let attributes = [
        KeyValue::new("service.name", "outrigger"),
        KeyValue::new("service.instance.id", instance),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ];
    Resource::builder_empty().with_attributes(attributes).build()
}

impl Traces {
    /// Sends what there is, as far as the collector takes it soon.
    pub(crate) async fn end(self) {
        self.ending.cancel();
        if tokio::time::timeout(LAST_SPANS_MAX, self.exporter).await.is_err() {
            tracing::warn!("the collector of traces does not answer: it lacks the last spans");
        }
    }
}

/// Returns the traced call that runs on this thread, if there is one.
fn current() -> Option<(&'static SdkTracer, Context)> {
    let tracer = TRACER.get()?;
    Context::map_current(|current| current.has_active_span().then(|| (tracer, current.clone())))
}

/// Says which store the current call is about.
pub(crate) fn store(name: &str) {
    if let Some((_, call)) = current() {
        call.span().set_attribute(KeyValue::new(table::STORE, name.to_owned()));
    }
}

/// Makes what is left to a task a part of the current call.
pub(crate) fn carried<F: Future>(task: F) -> impl Future<Output = F::Output> {
    let call = current().map(|(_, call)| call);
    async move {
        let mut task = pin!(task);
        poll_fn(|context| {
            let _entered = call.clone().map(Context::attach);
            task.as_mut().poll(context)
        })
        .await
    }
}

#[cfg(test)]
mod tests;
