//! Reading a range of keys from one snapshot.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use outrigger_proto::v1::scan_request::Keys;
use outrigger_proto::v1::{self, LargeRows, ReadOptions, Revision, ScanRequest, ScanResponse};
use tokio::time::Sleep;
use tokio_stream::Stream;
use tonic::{Request, Streaming};

use crate::client::{self, Client};
use crate::error::{Effect, Error};
use crate::read::{CopyState, Level};
use crate::session::Session;
use crate::store;

/// Which rows to read, and how. Keys are ordered by their unsigned bytes.
#[derive(Clone, Debug)]
pub struct Scan {
    start: Vec<u8>,
    end: End,
    limit: u64,
    keys_only: bool,
    reverse: bool,
}

#[derive(Clone, Debug)]
enum End {
    OfPrefix,
    Open,
    Before(Vec<u8>),
}

impl Scan {
    /// All rows.
    pub fn all() -> Scan {
        Scan::over(Vec::new(), End::Open)
    }

    /// The keys that begin with these bytes.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Scan {
        Scan::over(prefix.into(), End::OfPrefix)
    }

    /// The keys from `start` (inclusive) on.
    pub fn starting_at(start: impl Into<Vec<u8>>) -> Scan {
        Scan::over(start.into(), End::Open)
    }

    /// The keys of `start..end`, the end exclusive. An end below the start is
    /// [`Invalid`](crate::ErrorKind::Invalid).
    pub fn range(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Scan {
        Scan::over(start.into(), End::Before(end.into()))
    }

    /// Limits the scan to this many rows. 0 is no limit.
    pub fn limit(self, limit: u64) -> Scan {
        Scan { limit, ..self }
    }

    /// Leaves out the values, which is cheaper.
    pub fn keys_only(self) -> Scan {
        Scan { keys_only: true, ..self }
    }

    /// Goes from the greatest key down; a limit then keeps the greatest.
    pub fn reverse(self) -> Scan {
        Scan { reverse: true, ..self }
    }

    fn over(start: Vec<u8>, end: End) -> Scan {
        Scan { start, end, limit: 0, keys_only: false, reverse: false }
    }

    pub(crate) fn request(self, store: String, read: ReadOptions) -> Result<ScanRequest, Error> {
        let keys = match self.end {
            End::OfPrefix => Keys::Prefix(store::payload_key(&self.start)?),
            End::Open => Keys::Range(store::key_range(&self.start, None)?),
            End::Before(end) => Keys::Range(store::key_range(&self.start, Some(&end))?),
        };
        Ok(ScanRequest {
            store,
            keys: Some(keys),
            limit: self.limit,
            keys_only: self.keys_only,
            reverse: self.reverse,
            read: Some(read),
            // A row that is larger than a message can be is refused by name.
            large_rows: LargeRows::Refuse.into(),
        })
    }
}

/// One row of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Bytes,
    /// The value; empty in a scan of keys only.
    pub value: Bytes,
    /// The record that wrote it.
    pub revision: Revision,
}

/// The rows of a scan, in order. After an error there are no more. Dropping it cancels the scan.
#[derive(Debug)]
pub struct Rows {
    copy: CopyState,
    batch: std::vec::IntoIter<v1::Row>,
    /// `None` when there is no more to come.
    batches: Option<Streaming<ScanResponse>>,
    deadline: Duration,
    /// This timer runs only while we wait for the node, so that a slow caller does not use the time up.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Rows {
    pub(crate) async fn open(
        client: &Client,
        request: ScanRequest,
        level: Level,
        session: &Session,
        deadline: Duration,
    ) -> Result<Rows, Error> {
        let mut rows = client.rows();
        // The request has no timeout: it would be one for the whole scan.
        let call = async {
            let mut batches = rows.scan(Request::new(request)).await?.into_inner();
            let first = batches.message().await?;
            Ok(tonic::Response::new((first, batches)))
        };
        let (first, batches) = client::answer(Effect::None, deadline, call).await?;
        let first = first.ok_or_else(|| Error::protocol(Effect::None, "it has no copy state"))?;
        Ok(Rows {
            copy: level.observe(session, first.copy)?,
            batch: first.rows.into_iter(),
            batches: Some(batches),
            deadline,
            waiting: None,
        })
    }

    /// The copy that all rows come from.
    pub fn copy(&self) -> &CopyState {
        &self.copy
    }

    /// The next row; `None` after the last, and after an error.
    ///
    /// # Errors
    ///
    /// [`Deadline`](crate::ErrorKind::Deadline) when the node sends nothing for as long as the handle's
    /// deadline for reads, [`Broken`](crate::ErrorKind::Broken) when the connection breaks, and
    /// [`Invalid`](crate::ErrorKind::Invalid) with [`Reason::RowTooLarge`](crate::Reason::RowTooLarge) at a
    /// row above 127.75 MiB. The rows before it are good.
    pub async fn next(&mut self) -> Option<Result<Row, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Error>>> {
        let Some(batches) = self.batches.as_mut() else {
            return Poll::Ready(None);
        };
        let Poll::Ready(batch) = Pin::new(batches).poll_next(cx) else {
            let deadline = self.deadline;
            let waiting =
                self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(deadline)));
            ready!(waiting.as_mut().poll(cx));
            return Poll::Ready(Some(Err(Error::deadline(Effect::None, deadline))));
        };
        self.waiting = None;
        Poll::Ready(batch.map(|batch| match batch {
            Ok(batch) => {
                self.batch = batch.rows.into_iter();
                Ok(())
            }
            Err(status) => Err(Error::of_call(Effect::None, status)),
        }))
    }
}

impl Stream for Rows {
    type Item = Result<Row, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(row) = self.batch.next() {
                return Poll::Ready(Some(Row::of(row)));
            }
            match ready!(self.poll_batch(cx)) {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.batches = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.batches = None;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl Row {
    pub(crate) fn of(row: v1::Row) -> Result<Row, Error> {
        let no_revision = || Error::protocol(Effect::None, "a row has no revision");
        let revision = row.revision.ok_or_else(no_revision)?;
        Ok(Row { key: row.key, value: row.value, revision })
    }
}
