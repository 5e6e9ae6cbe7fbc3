//! What the stream sends: accepted writes, as many per message as are there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use outrigger_proto::v1::WriteRequest;
use tokio_stream::Stream;

use super::ledger::Ledger;

#[derive(Debug)]
pub(super) struct Outgoing {
    /// Goes out with the first message only.
    store: Option<String>,
    ledger: Arc<Ledger>,
}

impl Outgoing {
    pub(super) fn new(store: String, ledger: Arc<Ledger>) -> Outgoing {
        Outgoing { store: Some(store), ledger }
    }
}

impl Stream for Outgoing {
    type Item = WriteRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WriteRequest>> {
        let items = ready!(self.ledger.poll_batch(cx));
        Poll::Ready(items.map(|items| {
            let store = self.store.take().unwrap_or_default();
            WriteRequest { store, items }
        }))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.ledger.stop_sending();
    }
}
