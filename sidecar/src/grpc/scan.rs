//! Scan: a stream of rows from one snapshot, at the pace of its reader; from a peer's while the own copy is not READY.
//!
//! ```text
//!  snapshot ──(blocking thread, one batch)──> channel ──> HTTP/2 ──> caller
//! ```
//! A batch is read only when the channel has a place for it, and no thread waits for a slow caller: between two
//! batches a scan is a snapshot and a key. It ends with its caller, with the node, when the generation that it reads
//! is closed, and when its caller takes nothing for a while: a snapshot that is kept would keep the store from opening
//! its files anew, and RocksDB from freeing what it replaced.

use std::time::Duration;

use outrigger_core::keys::Range;
use outrigger_proto::Rpc;
use outrigger_proto::v1::{CopyState, ErrorDetail, Row, ScanRequest, ScanResponse};
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tonic::Status;

use super::answers::{Answers, Part};
use super::deadline::CallDeadline;
use super::door::Asker;
use super::read::{self, Missed, Origin};
use super::room::Share;
use super::service::Service;
use super::walk::{Selection, Walk, WalkFailure};
use super::{convert, error, forward};
use crate::access::Keys;
use crate::runtime::StoreHandle;
use crate::telemetry::trace;

/// Batches read ahead of the caller: one is on its way while the next is read.
pub(super) const BATCHES_AHEAD: usize = 1;

/// How long a scan waits for its caller to take rows.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(60);

pub(super) async fn scan(
    service: &Service,
    asker: &Asker,
    request: ScanRequest,
    deadline: CallDeadline,
    share: &Share,
) -> Result<Answers<ScanResponse>, ErrorDetail> {
    let store = &service.stores.one(&request.store)?.handle;
    let range = convert::range(request.keys.clone())?;
    let keys = Keys::Range { start: &range.start, end: range.end.as_deref() };
    asker.may(Rpc::Scan, store.name(), keys)?;
    match from_own_copy(service, store, &request, range, deadline, share).await {
        Ok(answers) => Ok(answers),
        Err(missed) => forward::scan(service, store, request, missed, share).await,
    }
}

/// `range`: the keys of the request, which whoever calls this has checked.
pub(super) async fn from_own_copy(
    service: &Service,
    store: &StoreHandle,
    request: &ScanRequest,
    range: Range,
    deadline: CallDeadline,
    share: &Share,
) -> Result<Answers<ScanResponse>, Missed> {
    let selection = Selection {
        range,
        reverse: request.reverse,
        keys_only: request.keys_only,
        rows_max: (request.limit > 0).then_some(request.limit),
        row_bytes_max: convert::row_bytes_max(request.read.as_ref()),
        large_rows: convert::large_rows(request.large_rows)?,
    };
    let Some(permit) = share.try_scan() else {
        return Err(error::overloaded("scans").into());
    };
    let snapshot = read::open(store, request.read.as_ref(), None, deadline).await?;
    let (parts, answers) = Answers::channel(BATCHES_AHEAD + 1, &service.ending);
    let end = parts.clone().try_reserve_owned().expect("nothing was sent yet");
    let rows = Rows {
        walk: Walk::new(Box::new(snapshot.view), selection),
        copy: Some(snapshot.copy),
        origin: snapshot.origin,
        parts,
        _permit: permit,
    };
    let ending = service.ending.clone();
    let scanning = async move { ending.run_until_cancelled(rows.run(end)).await };
    service.tasks.spawn(trace::carried(scanning));
    Ok(answers)
}

struct Rows {
    walk: Walk,
    copy: Option<CopyState>,
    origin: Origin,
    parts: mpsc::Sender<Part<ScanResponse>>,
    /// Counts the scans that are open.
    _permit: OwnedSemaphorePermit,
}

impl Rows {
    /// Runs the scan. It ends early when nobody reads any more.
    ///
    /// `end` is a place of its own: why a scan ends is told whether its caller has taken what came before or not.
    async fn run(self, end: OwnedPermit<Part<ScanResponse>>) {
        let closing = self.origin.closing.clone();
        let last = tokio::select! {
            biased;
            () = closing.closed() => Err(error::closed()),
            last = self.send() => match last {
                End::Gone => return,
                End::Complete => Ok(()),
                End::Failed(detail) => Err(detail),
            }
        };
        end.send(Part::Last(last.map_err(Status::from)));
    }

    async fn send(mut self) -> End {
        loop {
            let place = match timeout(IDLE_MAX, self.parts.reserve()).await {
                Ok(Ok(place)) => place,
                Ok(Err(_gone)) => return End::Gone,
                Err(_idle) => return End::Failed(error::scan_not_read(IDLE_MAX)),
            };
            let Some((rows, walk)) = next_rows(self.walk, &self.origin).await else {
                return End::Gone;
            };
            self.walk = walk;
            match rows {
                Ok(rows) => {
                    place.send(Part::Message(ScanResponse { copy: self.copy.take(), rows }))
                }
                Err(detail) => return End::Failed(detail),
            }
            if self.walk.at_end() {
                return End::Complete;
            }
        }
    }
}

/// Reads the next rows on a thread that may wait for the disk. None: the read panicked, or the runtime stops, and the answers
/// break off with an error.
pub(super) async fn next_rows(
    mut walk: Walk,
    origin: &Origin,
) -> Option<(Result<Vec<Row>, ErrorDetail>, Walk)> {
    let _reading = origin.reading();
    let read = tokio::task::spawn_blocking(move || (walk.next_batch(), walk)).await;
    let (rows, walk) = read.ok()?;
    let rows = rows.map_err(|failure| match failure {
        WalkFailure::Store(failure) => origin.failed(&failure),
        WalkFailure::LargeRow(row) => error::row_too_large(&row),
    });
    Some((rows, walk))
}

enum End {
    Complete,
    Failed(ErrorDetail),
    /// Nobody is there to hear of it.
    Gone,
}
