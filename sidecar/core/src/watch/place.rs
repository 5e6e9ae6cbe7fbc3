//! Where a watch is in one partition, and what is known of its state there.

use std::time::Duration;

use super::point::Point;
use super::ring::{Applied, Lane};
use crate::lineage::Lineage;
use crate::offset::{Epoch, Offset};
use crate::time::Now;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Everything below was delivered.
    pub(super) at: Offset,
    /// Of the newest record below.
    pub(super) epoch: Option<Epoch>,
    /// What was delivered is the state from here on only.
    pub(super) exact_from: Offset,
    /// Wall clock, ms.
    pub(super) confirmed_at_ms: u64,
    /// Monotonic: when this confirmation was heard of. It is no younger, whatever the wall clock shows later.
    heard: Duration,
}

impl Place {
    pub(super) fn all_of(point: &Point, now: Now) -> Vec<Place> {
        let place = |(at, epoch): &(Offset, Option<Epoch>)| Place {
            at: *at,
            epoch: *epoch,
            exact_from: Offset::ZERO,
            confirmed_at_ms: point.confirmed_at_ms,
            heard: now.mono,
        };
        point.token.positions.iter().map(place).collect()
    }

    /// In a snapshot of this lineage.
    pub(super) fn of(lineage: &Lineage, confirmed_at_ms: u64, now: Now) -> Place {
        Place {
            at: lineage.position,
            epoch: lineage.epochs.latest(),
            exact_from: lineage.exact_from,
            confirmed_at_ms,
            heard: now.mono,
        }
    }

    /// Behind everything that the ring has.
    pub(super) fn behind(lane: &Lane, confirmed_at_ms: u64, now: Now) -> Place {
        Place {
            at: lane.end(),
            epoch: lane.epoch(),
            exact_from: lane.exact_from(),
            confirmed_at_ms,
            heard: now.mono,
        }
    }

    pub(super) fn pass(&mut self, applied: &Applied, now: Now) {
        self.at = applied.end();
        self.epoch = applied.epoch;
        self.exact_from = self.exact_from.max(applied.exact_from);
        if let Some(confirmed_at_ms) = applied.confirmed_at_ms {
            self.confirm(confirmed_at_ms, now);
        }
    }

    /// What the log gave was delivered.
    pub(super) fn pass_read(&mut self, lineage: &Lineage) {
        self.at = lineage.position;
        self.epoch = lineage.epochs.latest();
        self.exact_from = self.exact_from.max(lineage.exact_from);
    }

    /// Gaps that were taken for harmless may count, as a new reading tells.
    pub(super) fn doubt_gaps(&mut self, lane: &Lane) {
        self.exact_from = self.exact_from.max(lane.exact_from_at_begin());
    }

    pub(super) fn confirm(&mut self, confirmed_at_ms: u64, now: Now) {
        if self.confirmed_at_ms != confirmed_at_ms {
            self.confirmed_at_ms = confirmed_at_ms;
            self.heard = now.mono;
        }
    }

    /// In the ring: it is of the same history.
    pub(super) fn is_of(&self, lane: &Lane) -> bool {
        lane.epoch_below(self.at) == self.epoch
    }

    pub(super) fn is_exact(&self, lane: &Lane) -> bool {
        self.at >= self.exact_from.max(lane.exact_from_at_begin())
    }

    /// How old the confirmation is, where there is one; one that is still to come is of now.
    pub(super) fn age(&self, now: Now) -> Option<Duration> {
        let shown = Duration::from_millis(now.wall_ms.saturating_sub(self.confirmed_at_ms));
        let heard = now.mono.saturating_sub(self.heard);
        (self.confirmed_at_ms > 0).then_some(shown.max(heard))
    }
}
