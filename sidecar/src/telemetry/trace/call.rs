//! The span of a whole call, from its head to the end of its answer.

use hyper::HeaderMap;
use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use outrigger_proto::Rpc;
use outrigger_proto::v1::Reason;
use tonic::Code;

use super::table::{REASON, RPC_CODE, RPC_METHOD, RPC_SERVICE, RPC_SYSTEM};
use super::{TRACER, headers};

/// A call that is open. Its span ends when this is dropped; where nobody has told how the call ended, its caller has left.
/// By default it is a call without a trace.
#[derive(Default)]
pub(crate) struct Call(Option<Box<Open>>);

struct Open {
    /// The span, as that under which the steps of the call are.
    call: Context,
    code: Code,
}

impl Call {
    pub(crate) fn begin(rpc: Rpc, headers: &HeaderMap) -> Call {
        Call(TRACER.get().and_then(|tracer| {
            let parent = headers::parent(headers)?;
            let name = rpc.path().trim_start_matches('/');
            let span = SpanBuilder::from_name(name)
                .with_kind(SpanKind::Server)
                .with_attributes(of_rpc(rpc));
            let call = Context::new().with_span(tracer.build_with_context(span, &parent));
            Some(Box::new(Open { call, code: Code::Cancelled }))
        }))
    }

    /// Does what is done for the call.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _entered = self.0.as_ref().map(|open| open.call.clone().attach());
        work()
    }

    pub(crate) fn ended(&mut self, code: Code) {
        if let Some(open) = &mut self.0 {
            open.code = code;
        }
    }

    pub(crate) fn failed(&mut self, reason: Reason) {
        if let Some(open) = &self.0 {
            open.call.span().set_attribute(KeyValue::new(REASON, reason.as_str_name()));
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let span = self.call.span();
        span.set_attribute(KeyValue::new(RPC_CODE, i64::from(i32::from(self.code))));
        if is_an_error(self.code) {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

pub(super) fn of_rpc(rpc: Rpc) -> [KeyValue; 3] {
    let name = rpc.path().trim_start_matches('/');
    let (service, method) = name.split_once('/').expect("a path is a service and a method");
    [
        KeyValue::new(RPC_SYSTEM, "grpc"),
        KeyValue::new(RPC_SERVICE, service),
        KeyValue::new(RPC_METHOD, method),
    ]
}

/// Whether OpenTelemetry calls it an error of whoever serves, and not of whoever calls.
fn is_an_error(code: Code) -> bool {
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => false,
    }
}
