//! Reads: what a request demands is checked, core's `ReadPath` leads to a snapshot, and the answer says what copy it is of.

use outrigger_core::forward::{Forward, may_be_forwarded};
use outrigger_core::offset::Generation;
use outrigger_core::read::Answer;
use outrigger_core::store::{StoreError, StoreErrorKind};
use outrigger_proto::v1::{self, ErrorDetail};

use super::deadline::CallDeadline;
use super::{convert, error};
use crate::rocks::Closing;
use crate::runtime::{self, Read, ReadError, StoreHandle, clock};
use crate::telemetry::trace;

/// One snapshot, and what the answer says about it.
pub(super) struct Snapshot {
    pub(super) view: runtime::Snapshot,
    pub(super) copy: v1::CopyState,
    pub(super) origin: Origin,
}

/// Whose snapshot it is: damage is reported to it, however much later it is met.
#[derive(Clone)]
pub(super) struct Origin {
    store: StoreHandle,
    generation: Generation,
    pub(super) closing: Closing,
}

/// The own copy does not answer a read.
pub(super) struct Missed {
    /// Why.
    pub(super) detail: ErrorDetail,
    /// How a peer may be asked; none: it is not to be.
    pub(super) forward: Option<Forward>,
}

/// Opens the snapshot. Everything about the request is checked before the first wait. `key`: the only one that is read.
pub(super) async fn open(
    store: &StoreHandle,
    options: Option<&v1::ReadOptions>,
    key: Option<&[u8]>,
    deadline: CallDeadline,
) -> Result<Snapshot, Missed> {
    let convert::Read { demand, wait_ms_max } = convert::read(options, key, &store.gate())?;
    let (level, wait, began) = (demand.level.clone(), deadline.wait(wait_ms_max), clock::now());
    match store.read(demand, wait).await {
        Ok(read) => Ok(snapshot(store, read)),
        Err(ReadError::Rejected(rejection)) => {
            let detail = error::turned_away(store.circumstances(), &rejection);
            let (now, until) = (clock::now().mono, deadline.answer_within());
            let (left, until) =
                (wait.saturating_sub(now - began.mono), until.map(|within| began.mono + within));
            let forward = may_be_forwarded(&level, &rejection)
                .then(|| Forward::new(&level, left, until, now));
            Err(Missed { detail, forward })
        }
        Err(ReadError::Disk { generation, closing, error }) => {
            Err(Origin::new(store.clone(), generation, closing).failed(&error).into())
        }
    }
}

impl From<ErrorDetail> for Missed {
    fn from(detail: ErrorDetail) -> Missed {
        Missed { detail, forward: None }
    }
}

fn snapshot(store: &StoreHandle, read: Read) -> Snapshot {
    let Read { view, generation, closing, answer } = read;
    let Answer { token, exact, confirmed_at_ms } = answer;
    let copy = v1::CopyState {
        token: Some(convert::token(&token)),
        age_ms: clock::now().wall_ms.saturating_sub(confirmed_at_ms),
        exact,
        given_by: String::new(),
    };
    Snapshot { view, copy, origin: Origin::new(store.clone(), generation, closing) }
}

impl Origin {
    pub(super) fn new(store: StoreHandle, generation: Generation, closing: Closing) -> Origin {
        Origin { store, generation, closing }
    }

    /// Reads rows of it, until what this returns is dropped.
    pub(super) fn reading(&self) -> trace::Span {
        trace::read(self.store.name())
    }

    /// Reports damage to the store, and returns what the failure means for the caller.
    pub(super) fn failed(&self, error: &StoreError) -> ErrorDetail {
        let Origin { store, generation, closing } = self;
        if closing.is_closed() && error.kind != StoreErrorKind::Corrupt {
            return error::closed();
        }
        tracing::error!(store = store.name(), %generation, %error, "a read failed");
        match error.kind {
            StoreErrorKind::Corrupt => store.report_damage(*generation, error.detail.clone()),
            StoreErrorKind::Full | StoreErrorKind::Io => {}
        }
        error::of_store_error(error)
    }
}
