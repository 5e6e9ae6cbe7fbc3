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
        // The metric of failures has each of them.
        if let Some(times) = store.count_failed_read() {
            tracing::error!(store = store.name(), %generation, %error, times, "a read failed");
        }
        match error.kind {
            StoreErrorKind::Corrupt => store.report_damage(*generation, error.detail.clone()),
            StoreErrorKind::Full | StoreErrorKind::Io | StoreErrorKind::Held => {}
        }
        error::of_store_error(error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;
    use crate::runtime::tests;

    /// Counts what is logged as an error.
    #[derive(Clone, Default)]
    struct Errors(Arc<AtomicU64>);

    impl<S: Subscriber> Layer<S> for Errors {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            if *event.metadata().level() == Level::ERROR {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    #[tokio::test]
    async fn a_disk_that_fails_every_read_does_not_flood_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = tests::log(&dir.path().join("log"));
        let (runtime, store) = tests::runtime(&log, &dir.path().join("data"));
        let origin = Origin::new(store, Generation(1), Closing::default());
        let error = StoreError { kind: StoreErrorKind::Io, detail: "block 7".to_owned() };
        let errors = Errors::default();
        let logged = tracing_subscriber::registry().with(errors.clone());
        tracing::subscriber::with_default(logged, || {
            for _ in 0..1_000 {
                assert_eq!(origin.failed(&error).reason(), v1::Reason::StoreFailed);
            }
        });
        assert_eq!(errors.0.load(Ordering::Relaxed), 1, "the rest is counted");
        runtime.crash().await;
    }
}
