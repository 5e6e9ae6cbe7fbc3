//! `trace` of a binary that was built without the feature `otel`: no call has a trace.

use hyper::HeaderMap;
use outrigger_core::gate::Gate;
use outrigger_core::node::Reply;
use outrigger_proto::Rpc;
use outrigger_proto::v1::Reason;
use tonic::Code;
use tonic::metadata::MetadataMap;

use super::collector::Collector;

pub(crate) struct Traces;

#[derive(Default)]
pub(crate) struct Call;

pub(crate) struct Span;

#[derive(Default)]
pub(crate) struct Headers;

#[derive(Default)]
pub(crate) struct Append(());

pub(crate) struct Applies;

/// The configuration names no collector.
pub(crate) fn start(_: &Collector, _: Option<String>) -> Traces {
    Traces
}

impl Traces {
    pub(crate) async fn end(self) {}
}

pub(crate) fn store(_: &str) {}

pub(crate) fn carried<F: Future>(task: F) -> F {
    task
}

pub(crate) fn admission<F: Future>(_: &str, room: F) -> F {
    room
}

pub(crate) fn wait<F: Future>(_: &str, position: F) -> F {
    position
}

pub(crate) fn read(_: &str) -> Span {
    Span
}

pub(crate) fn forward(_: &str, _: &str, _: Rpc) -> Span {
    Span
}

impl Call {
    pub(crate) fn begin(_: Rpc, _: &HeaderMap) -> Call {
        Call
    }

    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        work()
    }

    pub(crate) fn ended(&mut self, _: Code) {}

    pub(crate) fn failed(&mut self, _: Reason) {}
}

impl Span {
    pub(crate) fn refused(&mut self, _: Reason) {}

    pub(crate) fn failed(&mut self) {}

    pub(crate) fn headers(&self) -> Headers {
        Headers
    }
}

impl Headers {
    pub(crate) fn put_into(&self, _: &mut MetadataMap) {}
}

impl Append {
    pub(crate) fn begin(_: &str, _: usize) -> Append {
        Append(())
    }
}

impl Applies {
    pub(crate) fn of(_: &str) -> Applies {
        Applies
    }

    pub(crate) fn answered(&mut self, _: Append, _: &Reply) {}

    pub(crate) fn shown(&mut self, _: &Gate) {}
}
