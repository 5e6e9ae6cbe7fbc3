//! What every call has in common, whatever it asks: it has room while it is open, which is until its answer is sent,
//! and it is answered by us before its caller's deadline.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper::{HeaderMap, Response};
use outrigger_proto::Rpc;
use outrigger_proto::v1::ErrorDetail;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::codegen::Service as Handlers;
use tonic::service::Routes;
use tonic::{Code, Status};

use super::activity::{Activity, OpenCall};
use super::deadline::CallDeadline;
use super::door::{Asker, Door, Entry};
use super::error;
use super::method::Method;
use super::refusals;
use super::request::Request;
use super::room::{Held, Share};
use crate::access::{Caller, Needs, Right, needs};
use crate::telemetry::{metrics, trace};

/// The calls of one connection.
pub(super) struct Calls {
    routes: Routes,
    activity: Arc<Activity>,
    share: Share,
    caller: Caller,
    door: Door,
}

/// A call until the first word of its answer.
pub(super) struct Call {
    method: Method,
    share: Share,
    /// Or why it does not run.
    running: Result<Running, ErrorDetail>,
    open: Option<Arc<OpenCall>>,
    told: Told,
}

/// What is told of a call when this is dropped: by default, and of calls that are not ours, nothing.
#[derive(Default)]
struct Told {
    timed: Option<metrics::OpenCall>,
    traced: trace::Call,
}

struct Running {
    answer: Handled,
    /// When our answer must come.
    late: Option<Pin<Box<Sleep>>>,
    /// Of a stream: ready when the token is taken away that it came with.
    revoked: Option<Revoked>,
}

/// An answer. The call is open until the last of its bytes is sent, or given up.
pub(super) struct Answer {
    body: tonic::body::Body,
    method: Method,
    share: Share,
    open: Arc<OpenCall>,
    /// It is made already.
    next: Option<Frame<Bytes>>,
    waits: Option<(Waiting, Bytes)>,
    /// When our end of it must come, where it is a stream.
    late: Option<Pin<Box<Sleep>>>,
    /// Ready when it must end, because its token was taken away.
    revoked: Option<Revoked>,
    /// An error was told: the answer found no room, its deadline or the end of its token came before its end.
    over: bool,
    told: Told,
}

type Handled = <Routes as Handlers<hyper::Request<Request<Incoming>>>>::Future;

type Revoked = Pin<Box<WaitForCancellationFutureOwned>>;

type Waiting = Pin<Box<dyn Future<Output = Held> + Send>>;

/// Bytes of an answer that wait to be sent.
struct Unsent {
    bytes: Bytes,
    _held: Option<Held>,
    open: Arc<OpenCall>,
}

impl Calls {
    pub(super) fn new(routes: Routes, activity: Arc<Activity>, share: Share, door: Door) -> Calls {
        Calls { routes, activity, share, caller: Caller::default(), door }
    }

    /// The same calls, of somebody who is known.
    pub(super) fn of(self, caller: Caller) -> Calls {
        Calls { caller, ..self }
    }
}

impl Service<hyper::Request<Incoming>> for Calls {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Call;

    fn call(&self, request: hyper::Request<Incoming>) -> Call {
        let path = request.uri().path();
        let rpc = Rpc::of(path);
        let method = Method::of(path, rpc);
        let told = rpc.map(|rpc| Told::begin(rpc, request.headers())).unwrap_or_default();
        let entry = self.door.admit(rpc, &self.caller, request.headers());
        let known = matches!(entry, Ok(Entry::Known(_)));
        let share = if known { self.share.clone() } else { self.share.of_strangers() };
        let admitted = entry.and_then(|entry| {
            let held = share.try_call(method.call_cost());
            // Whoever asks how this node is must hear it even when the node has much to do.
            let held =
                held.or_else(|| (method == Method::Probe).then(|| share.try_probe()).flatten());
            Ok((entry.asker(), held.ok_or_else(|| error::overloaded("calls"))?))
        });
        let (running, held) = match admitted {
            Ok((asker, held)) => (Ok(self.run(request, (method, rpc), &share, asker)), Some(held)),
            Err(detail) => (Err(detail), None),
        };
        let open = Some(Arc::new(self.activity.call(known, held)));
        Call { method, share, running, open, told }
    }
}

impl Calls {
    fn run(
        &self,
        request: hyper::Request<Incoming>,
        (method, rpc): (Method, Option<Rpc>),
        share: &Share,
        asker: Asker,
    ) -> Running {
        let late = CallDeadline::in_headers(request.headers()).answer_within();
        let late = late.map(|within| Box::pin(tokio::time::sleep(within)));
        let revoked = asker.revoked().filter(|_| method.streams());
        let revoked = revoked.map(|revoked| Box::pin(revoked.cancelled_owned()));
        let mut request = request.map(|body| Request::new(body, method, share.clone()));
        if asker.is_asked() {
            request.extensions_mut().insert(asker);
        }
        if rpc.is_some_and(is_logged) {
            request.extensions_mut().insert(self.caller.clone());
        }
        if method.streams() {
            request.extensions_mut().insert(share.clone());
        }
        // The routes are always ready: they are a table of handlers.
        Running { answer: self.routes.clone().call(request), late, revoked }
    }
}

