//! A read's way to its snapshot: what it demands is checked, waited for and opened; and what is said about the
//! copy that answers.

use outrigger_core::gate::{ReadLevel, Rejection};
use outrigger_core::offset::Generation;
use outrigger_core::store::{StoreError, StoreErrorKind, View};
use outrigger_core::token::Token;
use outrigger_proto::v1::{self, ErrorDetail};
use tokio::time::Instant;

use super::convert::{self, Demand};
use super::deadline::CallDeadline;
use super::error;
use crate::runtime::{Read, StoreHandle, clock};

/// One snapshot, and what the answer says about it.
pub(super) struct Snapshot {
    pub(super) view: Box<dyn View + Send>,
    pub(super) copy: v1::CopyState,
    pub(super) origin: Origin,
}

/// Whose snapshot it is: to report damage, however much later it is met.
#[derive(Clone)]
pub(super) struct Origin {
    store: StoreHandle,
    generation: Generation,
}

/// Everything about the request is checked before the first wait.
pub(super) async fn open(
    store: &StoreHandle,
    options: Option<v1::ReadOptions>,
    deadline: CallDeadline,
) -> Result<Snapshot, ErrorDetail> {
    let demand = convert::demand(options, &store.gate())?;
    let (wait, level) = (deadline.wait(demand.wait_ms_max), demand.level.clone());
    let read =
        met(store, demand, wait).await.map_err(|rejection| error::of_rejection(&rejection))?;
    snapshot(store, read, &level)
}

/// The two waits of LATEST with a token share one deadline.
async fn met(
    store: &StoreHandle,
    demand: Demand,
    wait: std::time::Duration,
) -> Result<Read, Rejection> {
    let until = Instant::now() + wait;
    if let Some(token) = demand.first {
        // Only for the wait: the end of the log that is asked for next is not behind it.
        store.read(ReadLevel::AtLeast(token), demand.staleness_ms_max, wait).await?;
    }
    let left = until.saturating_duration_since(Instant::now());
    store.read(demand.level, demand.staleness_ms_max, left).await
}

/// The token is of the snapshot itself: the store runs ahead of the gate that admitted the read.
fn snapshot(store: &StoreHandle, read: Read, level: &ReadLevel) -> Result<Snapshot, ErrorDetail> {
    let origin = Origin { store: store.clone(), generation: read.generation };
    let lineages = read.view.lineages().map_err(|error| origin.failed(&error))?;
    level.check_snapshot(&lineages).map_err(|rejection| error::of_rejection(&rejection))?;
    let copy = v1::CopyState {
        token: Some(convert::token(&Token::of(read.topic, &lineages))),
        age_ms: read.gate.age_ms(clock::now()),
        exact: lineages.iter().all(|lineage| lineage.exact()),
    };
    Ok(Snapshot { view: read.view, copy, origin })
}

impl Origin {
    pub(super) fn new(store: StoreHandle, generation: Generation) -> Origin {
        Origin { store, generation }
    }

    /// What a failed disk means for the caller, and for the store.
    pub(super) fn failed(&self, error: &StoreError) -> ErrorDetail {
        let Origin { store, generation } = self;
        tracing::error!(store = store.name(), %generation, %error, "a read failed");
        match error.kind {
            StoreErrorKind::Corrupt => store.report_damage(*generation, error.detail.clone()),
            StoreErrorKind::Full | StoreErrorKind::Io => {}
        }
        error::of_store_error(error)
    }
}
