//! What the core thread and the handles of one store share: the way in, and what is published.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use outrigger_core::gate::{Gate, Rejection};
use outrigger_core::limits::Limits;
use outrigger_core::node::{Command, Status};
use outrigger_core::offset::{Generation, RequestId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::admission::Admission;
use super::beside::Beside;
use super::circumstances::Circumstances;
use super::cursors::Turns;
use super::disk_times::DiskTimes;
use super::feed::Feed;
use super::inbox::{Input, Waiter};
use super::snapshot::DiskReads;
use crate::index::StoreIndex;
use crate::log::Cursors;
use crate::rocks::GenerationViews;
use crate::seldom::Seldom;

/// How often reads that fail are told of: a disk that fails may fail thousands a second.
pub(super) const FAILED_READS_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Door {
    pub(super) index: StoreIndex,
    pub(super) name: String,
    pub(super) topic: String,
    pub(super) limits: Limits,
    pub(super) circumstances: Circumstances,
    pub(super) admission: Admission,
    pub(super) gate: ArcSwap<Gate>,
    pub(super) status: watch::Sender<Arc<Status>>,
    pub(super) views: GenerationViews,
    pub(super) feed: Feed,
    pub(super) beside: Beside,
    pub(super) cursors: Option<Arc<dyn Cursors>>,
    pub(super) turns: Turns,
    pub(super) times: DiskTimes,
    pub(super) disk: DiskReads,
    pub(super) inbox: Sender<Input>,
    pub(super) ids: AtomicU64,
    /// Whether a report is in the inbox: one is enough, and a burst of failing reads must not fill it.
    pub(super) damage_reported: AtomicBool,
    /// Reads that failed. The lock guards nothing else, and is held for one question.
    pub(super) failed_reads: Mutex<Seldom>,
}

impl Door {
    pub(super) fn enter(&self, command: Command, waiter: Waiter) -> Result<RequestId, Rejection> {
        let id = RequestId(self.ids.fetch_add(1, Ordering::Relaxed));
        let input = Input::Command { store: self.index, id, command, waiter };
        self.inbox.send(input).map_err(|_| Rejection::Draining)?;
        Ok(id)
    }

    pub(super) fn send(&self, input: Input) {
        // Without a core nobody is left who would want to know.
        let _ended = self.inbox.send(input);
    }

    pub(super) fn count_failed_read(&self) -> Option<u64> {
        let mut failed = self.failed_reads.lock().unwrap_or_else(PoisonError::into_inner);
        failed.now(Instant::now())
    }

    pub(super) fn report_damage(&self, generation: Generation, detail: String) {
        if !self.damage_reported.swap(true, Ordering::AcqRel) {
            self.send(Input::Damaged { store: self.index, generation, detail });
        }
    }
}
