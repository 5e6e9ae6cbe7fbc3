//! Scan: a stream of rows from one snapshot, at the pace of its reader.
//!
//! ```text
//!  snapshot ──(blocking thread, one batch)──> channel ──> HTTP/2 ──> caller
//! ```
//! A batch is read only when the channel has a place for it, and no thread waits for a slow caller: between two
//! batches a scan is a snapshot and a key. It ends with its caller, or with the node.

use outrigger_proto::v1::{CopyState, ErrorDetail, ScanRequest, ScanResponse};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::answers::{Answers, Part};
use super::cursor::{Cursor, CursorFailure, Selection};
use super::deadline::CallDeadline;
use super::read::{self, Origin};
use super::service::Service;
use super::{convert, error};

/// Batches read ahead of the caller: one is on its way while the next is read.
const BATCHES_AHEAD: usize = 2;

pub(super) async fn scan(
    service: &Service,
    request: ScanRequest,
    deadline: CallDeadline,
) -> Result<Answers<ScanResponse>, ErrorDetail> {
    let store = service.stores.one(&request.store)?;
    let selection = Selection {
        range: convert::range(request.keys)?,
        reverse: request.reverse,
        keys_only: request.keys_only,
        rows_max: (request.limit > 0).then_some(request.limit),
        row_bytes_max: convert::row_bytes_max(request.read.as_ref()),
        large_rows: convert::large_rows(request.large_rows)?,
    };
    let Ok(permit) = service.scans.clone().try_acquire_owned() else {
        return Err(error::overloaded("scans"));
    };
    let snapshot = read::open(&store.handle, request.read, deadline).await?;
    let (parts, answers) = Answers::channel(BATCHES_AHEAD, &service.ending);
    let rows = Rows {
        cursor: Cursor::new(Box::new(snapshot.view), selection),
        copy: Some(snapshot.copy),
        origin: snapshot.origin,
        parts,
        _permit: permit,
    };
    let ending = service.ending.clone();
    service.tasks.spawn(async move { ending.run_until_cancelled(rows.send()).await });
    Ok(answers)
}

struct Rows {
    cursor: Cursor,
    copy: Option<CopyState>,
    origin: Origin,
    parts: mpsc::Sender<Part<ScanResponse>>,
    /// Counts the scans that are open.
    _permit: OwnedSemaphorePermit,
}

impl Rows {
    /// Ends early when nobody reads any more.
    async fn send(mut self) {
        loop {
            let Ok(place) = self.parts.reserve().await else { return };
            let mut cursor = self.cursor;
            let batch = tokio::task::spawn_blocking(move || (cursor.next_batch(), cursor)).await;
            // A batch that panicked, or a runtime that stops: the answers break off with an error.
            let Ok((batch, cursor)) = batch else { return };
            self.cursor = cursor;
            match batch {
                Ok(rows) => {
                    place.send(Part::Message(ScanResponse { copy: self.copy.take(), rows }))
                }
                Err(failure) => {
                    let detail = match failure {
                        CursorFailure::Store(failure) => self.origin.failed(&failure),
                        CursorFailure::LargeRow(row) => error::row_too_large(&row),
                    };
                    place.send(Part::Last(Err(error::status(detail))));
                    return;
                }
            }
            if self.cursor.at_end() {
                let _gone = self.parts.send(Part::Last(Ok(()))).await;
                return;
            }
        }
    }
}
