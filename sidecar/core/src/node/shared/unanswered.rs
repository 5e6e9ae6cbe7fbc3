//! Calls that the store has not answered: a disk that hangs says nothing, so its silence gets a name.

use std::collections::VecDeque;
use std::time::Duration;

use crate::stall::StallKind;
use crate::store::{StoreCallKind, StoreErrorKind, StoreEvent};

use super::Shared;

/// In the order in which they were sent, in which they are carried out.
#[derive(Debug, Default)]
pub(in crate::node) struct Unanswered {
    calls: VecDeque<StoreCallKind>,
    /// Monotonic: since when the store has had nothing else to do than the oldest of them.
    since: Duration,
}

impl Unanswered {
    pub(in crate::node) fn sent(&mut self, call: StoreCallKind, now: Duration) {
        if self.calls.is_empty() {
            self.since = now;
        }
        self.calls.push_back(call);
    }

    fn answered(&mut self, call: StoreCallKind, now: Duration) {
        if let Some(oldest) = self.calls.iter().position(|sent| *sent == call) {
            self.calls.remove(oldest);
        }
        self.since = now;
    }

    fn oldest(&self) -> Option<(StoreCallKind, Duration)> {
        self.calls.front().map(|call| (*call, self.since))
    }
}

impl Shared {
    pub(in crate::node) fn note_answer(&mut self, event: &StoreEvent) {
        self.unanswered.answered(event.answers(), self.now.mono);
        let held =
            matches!(event, StoreEvent::Failed { error, .. } if error.kind == StoreErrorKind::Held);
        // Who finds it held again has heard nothing of the disk.
        if !held {
            self.end_stalls(|kind| kind == StallKind::StoreSlow);
        }
    }

    /// Names a disk that does not answer, whatever the stage is: each of them may wait for it.
    pub(in crate::node) fn name_slow_store(&mut self) {
        let Some((call, since)) = self.unanswered.oldest() else { return };
        if self.now.mono >= since + self.limits.stall_after {
            let detail = format!("the disk does not answer: {}", call.what());
            self.begin_stall(StallKind::StoreSlow, detail);
        }
    }

    pub(in crate::node) fn slow_store_timer(&self) -> Option<Duration> {
        let (_, since) = self.unanswered.oldest()?;
        (!self.stalls.has(StallKind::StoreSlow)).then_some(since + self.limits.stall_after)
    }
}
