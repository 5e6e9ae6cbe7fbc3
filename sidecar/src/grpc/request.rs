//! The messages of a call on their way in: each finds room before its bytes are gathered.
//!
//! ```text
//!  frames ──> │ 1 byte, 4 bytes of length │ message │ 1 byte, 4 bytes of length │ message ...
//! ```
//! A call that brings one message is refused when there is no room; a stream waits.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use outrigger_proto::v1::ErrorDetail;
use tokio::time::Sleep;
use tonic::Status;

use super::error;
use super::method::Method;
use super::room::{Held, Share};

/// Bytes before each message: whether it is compressed, and its length.
const HEADER_BYTES: usize = 5;

/// How long a message may take to come whole: whoever sends one sends all of it soon.
const WHOLE_WITHIN: Duration = Duration::from_secs(20);

const SMALL_BYTES: usize = 4 * 1024;

type Waiting = Pin<Box<dyn Future<Output = Held> + Send>>;

pub(super) struct Request<B> {
    body: B,
    method: Method,
    share: Share,
    place: Place,
    /// Room for messages that began in frames that were handed on.
    held: Vec<Held>,
    /// When the message that is waited for must be whole.
    unfinished: Option<Pin<Box<Sleep>>>,
    /// A frame that is not handed on before there is room for what begins in it.
    waits: Option<(Waiting, Bytes)>,
}

/// Where the last frame ended.
#[derive(Default)]
struct Place {
    header: [u8; HEADER_BYTES],
    header_len: usize,
    /// Bytes that are missing of the message that began.
    left: usize,
    /// Messages that began.
    messages: u64,
}

impl<B> Request<B> {
    pub(super) fn new(body: B, method: Method, share: Share) -> Request<B> {
        Request {
            body,
            method,
            share,
            place: Place::default(),
            held: vec![],
            unfinished: None,
            waits: None,
        }
    }

    /// Is ready when a message did not come whole in time: whoever sends a part keeps room, and a place.
    fn poll_unfinished(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let idle = self.place.between_messages();
        if idle && (self.method.asks_on() || self.place.messages > 0) {
            self.unfinished = None;
            return Poll::Pending;
        }
        let unfinished = || Box::pin(tokio::time::sleep(WHOLE_WITHIN));
        self.unfinished.get_or_insert_with(unfinished).as_mut().poll(context)
    }

    /// Returns the frame when there is room for it. None: it has to wait.
    fn admit(&mut self, bytes: Bytes) -> Result<Option<Bytes>, Status> {
        let before = self.place.messages;
        let cost = self.place.walk(&bytes, self.method).map_err(Status::from)?;
        if self.place.messages > before {
            self.unfinished = None;
        }
        // A small message is a part of its call.
        if cost <= SMALL_BYTES && self.method != Method::Writes {
            return Ok(Some(bytes));
        }
        match (self.share.try_hold(cost), self.method) {
            (Some(held), _) => {
                self.held.push(held);
                Ok(Some(bytes))
            }
            (None, Method::Writes) => {
                self.waits = Some((Box::pin(self.share.clone().hold(cost)), bytes));
                Ok(None)
            }
            (
                None,
                Method::Read
                | Method::Write
                | Method::Stream
                | Method::Watch
                | Method::Verify
                | Method::Cursor
                | Method::Operate
                | Method::Probe
                | Method::Other,
            ) => Err(error::overloaded("requests").into()),
        }
    }
}

impl Place {
    /// Returns what the messages that begin in `bytes` cost.
    fn walk(&mut self, mut bytes: &[u8], method: Method) -> Result<usize, ErrorDetail> {
        let mut cost = 0;
        while !bytes.is_empty() {
            let of_message = self.left.min(bytes.len());
            self.left -= of_message;
            bytes = &bytes[of_message..];
            let of_header = (HEADER_BYTES - self.header_len).min(bytes.len());
            self.header[self.header_len..][..of_header].copy_from_slice(&bytes[..of_header]);
            self.header_len += of_header;
            bytes = &bytes[of_header..];
            if self.header_len == HEADER_BYTES {
                self.header_len = 0;
                self.messages += 1;
                let [_compressed, length @ ..] = self.header;
                self.left = usize::try_from(u32::from_be_bytes(length)).expect("64 bits hold 32");
                cost +=
                    method.cost(self.left).ok_or_else(|| error::request_too_large(self.left))?;
            }
        }
        Ok(cost)
    }

    fn between_messages(&self) -> bool {
        self.left == 0 && self.header_len == 0
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Request<B>
where
    B::Error: Into<tonic::codegen::StdError>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let request = &mut *self;
        if request.waits.is_none() {
            // More is asked for when all that was whole is handed on.
            if request.place.between_messages() {
                request.held.clear();
            }
            let Poll::Ready(frame) = Pin::new(&mut request.body).poll_frame(context) else {
                ready!(request.poll_unfinished(context));
                return Poll::Ready(Some(Err(error::unfinished(WHOLE_WITHIN).into())));
            };
            let frame = match frame {
                None => return Poll::Ready(None),
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(Status::from_error(error.into()))));
                }
                Some(Ok(frame)) => frame,
            };
            let bytes = match frame.into_data() {
                Ok(bytes) => bytes,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            };
            if let Some(admitted) = request.admit(bytes).transpose() {
                return Poll::Ready(Some(admitted.map(Frame::data)));
            }
        }
        let (waiting, bytes) = request.waits.as_mut().expect("a frame has to wait");
        request.held.push(ready!(waiting.as_mut().poll(context)));
        let bytes = std::mem::take(bytes);
        request.waits = None;
        // It was us who did not take more.
        request.unfinished = None;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.waits.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_comes_costs_the_same_however_its_frames_are_cut(
            bytes in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..200),
            frame in 1..40_usize,
        ) {
            for method in [Method::Read, Method::Writes] {
                let (mut whole, mut cut) = (Place::default(), Place::default());
                let costs: Result<Vec<_>, _> =
                    bytes.chunks(frame).map(|part| cut.walk(part, method)).collect();
                match (whole.walk(&bytes, method), costs) {
                    (Ok(cost), Ok(costs)) => {
                        prop_assert_eq!(cost, costs.iter().sum::<usize>());
                        prop_assert_eq!(whole.between_messages(), cut.between_messages());
                    }
                    (Err(error), Err(of_cut)) => prop_assert_eq!(error, of_cut),
                    (whole, cut) => prop_assert!(false, "{whole:?} and {cut:?}"),
                }
            }
        }
    }

    fn message(length: u32) -> Vec<u8> {
        let mut message = vec![0];
        message.extend(length.to_be_bytes());
        message.extend(vec![7; usize::try_from(length).expect("small")]);
        message
    }

    #[test]
    fn every_message_is_found_wherever_the_frames_are_cut() {
        let bytes = [message(3), message(0), message(300), message(1)].concat();
        for frame in [1, 2, 4, 5, 7, 100, bytes.len()] {
            let mut place = Place::default();
            let costs = bytes.chunks(frame).map(|part| place.walk(part, Method::Writes));
            let cost: usize = costs.map(|cost| cost.expect("they are small")).sum();
            assert_eq!(cost, 304, "frames of {frame}");
            assert!(place.between_messages());
        }
    }

    #[test]
    fn a_request_that_cannot_be_small_is_refused_by_its_length() {
        let header = [0, 0, 0x40, 0, 0];
        assert!(Place::default().walk(&header, Method::Write).is_ok());
        let refused = Place::default().walk(&header, Method::Read).expect_err("4 MiB of a key");
        assert!(!refused.what_to_do.is_empty() && !refused.may_have_happened);
    }
}
