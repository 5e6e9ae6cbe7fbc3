//! The steps of a call: what it waits for and what it reads, below the span of the call.

use std::future::{Future, poll_fn};
use std::pin::pin;

use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use outrigger_proto::Rpc;
use outrigger_proto::v1::Reason;

use super::call::of_rpc;
use super::current;
use super::headers::Headers;
use super::table::{ADMISSION, FORWARD, PEER, READ, REASON, STORE, WAIT};

/// A step that ends when this is dropped. Of a call without a trace it is nothing.
#[must_use = "the step ends when this is dropped"]
pub(crate) struct Span(Option<Box<SdkSpan>>);

impl Span {
    pub(crate) fn refused(&mut self, reason: Reason) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(REASON, reason.as_str_name()));
        }
    }

    pub(crate) fn failed(&mut self) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(""));
        }
    }

    /// Returns what a call to another node takes with it that is made in this step.
    pub(crate) fn headers(&self) -> Headers {
        self.0.as_ref().map(|span| Headers::of(span.span_context())).unwrap_or_default()
    }
}

/// Reads rows of a store.
pub(crate) fn read(store: &str) -> Span {
    Span(current().map(|(tracer, call)| Box::new(begin(tracer, &call, READ, store))))
}

/// Asks a peer to answer.
pub(crate) fn forward(store: &str, peer: &str, rpc: Rpc) -> Span {
    Span(current().map(|(tracer, call)| {
        let [system, service, method] = of_rpc(rpc);
        let peer = KeyValue::new(PEER, peer.to_owned());
        let span = SpanBuilder::from_name(FORWARD).with_kind(SpanKind::Client).with_attributes([
            of_store(store),
            peer,
            system,
            service,
            method,
        ]);
        Box::new(tracer.build_with_context(span, &call))
    }))
}

/// Waits for room for a part of a stream. What has it at once is no step.
pub(crate) async fn admission<F: Future>(store: &str, room: F) -> F::Output {
    waited(ADMISSION, store, room).await
}

/// Waits for a position. What is there at once is no step.
pub(crate) async fn wait<F: Future>(store: &str, position: F) -> F::Output {
    waited(WAIT, store, position).await
}

async fn waited<F: Future>(name: &'static str, store: &str, what: F) -> F::Output {
    let call = current();
    let mut what = pin!(what);
    let mut step = None;
    poll_fn(|context| {
        let there = what.as_mut().poll(context);
        if let (true, None, Some((tracer, call))) = (there.is_pending(), &step, &call) {
            step = Some(begin(tracer, call, name, store));
        }
        there
    })
    .await
}

pub(super) fn begin(
    tracer: &SdkTracer,
    call: &Context,
    name: &'static str,
    store: &str,
) -> SdkSpan {
    let span = SpanBuilder::from_name(name).with_attributes([of_store(store)]);
    tracer.build_with_context(span, call)
}

pub(super) fn of_store(store: &str) -> KeyValue {
    KeyValue::new(STORE, store.to_owned())
}
