//! Confirmations: when the log's end was asked for such that everything below the answer was read.

use std::time::Duration;

use crate::clock::Moment;
use crate::limits::Limits;
use crate::lineage::Lineage;
use crate::log::PartitionEnd;
use crate::offset::{Epoch, Offset};

use super::Reader;

/// An end that was asked for at `asked`: reached, it confirms the position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Confirming {
    pub(super) asked: Moment,
    pub(super) end: Offset,
    pub(super) by: Option<Epoch>,
}

impl Reader {
    /// Age of the confirmation.
    pub(in crate::node) fn age(&self, now: Moment) -> Duration {
        now.since(self.confirmed)
    }

    /// Whether a batch that is handled now may lack tombstones that this copy has not seen.
    pub(in crate::node) fn past_horizon(&self, now: Moment, limits: &Limits) -> bool {
        self.horizon_in(now, limits).is_zero()
    }

    /// How long batches may still be handled before `past_horizon`.
    pub(in crate::node) fn horizon_in(&self, now: Moment, limits: &Limits) -> Duration {
        limits.trusted(self.fetched.delete_retention_ms_min).saturating_sub(self.age(now))
    }

    /// The leader answered its end to a question asked at `asked`.
    pub(in crate::node) fn on_end(&mut self, end: &PartitionEnd, asked: Moment) {
        self.end_known = end.high_watermark;
        // The log lost records since the target was told: nobody can reach an end that is no more.
        if asked.mono > self.target_asked {
            self.target = self.target.min(end.high_watermark);
        }
        if let Some(confirming) = &mut self.confirming
            && asked.mono > confirming.asked.mono
        {
            confirming.end = confirming.end.min(end.high_watermark);
        }
        // An older end not yet reached stays: under steady writes a newer one would never be reached. One that is reached
        // already confirms more.
        let reached = self.applied.position >= end.high_watermark;
        let older = |confirming: Confirming| asked.mono < confirming.asked.mono;
        if self.confirming.is_none_or(|confirming| reached && !older(confirming)) {
            let PartitionEnd { high_watermark: end, epoch: by } = *end;
            self.confirming = Some(Confirming { asked, end, by });
        }
        self.confirm();
    }

    pub(super) fn confirm(&mut self) {
        let Some(Confirming { asked, end, by }) = self.confirming else {
            return;
        };
        if self.applied.position < end {
            return;
        }
        self.confirming = None;
        self.confirmed = asked;
        self.confirmed_by = by;
        self.applied.confirmed_at_ms = asked.wall_ms;
        self.fetched.confirmed_at_ms = asked.wall_ms;
        for (_, lineage) in &mut self.applying {
            lineage.confirmed_at_ms = asked.wall_ms;
        }
    }

    /// The lineage to store, when its confirmation has been in memory for `interval`, or the stored one is dated by a clock
    /// that was set back since, which nobody would believe.
    pub(in crate::node) fn unsaved_confirmation(&mut self, interval: Duration) -> Option<Lineage> {
        let unsaved = self.fetched.confirmed_at_ms.abs_diff(self.confirmed_sent_ms);
        let due = self.applying.is_empty() && Duration::from_millis(unsaved) >= interval;
        due.then(|| {
            self.confirmed_sent_ms = self.fetched.confirmed_at_ms;
            self.fetched.clone()
        })
    }

    /// The end was met below an offset that is known to be committed: something hides what follows.
    /// Where, and since when (monotonic) that end is known.
    pub(in crate::node) fn hidden(&self) -> Option<(Offset, Duration)> {
        let Confirming { asked, end, .. } = self.confirming?;
        let position = self.applied.position;
        let hides = self.end_met == Some(position) && position < end.max(self.target);
        hides.then_some((position, asked.mono))
    }
}
