//! Many writes on one stream, each with an answer of its own, in order.
//!
//! ```text
//!  put, delete ──(room)──> Ledger: unsent ──> Outgoing ──> node
//!                                  sent  <── Driver <───────┘
//! ```

mod driver;
mod ledger;
mod outgoing;
mod window;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::write_item::Action;
use outrigger_proto::v1::{Revision, Tombstone, WriteItem};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::connections::Connections;
use crate::error::Error;
use crate::session::Session;
use crate::store;
use driver::Driver;
use ledger::Ledger;
use outgoing::Outgoing;

/// A stream of writes to one store, which [`Store::writer`](crate::Store::writer) makes.
///
/// [`put`](Writer::put) and [`delete`](Writer::delete) wait for room and return a [`Pending`], which
/// is the answer to come; having many open at once is what makes a stream fast. Writes reach the log
/// in the order of the calls, for each key, and a failed one does not stop the next.
/// While the log is slow there is less room: the calls wait, and the log has time for what it was given.
///
/// When the stream itself ends, every open write fails, and so does every later one: make a new
/// writer. The stream ends also when a write has waited for its answer longer than the handle's
/// deadline for writes: its answer could no longer be told from the next one's.
///
/// [`finish`](Writer::finish) waits for all answers; a writer that is merely dropped still sends what
/// it accepted.
#[derive(Debug)]
pub struct Writer {
    ledger: Arc<Ledger>,
    /// `None` once the writer is being finished.
    driver: Option<JoinHandle<Result<(), Error>>>,
}

/// The answer to one write of a [`Writer`]. Dropping it does not cancel the write. It fails as
/// [`Store::put`](crate::Store::put) does.
#[derive(Debug)]
#[must_use = "a write can fail; await its answer"]
pub struct Pending {
    answer: oneshot::Receiver<Result<Revision, Error>>,
}

impl Writer {
    pub(crate) fn open(
        client: StoreClient<Connections>,
        store: String,
        session: Session,
        deadline: Duration,
    ) -> Writer {
        let ledger = Arc::new(Ledger::new());
        let outgoing = Outgoing::new(store, deadline - deadline / 10, Arc::clone(&ledger));
        let driver = Driver { ledger: Arc::clone(&ledger), session, deadline };
        Writer { ledger, driver: Some(tokio::spawn(driver.run(client, outgoing))) }
    }

    /// Sets the value of a key. Waits for room; the answer comes through the [`Pending`].
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) when no message can carry the key and value (together above 4 MiB minus
    /// 64 KiB), and [`Broken`](crate::ErrorKind::Broken) when the stream has ended. This write was not sent then.
    pub async fn put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Pending, Error> {
        let (key, value) = store::payload(key.as_ref(), value.as_ref())?;
        self.accept(WriteItem { key, action: Some(Action::Put(value)) }).await
    }

    /// Deletes a key. Waits for room; the answer comes through the [`Pending`].
    ///
    /// # Errors
    ///
    /// Those of [`Writer::put`].
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<Pending, Error> {
        let key = store::payload_key(key.as_ref())?;
        self.accept(WriteItem { key, action: Some(Action::Delete(Tombstone {})) }).await
    }

    /// Waits until everything is answered and the stream has ended.
    ///
    /// # Errors
    ///
    /// How the stream failed, when it did; what became of each write is in its own [`Pending`].
    pub async fn finish(mut self) -> Result<(), Error> {
        self.ledger.close();
        let driver =
            self.driver.take().expect("only finish takes it, and finish consumes the writer");
        driver.await.unwrap_or_else(|_aborted| Err(runtime_stopped()))
    }

    async fn accept(&self, item: WriteItem) -> Result<Pending, Error> {
        let answer = self.ledger.accept(item).await?;
        Ok(Pending { answer })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.ledger.close();
    }
}

impl Future for Pending {
    type Output = Result<Revision, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Without an answer there is doubt: the task that would have known is gone.
        Pin::new(&mut self.answer)
            .poll(cx)
            .map(|answer| answer.unwrap_or_else(|_| Err(runtime_stopped())))
    }
}

fn runtime_stopped() -> Error {
    Error::unanswered("the runtime stopped under the writer")
}
