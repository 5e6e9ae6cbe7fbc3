//! The digest of a whole copy, over one snapshot, on a blocking thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outrigger_core::digest::Digest;
use outrigger_core::offset::Revision;
use outrigger_core::store::{Scan, StoreError, View};
use outrigger_proto::v1::{self, ErrorDetail, Level, ReadOptions, Reason};

use super::deadline::CallDeadline;
use super::read::{self, Snapshot};
use super::service::Service;
use super::{convert, error};
use crate::runtime::StoreHandle;

/// Returns the digest; none when there is no exact copy.
pub(super) async fn of(
    service: &Service,
    store: &StoreHandle,
) -> Result<Option<v1::Digest>, ErrorDetail> {
    let _one_at_a_time = service.whole_copy().await;
    let options = ReadOptions { level: Level::Stale.into(), ..ReadOptions::default() };
    let snapshot = match read::open(store, Some(&options), None, CallDeadline::NONE).await {
        Ok(snapshot) if snapshot.copy.exact => snapshot,
        Ok(_inexact) => return Ok(None),
        Err(missed) if missed.detail.reason() == Reason::StoreFailed => return Err(missed.detail),
        Err(_no_copy) => return Ok(None),
    };
    let Snapshot { view, copy, origin } = snapshot;
    let summed =
        read_on(Box::new(view), Vec::new(), Digest::default(), |digest, key, revision, value| {
            digest.add(key, revision, value);
            Scan::Continue
        })
        .await?;
    let digest = summed.map_err(|error| origin.failed(&error))?;
    Ok(Some(convert::digest(&digest, copy.token)))
}

/// Somebody waits for the digest. A caller that went away must not leave a thread that reads a whole copy.
struct Asked(Arc<AtomicBool>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Gives the rows from `start` on to `add`, on a blocking thread that stops when nobody waits any more. The outer
/// failure means that the node stops.
pub(super) async fn read_on<T: Send + 'static>(
    view: Box<dyn View + Send>,
    start: Vec<u8>,
    mut sum: T,
    add: impl Fn(&mut T, &[u8], Revision, &[u8]) -> Scan + Send + 'static,
) -> Result<Result<T, StoreError>, ErrorDetail> {
    let asked = Asked(Arc::new(AtomicBool::new(true)));
    let still_asked = asked.0.clone();
    let read = move || {
        view.scan(&start, None, false, &mut |key, revision, value| {
            if still_asked.load(Ordering::Relaxed) {
                add(&mut sum, key, revision, value)
            } else {
                Scan::Stop
            }
        })?;
        Ok(sum)
    };
    tokio::task::spawn_blocking(read).await.map_err(|_stopped| error::draining())
}
