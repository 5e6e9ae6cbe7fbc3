//! What no copy is promised to survive: faults that would prove nothing if they met.

use std::time::Duration;

use super::Run;
use crate::plan::{Fault, FaultKind, NodeLimits, PeerFault};
use crate::world::START;

/// A clock that is off by as much is off by more than any run takes: no age looks right.
const HOURS_MS: u64 = 18_000_000;

impl Run<'_> {
    /// The faults that last now.
    pub(super) fn actives(&self) -> impl Iterator<Item = &FaultKind> + Clone {
        self.active.keys().map(|index| &self.plan.faults[*index].what)
    }

    /// A copy that is begun under another number of partitions is another copy: it places keys elsewhere.
    fn may_begin_a_copy(&self) -> bool {
        let lacks = |node| {
            !self.world.is_running(node)
                || self.world.disk(node).identity().is_none()
                || !self.world.disk_is_its_own(node)
        };
        self.actives().any(swaps) || (0..self.world.count()).any(lacks)
    }

    /// A retention was lowered so lately that nodes may not have asked since.
    fn lowered_unheard(&self) -> bool {
        let heard = Duration::from_millis(self.plan.setting.heard_ms());
        self.active_faults().any(|fault| {
            let begun = START.mono + Duration::from_millis(fault.at_ms);
            lowers(&fault.what) && self.world.now.mono < begun + heard
        })
    }

    /// What was heard may not be on disk: it failed, or was slow, since a retention was lowered.
    fn hurt_since_lowered(&self, node: usize) -> bool {
        let lowered = self.active_faults().filter(|active| lowers(&active.what));
        let Some(since) = lowered.map(|lowered| lowered.at_ms).min() else { return false };
        let hurts = |fault: &Fault| {
            let until = self.end_ms(fault) + late_ms(&fault.what) + self.plan.setting.heard_ms();
            let lasts = fault.at_ms <= self.now_ms() && since <= until;
            lasts && fault.what.node() == Some(node) && keeps_nothing(&fault.what)
        };
        self.plan.faults.iter().any(hurts)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from((self.world.now.mono - START.mono).as_millis()).expect("a run is short")
    }

    fn active_faults(&self) -> impl Iterator<Item = &Fault> + Clone {
        self.active.keys().map(|index| &self.plan.faults[*index])
    }

    /// What keeps somebody from hearing now; it may be over, with a slow answer still to come.
    fn still_asleep(&self) -> impl Iterator<Item = &Fault> {
        let now_ms = self.now_ms();
        self.plan.faults.iter().filter(move |fault| {
            let until = self.end_ms(fault) + late_ms(&fault.what);
            fault.at_ms <= now_ms && now_ms <= until && sleeps(&fault.what)
        })
    }

    /// Who sleeps while `lowered` begins hears of it before it is over.
    fn is_heard(&self, asleep: &Fault, lowered: &Fault) -> bool {
        self.end_ms(asleep) + late_ms(&asleep.what) + self.plan.setting.heard_ms()
            <= self.end_ms(lowered)
    }

    /// A retention was lowered since a point was confirmed then: a process that began later, on a copy that did, cannot know.
    pub(super) fn lowered_since(&self, confirmed_at_ms: u64) -> bool {
        self.retentions_since(confirmed_at_ms).next().is_some()
    }

    /// The smallest delete.retention.ms that was in force since then.
    pub(super) fn retention_ms_since(&self, confirmed_at_ms: u64) -> u64 {
        let usual_ms = self.plan.setting.policy.delete_retention_ms;
        self.retentions_since(confirmed_at_ms).fold(usual_ms, u64::min)
    }

    fn retentions_since(&self, confirmed_at_ms: u64) -> impl Iterator<Item = u64> {
        let confirmed_ms = confirmed_at_ms.saturating_sub(START.wall_ms);
        let begun = self.plan.faults.iter().filter(|fault| fault.at_ms <= self.now_ms());
        let since = begun.filter(move |fault| confirmed_ms <= self.end_ms(fault));
        since.filter_map(|fault| match fault.what {
            FaultKind::Retention { delete_retention_ms } => Some(delete_retention_ms),
            _ => None,
        })
    }

    /// Whoever gives a copy tells what retention it has heard of: of one that is over before, or hidden by another one,
    /// nobody can tell.
    fn peers_cannot_know(&self, lowered: &Fault) -> bool {
        let short = self.end_ms(lowered) < lowered.at_ms + self.plan.setting.heard_ms();
        let hidden = self.actives().any(lowers);
        self.plan.setting.peers.is_some() && (short || hidden)
    }

    /// The first answer to a process that begins after `wiped` still tells of `lowered`.
    fn hears_at_start(&self, wiped: &Fault, lowered: &Fault) -> bool {
        let latencies = &self.plan.setting.latencies;
        let slow = self.actives().filter_map(|active| match active {
            FaultKind::SlowLog { up_to_ms, .. } => Some(*up_to_ms),
            _ => None,
        });
        let one_ms =
            (latencies.log_call_us + latencies.log_answer_us) / 1_000 + slow.max().unwrap_or(0);
        self.end_ms(wiped) + 2 * one_ms + 100 <= self.end_ms(lowered)
    }

    fn end_ms(&self, fault: &Fault) -> u64 {
        (fault.at_ms + fault.lasts_ms).min(self.plan.heal_ms)
    }

    /// A replica that misses a tombstone for as long as the lowered retention keeps it brings the key back when it leads.
    fn outlives_tombstones(&self, away: &Fault, lowered: &Fault) -> bool {
        let FaultKind::Retention { delete_retention_ms } = lowered.what else { return false };
        let both_ms = self.end_ms(away).saturating_sub(lowered.at_ms.max(away.at_ms));
        takes_a_broker_away(&away.what) && both_ms >= delete_retention_ms * 3 / 4
    }

    /// A protection that is taken away counts once a node has asked again: only one that sleeps does not read meanwhile.
    fn all_sleep(&self) -> bool {
        let awake = |node| self.world.is_running(node) && !self.world.is_paused(node);
        !(0..self.world.count()).any(awake)
    }

    /// Margins are of the shortest that a copy has seen.
    fn shortest_retention_ms(&self) -> u64 {
        let lowered = self.plan.faults.iter().filter_map(|fault| match fault.what {
            FaultKind::Retention { delete_retention_ms } => Some(delete_retention_ms),
            _ => None,
        });
        lowered.chain([self.plan.setting.policy.delete_retention_ms]).min().unwrap_or(u64::MAX)
    }

    /// Whether a clock is wrong by more than clocks may differ, and by less than makes no age look right.
    fn is_far(&self, what: &FaultKind) -> bool {
        match what {
            FaultKind::Clock { jump_ms, .. } => {
                (self.shortest_retention_ms() / 12..HOURS_MS).contains(&jump_ms.unsigned_abs())
            }
            _ => false,
        }
    }

    /// What is on somebody's disk at that time may have dates of a clock that is so far ahead, or was: one that is set right
    /// confirms its copy anew, and soon has that on disk.
    fn dates_ahead(&self, at_ms: u64, whose: impl Fn(usize) -> bool) -> bool {
        let NodeLimits { ends_ms, flush_ms, .. } = self.plan.setting.limits;
        let redated_ms = 2 * (ends_ms + flush_ms) + self.plan.setting.answer_ms();
        self.plan.faults.iter().any(|clock| {
            let FaultKind::Clock { node, jump_ms } = clock.what else { return false };
            let until_ms = self.end_ms(clock) + redated_ms;
            let dates = (clock.at_ms..until_ms).contains(&at_ms);
            whose(node) && jump_ms > 0 && self.is_far(&clock.what) && dates
        })
    }

    /// A copy has the dates of its giver's clock. Where that was ahead, one that is on its way for long looks young when
    /// tombstones that it lacks are gone.
    fn gives_ahead(&self, fault: &Fault) -> bool {
        match fault.what {
            FaultKind::Peer { node, how: PeerFault::Old } => {
                self.dates_ahead(fault.at_ms, |giver| giver != node)
            }
            FaultKind::Clock { jump_ms, .. } => {
                self.plan.setting.peers.as_ref().is_some_and(|peers| {
                    let long = peers.takes_up_to_ms >= self.shortest_retention_ms() * 3 / 4;
                    long && jump_ms > 0 && self.is_far(&fault.what)
                })
            }
            _ => false,
        }
    }

    /// Only a process that goes on notices a wall clock that went back by more than the margin: nothing tells one that
    /// ends how long it was away, or one that opens its copy anew that a retention was lowered for a time. Nothing
    /// tells one either that sleeps all that time, or hears of no broker. So these do not meet.
    pub(super) fn is_no_promise(&self, index: usize) -> bool {
        let fault = &self.plan.faults[index];
        let what = &fault.what;
        if *what == FaultKind::AddPartition && self.may_begin_a_copy() {
            return true;
        }
        let added = |active: &FaultKind| *active == FaultKind::AddPartition;
        if swaps(what) && self.actives().any(added) {
            return true;
        }
        let mut actives = self.active_faults();
        if actives.any(|active| {
            self.outlives_tombstones(active, fault) || self.outlives_tombstones(fault, active)
        }) {
            return true;
        }
        if lowers(what) && self.peers_cannot_know(fault) || self.gives_ahead(fault) {
            return true;
        }
        let Some(node) = what.node() else {
            let down = (0..self.world.count()).any(|node| !self.world.is_running(node));
            let away = self.actives().any(|active| opens(active) || hears_nothing(active));
            let mut asleep = self.still_asleep();
            let unheard = asleep.any(|asleep| !self.is_heard(asleep, fault));
            let unprotects = matches!(what, FaultKind::Protection { .. });
            return lowers(what) && (down || away || unheard)
                || unprotects && !self.all_sleep()
                || hears_nothing(what) && self.actives().any(lowers);
        };
        let far = |what: &FaultKind| self.is_far(what);
        let mut lowered = self.active_faults().filter(|active| lowers(&active.what));
        let unheard =
            self.lowered_unheard() && lowered.clone().any(|lowered| !self.is_heard(fault, lowered));
        let away = hears_nothing(what) || sleeps(what) && unheard;
        let unsaved = self.lowered_unheard() || self.hurt_since_lowered(node);
        let forgets = if keeps_a_copy(what) {
            opens(what) && unsaved
        } else {
            lowered.any(|lowered| !self.hears_at_start(fault, lowered))
        };
        if (forgets || away) && self.actives().any(lowers) {
            return true;
        }
        let lowered_before = |other: &Fault| lowers(&other.what) && other.at_ms <= fault.at_ms;
        if comes_back(what) && self.plan.faults.iter().any(lowered_before) {
            return true;
        }
        let mut its = self.actives().filter(|active| active.node() == Some(node));
        if let FaultKind::Clock { .. } = what
            && its.clone().any(|active| matches!(active, FaultKind::Clock { .. }))
        {
            return true;
        }
        if far(what) {
            !self.world.is_running(node) || its.any(|active| restarts(active) || far(active))
        } else {
            let dated = keeps_a_copy(what) && self.dates_ahead(fault.at_ms, |its| its == node);
            restarts(what) && (its.any(far) || dated)
        }
    }
}

