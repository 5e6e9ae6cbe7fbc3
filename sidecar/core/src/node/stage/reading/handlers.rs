//! Reading as a stage of the node.

use std::sync::Arc;
use std::time::Duration;

use crate::gate::Gate;
use crate::log::KafkaError;
use crate::offset::{Generation, Partition};
use crate::phase::Phase;
use crate::stall::StallKind;
use crate::store::{StoreCallKind, StoreError};

use super::{Reader, Reading, Usage};
use crate::node::shared::{News, Served, Shared};
use crate::node::stage::handlers::{Ease, Handlers, Leave, Next, Shown};
use crate::node::status::{Progress, Source};

impl Handlers for Reading {
    fn phase(&self) -> Phase {
        self.phase.clone()
    }

    fn served(&self) -> Option<Served> {
        match &self.usage {
            Usage::Active => Some(Served {
                generation: self.generation,
                confirmed_at_ms: self.confirmed_at_ms(),
                delete_retention_ms_min: self.delete_retention_ms_min(),
            }),
            Usage::Building(beside) | Usage::Activating(beside) => beside.served,
        }
    }

    fn shown(&self, gate: &Gate) -> Shown {
        let applied = || self.readers.iter().map(Reader::applied);
        let chains = || applied().map(|lineage| &lineage.epochs);
        // What is published already is kept as long as it says the same.
        let epochs = if chains().eq(gate.epochs.iter()) {
            gate.epochs.clone()
        } else {
            chains().cloned().collect::<Arc<[_]>>()
        };
        Shown {
            fed: self.usage == Usage::Active,
            exact: self.exact(),
            topic: None,
            positions: applied().map(|lineage| lineage.position).collect(),
            epochs,
            delete_retention_ms_min: self.delete_retention_ms_min(),
        }
    }

    fn progress(&self) -> Option<Progress> {
        Some(Progress {
            cause: self.cause,
            started: self.started.mono,
            records: self.records,
            bytes: self.bytes,
            source: Source::Log,
        })
    }

    fn leaderless(&self) -> &[(Partition, KafkaError)] {
        &self.leaderless
    }

    fn timer(&self, shared: &Shared) -> Option<Duration> {
        let asks = [shared.describe.timer(), shared.ends.timer(), shared.topic_id.timer()];
        asks.into_iter().chain([self.due(shared), self.pins.timer()]).flatten().min()
    }

    /// Its partitions are assigned.
    fn begin(&mut self, shared: &mut Shared) -> Next {
        self.begin_ring(shared);
        shared.end_stale_leader();
        shared.end_stalls(|kind| {
            matches!(kind, StallKind::StoreFull | StallKind::StoreFailed | StallKind::Inexact)
        });
        shared.describe.rest(shared.now, shared.limits.describe_interval);
        shared.ends.hurry();
        shared.topic_id.hurry();
        Next::Stay
    }

    fn advance(&mut self, shared: &mut Shared) -> Next {
        self.keep_up(shared).into()
    }

    fn assess(&mut self, shared: &Shared) {
        self.note_targets();
        self.phase = match (self.reached, self.exact() && self.usage == Usage::Active) {
            (false, _) => Phase::Restoring(self.cause),
            (true, false) => Phase::CatchingUp,
            (true, true) => Phase::Ready,
        };
        self.note_exactness(shared.now.mono);
    }

    /// Gives the credits that a restore's rate held back: nothing else may wake the node for them.
    fn on_ready(&mut self, shared: &mut Shared) {
        self.give_credits(shared);
    }

    fn end(&mut self, shared: &mut Shared) {
        self.pins.end(shared);
    }

    fn ease(&mut self, _: &mut Shared) -> Ease {
        if self.all_durable() { Ease::Idle } else { Ease::Unflushed }
    }

    fn on_facts(&mut self, shared: &mut Shared, news: &News) -> Next {
        self.audit(shared, news).into()
    }

    fn on_done(&mut self, shared: &mut Shared, call: StoreCallKind, _: Generation) -> Next {
        let stays = match call {
            StoreCallKind::Flush => self.on_flushed(shared),
            StoreCallKind::Activate => self.on_activated(shared),
            StoreCallKind::Confirm => {
                self.confirming -= 1;
                Ok(())
            }
            StoreCallKind::Open
            | StoreCallKind::Look
            | StoreCallKind::Create
            | StoreCallKind::Adopt
            | StoreCallKind::Apply
            | StoreCallKind::Quarantine
            | StoreCallKind::Remove
            | StoreCallKind::Close
            | StoreCallKind::Pin
            | StoreCallKind::Unpin => Ok(()),
        };
        stays.into()
    }

    fn on_store_failed(
        &mut self,
        shared: &mut Shared,
        call: StoreCallKind,
        error: &StoreError,
    ) -> Next {
        if call == StoreCallKind::Remove {
            // It is what a rebuild replaced; the next opening removes it.
            return Next::Stay;
        }
        shared.disk_failed(error, Some(self.generation));
        Next::Leave(Leave::Suspend)
    }

    fn on_damaged(&mut self, _: Generation, _: &str) -> Next {
        Next::Leave(Leave::Reopen)
    }

    fn on_cancel(&mut self, _: &mut Shared) -> Next {
        Next::Leave(Leave::Reopen)
    }
}
