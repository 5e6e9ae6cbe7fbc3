//! The headers that a trace goes by from one process to the next, as W3C's Trace Context has them.

use hyper::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::MetadataMap;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Bytes of a `tracestate` that are passed on, which every system must: each span has them.
const TRACESTATE_BYTES_MAX: usize = 512;

/// What a call to another node takes with it. By default nothing.
#[derive(Default)]
pub(crate) struct Headers(Option<Box<SpanContext>>);

/// Returns the span that a call is made for, where it is one that its caller records. A header that is wrong is none.
pub(super) fn parent(headers: &HeaderMap) -> Option<Context> {
    // Most calls have none.
    headers.get(TRACEPARENT)?;
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Of(headers));
    parent.span().span_context().is_sampled().then_some(parent)
}

struct Of<'a>(&'a HeaderMap);

impl Extractor for Of<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key)?.to_str().ok()?;
        (key != TRACESTATE || value.len() <= TRACESTATE_BYTES_MAX).then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

impl Headers {
    /// A call that is made for this span.
    pub(super) fn of(span: &SpanContext) -> Headers {
        Headers(Some(Box::new(span.clone())))
    }

    pub(crate) fn put_into(&self, metadata: &mut MetadataMap) {
        if let Some(span) = &self.0 {
            let span = Context::new().with_remote_span_context((**span).clone());
            TraceContextPropagator::new().inject_context(&span, &mut Into(metadata));
        }
    }
}

struct Into<'a>(&'a mut MetadataMap);

impl Injector for Into<'_> {
    fn set(&mut self, key: &str, value: String) {
        let key = match key {
            TRACEPARENT => TRACEPARENT,
            TRACESTATE if !value.is_empty() => TRACESTATE,
            _ => return,
        };
        // It came in such a header.
        self.0.insert(key, value.parse().expect("a trace is visible ASCII"));
    }
}