/// Another disk is there afterwards.
fn swaps(what: &FaultKind) -> bool {
    matches!(what.id(), "D4" | "D5" | "D6")
}

/// Without one there is nothing that had to be remembered: the first answer tells a process what counts.
fn keeps_a_copy(what: &FaultKind) -> bool {
    what.id() != "D5"
}

/// A disk of before is there afterwards.
fn comes_back(what: &FaultKind) -> bool {
    matches!(what.id(), "D4" | "D6")
}

fn lowers(what: &FaultKind) -> bool {
    matches!(what, FaultKind::Retention { .. } | FaultKind::Protection { .. })
}

fn takes_a_broker_away(what: &FaultKind) -> bool {
    matches!(
        what,
        FaultKind::StopBroker { .. }
            | FaultKind::IsolateBroker { .. }
            | FaultKind::LagBroker { .. }
            | FaultKind::ElectUnclean { .. }
    )
}

/// Nobody tells a node anything while it lasts.
fn hears_nothing(what: &FaultKind) -> bool {
    matches!(what.id(), "N4" | "K19" | "K24")
}

/// A process that opens its copy asks nothing until its disk has answered.
fn sleeps(what: &FaultKind) -> bool {
    matches!(what.id(), "D2" | "D11" | "D13")
}

/// What a process is to write may never be on its disk, or late, or the process does not run to write it.
fn keeps_nothing(what: &FaultKind) -> bool {
    sleeps(what) || matches!(what.id(), "D7" | "D8" | "D9" | "D10")
}

/// The last of a slow disk's answers comes this long after it is over.
fn late_ms(what: &FaultKind) -> u64 {
    match what {
        FaultKind::SlowDisk { up_to_ms, answers_ms, .. } => up_to_ms + answers_ms,
        _ => 0,
    }
}

/// The process ends: the next one knows only the wall clock.
fn restarts(what: &FaultKind) -> bool {
    opens(what) && !matches!(what.id(), "D7" | "D8" | "D9" | "D10")
}

/// A process that meets it opens its copy anew.
fn opens(what: &FaultKind) -> bool {
    what.id().starts_with(['D', 'P']) && !matches!(what.id(), "D2" | "D3" | "D11" | "D13" | "P9")
}
