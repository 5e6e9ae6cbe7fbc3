//! Where a watch is in one partition, and what is known of its state there.

use std::time::Duration;

use super::point::Point;
use super::ring::{Applied, Below, Lane};
use super::sight::Sight;
use crate::lineage::Lineage;
use crate::offset::{Epoch, Offset, Partition};
use crate::time::Now;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Everything below was delivered.
    pub(super) at: Offset,
    /// The leader epoch of the newest record below.
    pub(super) epoch: Option<Epoch>,
    /// What was delivered is the state from here on only.
    pub(super) exact_from: Offset,
    /// Wall clock, ms.
    pub(super) confirmed_at_ms: u64,
    /// Monotonic: when this confirmation was heard of. It is no younger, whatever the wall clock shows later.
    heard: Duration,
    /// It is in the ring, and of which history it is was [`History::Hidden`] when it was judged: it waits for the log's word.
    hidden: bool,
}

/// What the ring shows of a place's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum History {
    Same,
    Another,
    /// A hole lies right below the place, and behind it are records of a later epoch: from which on the hole is of that one,
    /// nobody shows. The log can tell. Its leader has heard of the copy's newest epoch and has what the copy has, so
    /// it knows the place's epoch, which the copy has seen too, and where that ended. A leader epoch has one
    /// leader, whose log only grows: two histories that have records of it are one up to where it ended in the shorter one. So
    /// where it ended at the place or behind, all below the place is the same; where it ended before, the log refuses the
    /// place (KIP-320). Without the epoch in its history it would answer for an older one, and prove nothing.
    Hidden,
}

impl Place {
    pub(super) fn all_of(point: &Point, now: Now) -> Vec<Place> {
        let place = |(at, epoch): &(Offset, Option<Epoch>)| Place {
            at: *at,
            epoch: *epoch,
            exact_from: Offset::ZERO,
            confirmed_at_ms: point.confirmed_at_ms,
            heard: now.mono,
            hidden: false,
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
            hidden: false,
        }
    }

    /// The place after everything in the ring.
    pub(super) fn at_end_of(lane: &Lane, confirmed_at_ms: u64, now: Now) -> Place {
        Place {
            at: lane.end(),
            epoch: lane.epoch(),
            exact_from: lane.exact_from(),
            confirmed_at_ms,
            heard: now.mono,
            hidden: false,
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

    /// In the ring: of which history it is.
    pub(super) fn history(&self, partition: Partition, sight: &Sight<'_>) -> History {
        let below = sight.ring.lanes()[partition.index()].below(self.at);
        if below.epoch() == self.epoch {
            return History::Same;
        }
        match (below, self.epoch) {
            (Below::Hole(Some(later)), Some(epoch))
                if epoch < later && sight.has_epoch(partition, epoch) =>
            {
                History::Hidden
            }
            (Below::Hole(_) | Below::Of(_), _) => History::Another,
        }
    }

    /// It was judged by this sight.
    pub(super) fn judged(&mut self, partition: Partition, sight: &Sight<'_>) {
        let lane = &sight.ring.lanes()[partition.index()];
        self.hidden = self.at >= lane.from() && self.history(partition, sight) == History::Hidden;
    }

    /// Whether it waits for the log's word, of which history it is.
    pub(super) fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// The log has what lies right below it.
    pub(super) fn proven(&mut self) {
        self.hidden = false;
    }

    /// Whether the log is asked before it is gone on from in the ring.
    pub(super) fn is_behind(&self, lane: &Lane) -> bool {
        self.hidden || self.at < lane.from()
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
