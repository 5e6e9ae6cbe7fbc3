//! What the stream sends: accepted writes, as many per message as are there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use outrigger_proto::v1::WriteRequest;
use tokio_stream::Stream;

use super::ledger::Ledger;

#[derive(Debug)]
pub(super) struct Outgoing {
    /// The store's name, which goes out with the first message only.
    store: Option<String>,
    /// How long the node waits for the log: an answer of its own comes before our deadline.
    wait_ms_max: u64,
    ledger: Arc<Ledger>,
}

impl Outgoing {
    pub(super) fn new(store: String, wait_max: Duration, ledger: Arc<Ledger>) -> Outgoing {
        let wait_ms_max = u64::try_from(wait_max.as_millis()).unwrap_or(u64::MAX).max(1);
        Outgoing { store: Some(store), wait_ms_max, ledger }
    }
}

impl Stream for Outgoing {
    type Item = WriteRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WriteRequest>> {
        let items = ready!(self.ledger.poll_batch(cx));
        Poll::Ready(items.map(|items| {
            let store = self.store.take().unwrap_or_default();
            WriteRequest {
                store,
                items,
                wait_ms_max: Some(self.wait_ms_max),
                ..WriteRequest::default()
            }
        }))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.ledger.stop_sending();
    }
}