impl Future for Call {
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (method, Call { running, told, .. }) = (self.method, &mut *self);
        let answer = match running {
            Ok(Running { answer, late, .. }) => {
                match told.traced.within(|| Pin::new(answer).poll(context)) {
                    Poll::Ready(Ok(answer)) => refusals::unknown_with_details(answer),
                    Poll::Ready(Err(never)) => match never {},
                    Poll::Pending => {
                        let Some(late) = late else { return Poll::Pending };
                        ready!(late.as_mut().poll(context));
                        failed(error::late(method))
                    }
                }
            }
            Err(detail) => failed(detail.clone()),
        };
        let open = self.open.take().expect("a call is not polled after its answer");
        let share = self.share.clone();
        let (late, revoked) = match &mut self.running {
            Ok(running) => (running.late.take(), running.revoked.take()),
            Err(_) => (None, None),
        };
        let late = late.filter(|_| method.streams());
        let mut told = std::mem::take(&mut self.told);
        told.hear(answer.headers());
        Poll::Ready(Ok(answer.map(|body| {
            let mut answer = Answer {
                body,
                method,
                share,
                open,
                next: None,
                waits: None,
                late,
                revoked,
                over: false,
                told,
            };
            answer.make(context);
            answer
        })))
    }
}

impl Told {
    fn begin(rpc: Rpc, headers: &HeaderMap) -> Told {
        Told {
            timed: Some(metrics::OpenCall::begin(rpc)),
            traced: trace::Call::begin(rpc, headers),
        }
    }

    /// Hears how a call ended, and counts one that failed: it says so once, in the head of its answer or in its
    /// trailers.
    fn hear(&mut self, headers: &HeaderMap) {
        if let (Some(timed), Some(code)) = (&mut self.timed, headers.get(Status::GRPC_STATUS)) {
            let code = Code::from_bytes(code.as_bytes());
            timed.ended(code);
            self.traced.ended(code);
        }
        if let Some(reason) = refusals::reason(headers) {
            metrics::failed(reason);
            self.traced.failed(reason);
        }
    }
}

/// Whether the log may tell who called: such calls are few, and change what others rely on, or come from other nodes.
fn is_logged(rpc: Rpc) -> bool {
    match needs(rpc) {
        Needs::Right(Right::Admin | Right::Peer) => true,
        Needs::Right(Right::Read | Right::Write | Right::Watch) | Needs::Any => {
            matches!(rpc, Rpc::Release | Rpc::DeleteCursor)
        }
    }
}

fn failed(detail: ErrorDetail) -> Response<tonic::body::Body> {
    Status::from(detail).into_http()
}

impl Answer {
    fn data(&mut self, bytes: Bytes, held: Option<Held>) -> Frame<Bytes> {
        let open = self.open.clone();
        open.unsent();
        Frame::data(Bytes::from_owner(Unsent { bytes, _held: held, open }))
    }

    /// Makes the next part. HTTP/2 asks for the first bytes when its caller takes some, and until then the whole answer
    /// would be in memory without room.
    fn make(&mut self, context: &mut Context<'_>) {
        if !self.method.streams()
            && let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut *self).poll_frame(context)
        {
            self.next = Some(frame);
        }
    }

    /// Ends the answer with `detail`, instead of what is not sent any more.
    fn failed(&mut self, detail: ErrorDetail) -> Frame<Bytes> {
        let mut end = HeaderMap::new();
        Status::from(detail).add_header(&mut end).expect("its text is escaped");
        self.told.hear(&end);
        self.over = true;
        Frame::trailers(end)
    }

    /// Returns the bytes once they have room. None: they have to wait for it.
    fn admit(&mut self, bytes: Bytes) -> Option<Frame<Bytes>> {
        if bytes.len() <= self.method.answer_bytes_free() {
            return Some(self.data(bytes, None));
        }
        let held = self.share.try_hold(bytes.len());
        match (held, self.method) {
            (Some(held), _) => Some(self.data(bytes, Some(held))),
            (None, Method::Read) => {
                Some(self.failed(error::overloaded("answers that nobody takes")))
            }
            (
                None,
                Method::Write
                | Method::Writes
                | Method::Stream
                | Method::Watch
                | Method::Verify
                | Method::Cursor
                | Method::Operate
                | Method::Probe
                | Method::Other,
            ) => {
                self.waits = Some((Box::pin(self.share.clone().hold(bytes.len())), bytes));
                None
            }
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let answer = &mut *self;
        if let Some(next) = answer.next.take() {
            return Poll::Ready(Some(Ok(next)));
        }
        if answer.over {
            return Poll::Ready(None);
        }
        if let Some(late) = &mut answer.late
            && late.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Ok(answer.failed(error::late(answer.method)))));
        }
        if let Some(revoked) = &mut answer.revoked
            && revoked.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Ok(answer.failed(error::token_revoked(answer.method)))));
        }
        if answer.waits.is_none() {
            let frame = match ready!(Pin::new(&mut answer.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            let bytes = match frame.into_data() {
                Ok(bytes) => bytes,
                Err(trailers) => {
                    if let Some(trailers) = trailers.trailers_ref() {
                        answer.told.hear(trailers);
                    }
                    return Poll::Ready(Some(Ok(trailers)));
                }
            };
            if let Some(frame) = answer.admit(bytes) {
                return Poll::Ready(Some(Ok(frame)));
            }
        }
        let (waiting, bytes) = answer.waits.as_mut().expect("bytes wait for room");
        let held = ready!(waiting.as_mut().poll(context));
        let bytes = std::mem::take(bytes);
        answer.waits = None;
        Poll::Ready(Some(Ok(answer.data(bytes, Some(held)))))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && (self.over || (self.waits.is_none() && self.body.is_end_stream()))
    }

    fn size_hint(&self) -> SizeHint {
        // An answer may be replaced by an error.
        SizeHint::default()
    }
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.open.sent();
    }
}
