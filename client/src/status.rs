//! How a node and its stores are.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use outrigger_proto::v1::{
    NodeStatus, StatusRequest, StoreStatus, WatchStatusRequest, WatchStatusResponse,
};
use tokio_stream::Stream;
use tonic::{Request, Streaming};

use crate::client::{self, Client};
use crate::error::{Effect, Error};

/// A status is answered from memory.
const DEADLINE: Duration = Duration::from_secs(5);

/// A digest reads every row of a copy.
const DIGEST_DEADLINE: Duration = Duration::from_secs(600);

/// One state after another, the present one first. It ends with an error when the node stops.
#[derive(Debug)]
pub struct StatusStream<T> {
    answers: Streaming<WatchStatusResponse>,
    part: fn(NodeStatus) -> Result<T, Error>,
}

impl<T> StatusStream<T> {
    pub(crate) async fn open(
        client: &Client,
        store: String,
        interval: Duration,
        part: fn(NodeStatus) -> Result<T, Error>,
    ) -> Result<StatusStream<T>, Error> {
        let interval_ms = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        let request = Request::new(WatchStatusRequest { store, interval_ms });
        let mut admin = client.admin();
        let answers = client::answer(Effect::None, DEADLINE, admin.watch_status(request)).await?;
        Ok(StatusStream { answers, part })
    }

    /// The next state; `None` when the node has ended the stream. Waits for a change as long as there is none.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when the node stops, and
    /// [`Broken`](crate::ErrorKind::Broken) when the connection breaks.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T> Stream for StatusStream<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let part = self.part;
        let answer = ready!(Pin::new(&mut self.answers).poll_next(cx));
        Poll::Ready(answer.map(|answer| match answer {
            Ok(answer) => answer.node.ok_or_else(no_node).and_then(part),
            Err(status) => Err(Error::of_call(Effect::None, status)),
        }))
    }
}

pub(crate) async fn node(client: &Client, request: StatusRequest) -> Result<NodeStatus, Error> {
    let deadline = if request.with_digest { DIGEST_DEADLINE } else { DEADLINE };
    let request = client::with_deadline(request, deadline);
    let mut admin = client.admin();
    let answer = client::answer(Effect::None, deadline, admin.status(request)).await?;
    answer.node.ok_or_else(no_node)
}

/// The only store of an answer that is about one.
pub(crate) fn one_store(mut node: NodeStatus) -> Result<StoreStatus, Error> {
    match node.stores.len() {
        1 => Ok(node.stores.remove(0)),
        0 => Err(Error::protocol(Effect::None, "it is about no store")),
        _several => Err(Error::protocol(
            Effect::None,
            "it is about several stores; name one, the node has more than one",
        )),
    }
}

fn no_node() -> Error {
    Error::protocol(Effect::None, "it has no status")
}
