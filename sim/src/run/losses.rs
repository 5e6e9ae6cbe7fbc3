//! What the log lost, who had seen it, and whether they said so.

use outrigger_core::node::Notice;

use super::Run;
use crate::history::{Licence, Loss, StaleLeader};
use crate::world;

#[derive(Debug, Default)]
pub(super) struct Losses {
    /// How many of the world's losses were looked at.
    seen: usize,
    known: Vec<Known>,
    stale: Vec<(u64, Option<u64>)>,
}

#[derive(Debug)]
struct Known {
    loss: world::Loss,
    /// When it was lost, on the history's clock.
    at: u64,
}

impl Losses {
    pub(super) fn stale_leader(&mut self, clock: u64) {
        self.stale.push((clock, None));
    }

    /// What an earlier topic lost excuses nothing in this one.
    pub(super) fn of_another_topic(&mut self) {
        self.known.clear();
    }

    pub(super) fn rejoined(&mut self, clock: u64) {
        if let Some((_, until)) = self.stale.iter_mut().find(|(_, until)| until.is_none()) {
            // What is under way may still be answered by it.
            *until = Some(clock + 50);
        }
    }
}

impl Run<'_> {
    pub(super) fn note_losses(&mut self) {
        while let Some(loss) = self.world.losses.get(self.losses.seen).cloned() {
            self.losses.seen += 1;
            let at = self.tick();
            self.losses.known.push(Known { loss, at });
        }
    }

    /// What this run's losses excuse.
    pub(super) fn licence(&self) -> Licence {
        let until = self.clock + 1;
        let losses = self.losses.known.iter().map(|known| Loss {
            partition: known.loss.lost.partition.0,
            from: known.loss.lost.from.0,
            at: known.at,
            until,
            declared: self.declared(known),
        });
        let partitions = self.plan.setting.partitions;
        let stale = self.losses.stale.iter().flat_map(|(from, until)| {
            (0..partitions).map(move |partition| StaleLeader {
                partition,
                from: *from,
                until: until.unwrap_or(u64::MAX),
            })
        });
        Licence { losses: losses.collect(), stale_leaders: stale.collect() }
    }

    /// Whether somebody who had seen it said so, or nobody had seen it.
    fn declared(&self, known: &Known) -> bool {
        let mut witnesses = known.loss.witnesses.iter();
        known.loss.witnesses.is_empty()
            || !known.loss.lost.acknowledged
            || witnesses.any(|(node, told)| {
                let later = self.world.notices(*node).iter().skip(*told);
                // A process that ended may have taken with it what it alone had.
                self.world.restarted_since(*node, *told) || later.into_iter().any(declares)
            })
    }
}

fn declares(notice: &Notice) -> bool {
    match notice {
        Notice::PositionLost { .. } | Notice::Quarantined { .. } => true,
        Notice::Phase(_)
        | Notice::StallBegan { .. }
        | Notice::StallEnded { .. }
        | Notice::Ignored { .. }
        | Notice::LogIncomplete { .. }
        | Notice::Policy(_)
        | Notice::PeerFailed { .. } => false,
    }
}
