use std::sync::{Mutex, PoisonError};

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span as SdkSpan, SpanData, SpanProcessor};
use outrigger_core::gate::Gate;
use outrigger_core::log::KafkaError;
use outrigger_core::node::{Outcome, Reply};
use outrigger_core::offset::{Offset, Partition, Revision};
use outrigger_core::topic::TopicId;
use outrigger_proto::Rpc;
use proptest::prelude::*;
use tonic::metadata::MetadataMap;

use super::*;
use crate::documented::{assert_rows, page};

/// The spans of all tests of this process that have ended.
static ENDED: Mutex<Vec<SpanData>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Ended;

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut SdkSpan, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        ENDED.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// A call of a trace of its own.
fn call(trace: &str) -> Call {
    let provider = || SdkTracerProvider::builder().with_span_processor(Ended).build();
    TRACER.get_or_init(|| provider().tracer("test"));
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    Call::begin(Rpc::Put, &headers(&[("traceparent", &parent)]))
}

/// Names of the spans of a trace that have ended.
fn ended(trace: &str) -> Vec<String> {
    let trace = TraceId::from_hex(trace).unwrap();
    let all = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
    let spans = all.iter().filter(|span| span.span_context.trace_id() == trace);
    spans.map(|span| span.name.to_string()).collect()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn revision(partition: u32, offset: u64) -> Outcome {
    Outcome::Appended(Revision { partition: Partition(partition), offset: Offset(offset) })
}

fn written(outcomes: Vec<Outcome>) -> Reply {
    Reply::Written { topic: TopicId([7; 16]), partitions: 2, outcomes }
}

fn gate(positions: &[u64], fed: bool) -> Gate {
    let positions = positions.iter().map(|position| Offset(*position)).collect();
    Gate { positions, fed, ..Gate::closed() }
}

#[test]
fn every_span_has_a_row_with_its_kind_and_its_attributes() {
    assert_rows("Traces", table::ALL.map(|(name, _, _)| name));
    let page = page();
    for (name, kind, attributes) in table::ALL {
        let attributes: Vec<_> = attributes.iter().map(|name| format!("`{name}`")).collect();
        let row = format!("| `{name}` | {kind} | {} | ", attributes.join(", "));
        assert!(page.contains(&row), "docs/operating.md has no row that begins so: {row}");
    }
}

#[test]
fn only_what_the_caller_records_is_a_parent() {
    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let span = |pairs: &[(&'static str, &str)]| {
        let parent = super::headers::parent(&headers(pairs))?;
        Some(parent.span().span_context().clone())
    };
    let parent = span(&[("traceparent", SAMPLED), ("tracestate", "a=1,b=2")]).expect("sampled");
    assert_eq!(parent.span_id(), SpanId::from_hex("00f067aa0ba902b7").unwrap());
    assert_eq!(parent.trace_state().header(), "a=1,b=2");
    let mut metadata = MetadataMap::new();
    Headers::of(&parent).put_into(&mut metadata);
    let said = |key| metadata.get(key).and_then(|value| value.to_str().ok());
    assert_eq!((said("traceparent"), said("tracestate")), (Some(SAMPLED), Some("a=1,b=2")));

    for (bytes, kept) in [(512, true), (513, false)] {
        let long = "x".repeat(200);
        let state = format!("a={long},b={long},c={}", "x".repeat(bytes - 408));
        let parent = span(&[("traceparent", SAMPLED), ("tracestate", &state)]).expect("sampled");
        assert_eq!(parent.trace_state().header() == state, kept, "{bytes} bytes");
    }
    for none in [
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-01",
        "",
    ] {
        assert_eq!(span(&[("traceparent", none)]), None, "{none}");
    }
    assert_eq!(span(&[("tracestate", "a=1")]), None);
}

proptest! {
    #[test]
    fn whatever_the_headers_are_they_are_read(
        parent in "(00-)?[0-9a-f-]{0,60}|\\PC{0,80}",
        state in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut headers = HeaderMap::new();
        for (name, bytes) in [("traceparent", parent.as_bytes()), ("tracestate", &state)] {
            if let Ok(value) = HeaderValue::from_bytes(bytes) {
                headers.insert(name, value);
            }
        }
        if let Some(parent) = super::headers::parent(&headers) {
            Headers::of(parent.span().span_context()).put_into(&mut MetadataMap::new());
        }
    }
}

#[test]
fn a_write_is_watched_until_reads_show_all_of_it() {
    const TRACE: &str = "00000000000000000000000000000001";
    let (call, mut applies) = (call(TRACE), Applies::of("notes"));
    let append = call.within(|| Append::begin("notes", 3));
    applies.answered(append, &written(vec![revision(0, 7), revision(1, 3), revision(0, 8)]));
    assert_eq!(ended(TRACE), ["append"]);
    applies.shown(&gate(&[8, 4], true));
    applies.shown(&gate(&[9, 3], true));
    assert_eq!(ended(TRACE), ["append"]);
    applies.shown(&gate(&[9, 4], true));
    assert_eq!(ended(TRACE), ["append", "apply"]);
    drop(call);
    assert_eq!(ended(TRACE), ["append", "apply", "outrigger.v1.Store/Put"]);
}

#[test]
fn what_is_not_in_the_log_and_what_a_restore_came_upon_has_no_apply() {
    const TRACE: &str = "00000000000000000000000000000002";
    let (call, mut applies) = (call(TRACE), Applies::of("notes"));
    let error = KafkaError { code: -192, name: "_MSG_TIMED_OUT".to_owned(), not_persisted: false };
    let append = call.within(|| Append::begin("notes", 1));
    applies.answered(append, &written(vec![Outcome::Unknown(error)]));
    let append = call.within(|| Append::begin("notes", 1));
    applies.answered(append, &written(vec![revision(0, 7)]));
    applies.shown(&gate(&[0], false));
    applies.shown(&gate(&[8], true));
    assert_eq!(ended(TRACE), ["append", "append"]);
}

#[test]
fn no_more_than_a_few_writes_are_watched() {
    const TRACE: &str = "00000000000000000000000000000003";
    let (call, mut applies) = (call(TRACE), Applies::of("notes"));
    for offset in 0..100 {
        let append = call.within(|| Append::begin("notes", 1));
        applies.answered(append, &written(vec![revision(0, offset)]));
    }
    applies.shown(&gate(&[100], true));
    let applied = ended(TRACE).iter().filter(|name| *name == "apply").count();
    assert_eq!(applied, 64);
}

#[tokio::test]
async fn what_is_there_at_once_is_not_waited_for() {
    const TRACE: &str = "00000000000000000000000000000004";
    let call = call(TRACE);
    let waits = || async {
        admission("notes", async {}).await;
        wait("notes", tokio::task::yield_now()).await;
    };
    call.within(|| carried(waits())).await;
    assert_eq!(ended(TRACE), ["wait"]);
    waits().await;
    assert_eq!(ended(TRACE), ["wait"], "outside of the call");
}

#[test]
fn an_untraced_call_has_no_steps() {
    let parent = "00-00000000000000000000000000000005-00f067aa0ba902b7-00";
    let call = Call::begin(Rpc::Get, &headers(&[("traceparent", parent)]));
    call.within(|| assert!(current().is_none()));
    drop(call);
    assert!(ended("00000000000000000000000000000005").is_empty());
}
