//! What follows from a decision: the plan that [`decide`] made, as stages and their store calls.

use std::collections::VecDeque;

use crate::decide::{Old, Plan, Situation, Then, decide, stale};
use crate::lineage::Lineage;
use crate::offset::Generation;
use crate::phase::Cause;
use crate::stall::StallKind;
use crate::store::{Found, StoreCall, Why};
use crate::topic::{Identity, LogFacts};

use super::fetching::Fetching;
use super::preparing::Preparing;
use super::reading::{Beside, Reading, Start, Usage};
use super::waiting::Waiting;
use super::{Next, Stage};
use crate::node::event::Notice;
use crate::node::shared::{Served, Shared, Wanted};

impl Shared {
    pub(super) fn decide(&self, found: &Found, facts: &LogFacts) -> Plan {
        let plan = decide(Situation {
            store: &self.store,
            found,
            facts,
            epochs_known: &self.epochs_known,
            diverged: &self.evidence.diverged,
            inexact: &self.evidence.inexact,
            past_horizon: &self.evidence.past_horizon,
            dates: &self.dates,
            limits: &self.limits,
        });
        if self.cancelled { plan.cancelled() } else { plan }
    }

    pub(super) fn act_on(&mut self, found: Found, identity: Identity, facts: &LogFacts) -> Next {
        assert_eq!(
            identity,
            facts.identity(&self.store),
            "no facts come between opening and deciding"
        );
        let Plan { serve, old, then } = self.decide(&found, facts);
        // No other than the one in use is ever served beside a rebuild.
        let served = serve.and(found.in_use()).map(Served::of);
        match then {
            Then::Wait(deposed) => {
                self.begin_stall(StallKind::StaleLeader, deposed.to_string());
                self.refusal = None;
                wait(found, identity, served)
            }
            Then::Refuse(refusal) => {
                self.positions_refused.clear();
                self.refusal = Some(refusal);
                wait(found, identity, served)
            }
            Then::Resume { generation, lineages } => {
                let (cause, usage) = (Cause::Resume, Usage::Active);
                let start = Start { identity, generation, lineages, cause, usage };
                let calls = self.put_away(old);
                self.prepare(calls, start, facts)
            }
            Then::Continue { generation, lineages } => {
                let replaced = stale(&old);
                let (cause, usage) =
                    (Cause::Unfinished, Usage::Building(Beside { served, replaced }));
                let start = Start { identity, generation, lineages, cause, usage };
                let calls = self.put_away(old);
                self.prepare(calls, start, facts)
            }
            Then::Rebuild { generation, cause, refusal } => {
                self.positions_refused.clear();
                let refused = refusal.is_some();
                if refused {
                    self.refusal = refusal;
                    self.peers.note_waste(&found, &old);
                }
                let wanted = Wanted { generation, cause, refused, old, served };
                if self.may_ask_peers(&found, &wanted, facts) {
                    let fetching = Fetching::new(self, found, identity, wanted);
                    return Next::to(Stage::Fetching(Box::new(fetching)));
                }
                if refused {
                    return wait(found, identity, served);
                }
                self.rebuild(identity, wanted, facts)
            }
        }
    }

    fn rebuild(&mut self, identity: Identity, wanted: Wanted, facts: &LogFacts) -> Next {
        let Wanted { generation, cause, old, served, .. } = wanted;
        let usage = Usage::Building(Beside { served, replaced: stale(&old) });
        // Its horizon counts from before its first fetch; and where the log is empty, it is all that there was at that time.
        let lineage = Lineage::empty(self.asked_at.wall_ms, facts.policy.delete_retention_ms);
        let lineages = vec![lineage; facts.partitions.len()];
        let mut calls = self.put_away(old);
        self.dates.begin(generation, self.asked_at);
        calls.push_back(StoreCall::Create {
            generation,
            identity: identity.clone(),
            lineages: lineages.clone(),
        });
        let start = Start { identity, generation, lineages, cause, usage };
        self.prepare(calls, start, facts)
    }

    pub(super) fn put_away(
        &mut self,
        old: impl IntoIterator<Item = (Generation, Old)>,
    ) -> VecDeque<StoreCall> {
        let call = |(generation, old)| match old {
            Old::ServeStale => None,
            Old::Discard => Some(StoreCall::Remove { generation }),
            Old::Quarantine(why) => Some(self.set_aside(generation, why)),
        };
        old.into_iter().filter_map(call).collect()
    }

    fn set_aside(&mut self, generation: Generation, why: Why) -> StoreCall {
        self.notice(Notice::Quarantined { generation, why: why.clone() });
        StoreCall::Quarantine { generation, why }
    }

    fn prepare(&mut self, calls: VecDeque<StoreCall>, start: Start, facts: &LogFacts) -> Next {
        let reading = Reading::new(start, facts, self.asked_at, &self.dates);
        Next::to(Stage::Preparing(Preparing::new(calls, reading)))
    }
}

fn wait(found: Found, identity: Identity, served: Option<Served>) -> Next {
    Next::to(Stage::Waiting(Waiting { found, identity, served }))
}
