//! After the chaos: everything is healed, every node must come back, and what is true is compared.

use std::time::Duration;

use outrigger_core::offset::{Offset, Partition};
use outrigger_core::phase::{Phase, Refusal};
use outrigger_core::stall::StallKind;
use outrigger_model::log::Verdict;

use super::clients::Pending;
use super::explain::{seconds, summary};
use super::{Due, Past, Run};
use crate::history::{self, Evidence, Row};
use crate::oracle::{Moment, OracleId, Wrong};
use crate::plan::{FaultKind, License};
use crate::reference::{Fate, Rows, rows_of};
use crate::trace::{Lane, Line};

/// Longest time to come back after everything is healed: reopening, horizons, a rebuild, with the slowest
/// limits that a plan may draw.
const COMEBACK_MAX: Duration = Duration::from_secs(1_200);

/// What was on its way when everything was healed has landed after this: late appends come last.
const LANDED: Duration = Duration::from_secs(100);

/// It takes a few rounds of every question; after that nothing may be stalled.
const SETTLED: Duration = Duration::from_secs(30);

impl Run<'_> {
    pub(super) fn finish(&mut self) {
        if self.world.violation().is_some() {
            return;
        }
        self.heal();
        self.pass(self.world.now.mono + LANDED);
        self.end_transactions();
        self.come_back();
        self.relieve_refused();
        self.come_back();
        self.read_everything();
        self.come_back();
        self.pass(self.world.now.mono + SETTLED);
        self.come_back();
        self.watch_to_the_end();
        self.check_answers();
        self.audit();
        self.judge_history();
    }

    fn heal(&mut self) {
        self.world.note(Line::NONE, Lane::World, "heal", || "everything is healed".to_owned());
        self.lift_all();
        let rest: Vec<_> =
            std::mem::take(&mut self.agenda).into_iter().map(|(_, due)| due).collect();
        for due in rest {
            match due {
                Due::EndTransaction(index) => self.end_transaction(index, Some(Verdict::Abort)),
                Due::Open(node, id) => self.open_late(node, id),
                Due::GiveUp(node, id) => self.hears_again(node, id),
                Due::Fault(_)
                | Due::Lift(_)
                | Due::Operation(_)
                | Due::Restart(_)
                | Due::CrashAgain(_)
                | Due::Pin(_)
                | Due::Unpin(_)
                | Due::Watch(_)
                | Due::Pull(_)
                | Due::Turn(..) => {}
            }
        }
        for broker in 0..self.plan.setting.kafka.brokers {
            self.world.log.start_broker(outrigger_model::log::BrokerId(broker));
        }
        self.world.log.forget_fates();
        for node in 0..self.world.count() {
            if self.world.must_crash(node) {
                self.crash_as_planned(node);
            }
            self.world.spare(node);
            if self.world.is_running(node) && self.world.node(node).gate().phase == Phase::Stopped {
                self.stop_node(node, 1_000);
            }
            self.restart(node);
        }
    }

    /// Ends transactions whose markers were lost, as an operator does: no coordinator will (KIP-664).
    fn end_transactions(&mut self) {
        for partition in Partition::all(self.plan.setting.partitions) {
            self.world.log.abort_hanging(partition);
        }
        self.world.settle();
    }

    /// Scans every node, which meets whatever damage nobody has met.
    fn read_everything(&mut self) {
        for node in 0..self.world.count() {
            if self.world.violation().is_none() && self.world.is_running(node) {
                self.scan(node);
            }
        }
    }

    /// Waits until every node is READY, or refuses for a reason that is true.
    fn come_back(&mut self) {
        let end = self.world.now.mono + COMEBACK_MAX;
        while self.world.violation().is_none() {
            let Some((node, why)) = self.first_away() else {
                return;
            };
            if self.world.now.mono >= end {
                let what = format!(
                    "not back {} after everything was healed: {why}",
                    seconds(COMEBACK_MAX)
                );
                return self.violate(OracleId::O12, Wrong::of(node, what));
            }
            self.end_transactions();
            self.pass(self.world.now.mono + Duration::from_millis(500));
        }
    }

    fn first_away(&self) -> Option<(usize, String)> {
        (0..self.world.count()).find_map(|node| {
            let away = match &self.world.node(node).gate().phase {
                Phase::Ready => !self.caught_up(node),
                Phase::Refused(refusal) => !self.rightly_refused(node, refusal),
                Phase::Opening | Phase::Restoring(_) | Phase::CatchingUp | Phase::Stopped => true,
            };
            away.then(|| (node, summary(&self.world.node(node).status())))
        })
    }

    fn caught_up(&self, node: usize) -> bool {
        let positions = self.world.node(node).gate().positions.iter();
        let partitions = Partition::all(self.plan.setting.partitions);
        positions.zip(partitions).all(|(position, of)| *position == self.world.log.last_stable(of))
    }

    fn rightly_refused(&self, node: usize, refusal: &Refusal) -> bool {
        match refusal {
            Refusal::Identity { .. } => !self.world.disk_is_its_own(node),
            Refusal::LogIncomplete { .. } => self.log_is_incomplete() && !self.can_be_given(node),
            // Whoever cancelled has let it go on again: that is how everything is healed.
            Refusal::Policy(_) | Refusal::Cancelled => false,
        }
    }

    fn log_is_incomplete(&self) -> bool {
        let mut partitions = Partition::all(self.plan.setting.partitions);
        partitions.any(|partition| self.world.log.state(partition).log_start > Offset::ZERO)
    }

    /// Whether a READY peer has what the log does not have any more.
    fn can_be_given(&self, node: usize) -> bool {
        let mut peers = (0..self.world.count()).filter(|peer| *peer != node);
        let status = self.world.node(node).status();
        let retentions = self.plan.faults.iter().filter_map(|fault| {
            let FaultKind::Retention { delete_retention_ms } = fault.what else { return None };
            Some(delete_retention_ms)
        });
        let retention_ms_min = retentions.min().unwrap_or(u64::MAX);
        self.plan.license == License::NoLoss
            && status.stalls.iter().all(|stall| stall.kind != StallKind::StoreFailed)
            && peers.any(|peer| self.world.gives_usable(peer, retention_ms_min))
    }

    /// An operator moves away what belongs to something else.
    fn relieve_refused(&mut self) {
        for node in 0..self.world.count() {
            let refused = |refusal: &Refusal| matches!(refusal, Refusal::Identity { .. });
            let phase = self.world.node(node).gate().phase.clone();
            if matches!(phase, Phase::Refused(refusal) if refused(&refusal)) {
                self.stop_node(node, 1_000);
                self.world.wipe(node);
                self.restart(node);
            }
        }
    }

    /// Checks that every call was answered (O12).
    fn check_answers(&mut self) {
        if self.world.violation().is_some() {
            return;
        }
        if let Some(((node, _), pending)) = self.pending.iter().next() {
            let what = match pending {
                Pending::Write { .. } => "no answer to a write".to_owned(),
                Pending::Read(_) | Pending::Opening(_, _) | Pending::Silent(_) => {
                    "no answer to a read".to_owned()
                }
                Pending::Pin => "no answer to a pin".to_owned(),
                Pending::Watch(_) => "no answer to a watch".to_owned(),
            };
            let wrong = Wrong::of(*node, what);
            self.violate(OracleId::O12, wrong);
        }
    }

    fn audit(&mut self) {
        for node in 0..self.world.count() {
            if self.world.node(node).gate().phase == Phase::Ready {
                self.world.judge(&Moment::Audit { node });
                if let Some(stall) = self.world.node(node).status().stalls.first() {
                    let what = format!("READY, healed, and still stalled: {}", stall.kind.name());
                    self.violate(OracleId::O12, Wrong::of(node, what));
                }
            }
        }
    }

    fn judge_history(&mut self) {
        if self.world.violation().is_some() {
            return;
        }
        let evidence = Evidence {
            log: Some(self.whole_log()),
            contents: self.contents(),
            licence: self.licence(),
        };
        self.end_history(evidence);
        for Past { history, evidence, lost_some } in std::mem::take(&mut self.past) {
            // What is left of a key whose superseding record was lost depends on the cleaner.
            let excused = |violation: &history::Violation| {
                let about_order = matches!(
                    violation.oracle,
                    history::Oracle::O1 | history::Oracle::O7 | history::Oracle::O13
                );
                about_order && lost_some.contains(&violation.key)
            };
            let mut violations = history.judge(&evidence).into_iter();
            if let Some(first) = violations.find(|violation| !excused(violation)) {
                let told = first.operations.iter().map(|index| &history.operations()[*index]);
                self.accused = told.cloned().collect();
                let keys = vec![String::from_utf8_lossy(&first.key).into_owned()];
                let what = first.detail;
                return self.violate(first.oracle.into(), Wrong { node: None, keys, what });
            }
        }
    }

    /// What callers were told of this topic is all that they will be told.
    pub(super) fn end_history(&mut self, evidence: Evidence) {
        let lost_some = self.world.reference.lost_some();
        let history = std::mem::take(&mut self.history);
        self.past.push(Past { history, evidence, lost_some });
    }

    /// Everything that the log ever took for the keys of its partitions.
    pub(super) fn whole_log(&self) -> Vec<history::Record> {
        let all = self.world.reference.everything();
        let own = all.filter_map(|(partition, offset, record, lost)| {
            let fate = match (record.fate, lost) {
                (Fate::Open | Fate::Aborted, _) if record.was_committed => history::Fate::Lost,
                (Fate::Open | Fate::Aborted, _) => history::Fate::Aborted,
                (Fate::Committed, true) => history::Fate::Lost,
                (Fate::Committed, false) => history::Fate::Committed,
                (Fate::Misplaced | Fate::Keyless, _) => return None,
            };
            let value = record.value.as_ref().map(|value| value.to_vec());
            let key = record.key.as_ref()?.to_vec();
            Some(history::Record { partition: partition.0, offset: offset.0, key, value, fate })
        });
        own.collect()
    }

    fn contents(&self) -> Vec<history::Rows> {
        let ready = (0..self.world.count())
            .filter(|node| self.world.node(*node).gate().phase == Phase::Ready);
        let copies = ready.filter_map(|node| {
            let generation = self.world.node(node).gate().generation?;
            rows_of(&self.world.view_of(node, generation)).ok()
        });
        let row =
            |(key, (revision, value)): (Vec<u8>, (outrigger_core::offset::Revision, Vec<u8>))| {
                (key, Row { offset: revision.offset.0, value })
            };
        copies.map(|rows: Rows| rows.into_iter().map(row).collect()).collect()
    }
}
