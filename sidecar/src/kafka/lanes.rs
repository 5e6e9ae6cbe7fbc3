//! Records that wait for others of their partition, to leave together.
//!
//! ```text
//!  unanswered in its partition   0              1 to 4      5 ────────────── 256 ─────
//!  a record waits for            half as many   an answer   an answer        nothing
//!                                as left last
//!  but at most                   1 ms           1 ms        100 ms
//! ```
//! What leaves together is one request. Its answer, and its way back to the copies, wake the same threads however many
//! records are in it: so those who write at the same time share one. A caller that writes alone waits for nobody.
//!
//! An idempotent librdkafka sends nothing of a partition of which five records are on their way. What it is given
//! nevertheless does not leave sooner, and its thread asks for it without a pause until it may: a core is then busy
//! with nothing until the answer comes. A bulk load is not held up between two requests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_core::log::Write;
use outrigger_core::offset::Partition;

use super::raw::NewMessage;
use super::settings::{BULK_RECORDS, GATHER_MAX, ON_THEIR_WAY_MAX, WAIT_MAX};
use crate::index::StoreIndex;

/// A partition of this process.
pub(super) type Place = (StoreIndex, Partition);

#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<Place, Lane>,
    /// Partitions in which something waits.
    waiting: BTreeSet<Place>,
    /// The sum over all partitions.
    unanswered: usize,
}

/// One record of an append.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) ticket: usize,
    pub(super) writes: Arc<[Write]>,
    pub(super) index: usize,
}

impl Record {
    pub(super) fn message(&self) -> NewMessage<'_> {
        let Write { key, value, .. } = &self.writes[self.index];
        NewMessage { key, value: value.as_deref(), ticket: self.ticket }
    }
}

#[derive(Debug, Default)]
struct Lane {
    /// Records that left and have no outcome.
    unanswered: usize,
    /// How many left together the last time.
    last: usize,
    waiting: VecDeque<Record>,
    /// When the first of those that wait came.
    since: Option<Instant>,
}

impl Lanes {
    /// Lets a record enter. Returns what leaves now, in order: nothing, or all that waited and this record.
    pub(super) fn enter(
        &mut self,
        place: Place,
        record: Record,
        now: Instant,
    ) -> impl Iterator<Item = Record> {
        let lane = self.lanes.entry(place).or_default();
        lane.waiting.push_back(record);
        lane.since.get_or_insert(now);
        let leaving = lane.leave(now);
        self.unanswered += leaving;
        if lane.waiting.len() == 1 && leaving == 0 {
            self.waiting.insert(place);
        } else if leaving > 0 {
            self.waiting.remove(&place);
        }
        lane.waiting.drain(..leaving)
    }

    /// A record of that partition has its outcome.
    pub(super) fn answered(&mut self, place: Place) {
        let lane = self.lanes.get_mut(&place).expect("a record left through it");
        assert!(lane.unanswered > 0, "one outcome for each record: {place:?}");
        lane.unanswered -= 1;
        self.unanswered -= 1;
    }

    /// When `release` has something to return; answers may make it sooner.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|place| self.lanes[place].due()).min()
    }

    pub(super) fn any_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether so many are on their way that what all of them cost matters, not what one does.
    pub(super) fn in_bulk(&self) -> bool {
        self.unanswered >= BULK_RECORDS
    }

    /// Takes out what leaves now, by partition, in order.
    pub(super) fn release(&mut self, now: Instant) -> Vec<(Place, Vec<Record>)> {
        let mut released = Vec::new();
        let Lanes { lanes, waiting, unanswered } = self;
        waiting.retain(|place| {
            let lane = lanes.get_mut(place).expect("something waits in it");
            let leaving = lane.leave(now);
            *unanswered += leaving;
            if leaving > 0 {
                released.push((*place, lane.waiting.drain(..).collect()));
            }
            leaving == 0
        });
        released
    }

    /// Takes out everything that waits, none of which has left.
    pub(super) fn give_up(&mut self) -> Vec<Record> {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        waiting
            .flat_map(|place| {
                let lane = self.lanes.get_mut(&place).expect("something waits in it");
                lane.since = None;
                std::mem::take(&mut lane.waiting)
            })
            .collect()
    }
}

impl Lane {
    /// How many leave at `now`; they count as having left.
    fn leave(&mut self, now: Instant) -> usize {
        if self.due().is_none_or(|due| now < due) {
            return 0;
        }
        self.since = None;
        self.last = self.waiting.len();
        self.unanswered += self.last;
        self.last
    }

    /// When the records that wait may leave.
    fn due(&self) -> Option<Instant> {
        let bulk = self.unanswered.max(self.waiting.len()) >= BULK_RECORDS;
        let gathered = self.unanswered == 0 && 2 * self.waiting.len() >= self.last;
        let wait = if bulk || gathered {
            Duration::ZERO
        } else if self.unanswered < ON_THEIR_WAY_MAX {
            GATHER_MAX
        } else {
            WAIT_MAX
        };
        self.since.map(|since| since + wait)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    const P0: Place = (StoreIndex(0), Partition(0));
    const P1: Place = (StoreIndex(0), Partition(1));

    fn record(ticket: usize) -> Record {
        Record { ticket, writes: Vec::new().into(), index: 0 }
    }

    fn tickets(records: impl IntoIterator<Item = Record>) -> Vec<usize> {
        records.into_iter().map(|record| record.ticket).collect()
    }

    /// Tickets that leave when these enter one after the other.
    fn enter(lanes: &mut Lanes, place: Place, entering: Range<usize>, now: Instant) -> Vec<usize> {
        entering.flat_map(|ticket| tickets(lanes.enter(place, record(ticket), now))).collect()
    }

    fn release(lanes: &mut Lanes, now: Instant) -> Vec<usize> {
        tickets(lanes.release(now).into_iter().flat_map(|(_, group)| group))
    }

    fn answer(lanes: &mut Lanes, place: Place, records: usize) {
        for _ in 0..records {
            lanes.answered(place);
        }
    }

    #[test]
    fn who_writes_alone_waits_for_nobody() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        for ticket in 0..3 {
            assert_eq!(enter(&mut lanes, P0, ticket..ticket + 1, now), [ticket]);
            lanes.answered(P0);
        }
        assert_eq!(lanes.due(), None);
    }

    #[test]
    fn who_writes_at_the_same_time_leaves_together() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        assert_eq!(enter(&mut lanes, P0, 0..9, now), [0], "the others wait for its answer");
        assert!(lanes.release(now).is_empty());
        lanes.answered(P0);
        assert_eq!(release(&mut lanes, now), [1, 2, 3, 4, 5, 6, 7, 8], "all of it, in order");
        assert!(enter(&mut lanes, P0, 9..10, now).is_empty());
        answer(&mut lanes, P0, 8);
        assert!(lanes.release(now).is_empty(), "where eight have left, one more waits for some");
        assert!(enter(&mut lanes, P0, 10..12, now).is_empty());
        assert_eq!(enter(&mut lanes, P0, 12..13, now), [9, 10, 11, 12], "half of them are here");
        assert!(lanes.release(now + WAIT_MAX).is_empty() && lanes.due().is_none());
    }

    #[test]
    fn partitions_do_not_wait_for_each_other() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        assert_eq!(enter(&mut lanes, P0, 0..6, now), [0]);
        assert_eq!(enter(&mut lanes, P1, 6..7, now), [6]);
        lanes.answered(P1);
        assert!(lanes.release(now).is_empty());
    }

    #[test]
    fn nothing_waits_longer_than_its_time() {
        let (mut lanes, mut now) = (Lanes::default(), Instant::now());
        assert_eq!(enter(&mut lanes, P0, 0..1, now), [0]);
        for ticket in 1..ON_THEIR_WAY_MAX {
            assert!(enter(&mut lanes, P0, ticket..ticket + 1, now).is_empty());
            assert_eq!(lanes.due(), Some(now + GATHER_MAX));
            now += GATHER_MAX;
            assert_eq!(release(&mut lanes, now), [ticket]);
        }
        enter(&mut lanes, P0, 5..6, now);
        enter(&mut lanes, P0, 6..7, now + WAIT_MAX / 2);
        assert_eq!(lanes.due(), Some(now + WAIT_MAX), "librdkafka would not send it sooner");
        assert_eq!(release(&mut lanes, now + WAIT_MAX), [5, 6]);
        assert_eq!(lanes.due(), None);
    }

    #[test]
    fn a_bulk_load_is_not_held_up() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        let all = 1 + BULK_RECORDS;
        assert_eq!(enter(&mut lanes, P0, 0..all - 1, now), [0]);
        assert!(!lanes.in_bulk());
        let rest = enter(&mut lanes, P0, all - 1..all, now);
        assert!(rest.iter().copied().eq(1..all), "{rest:?}");
        assert_eq!(enter(&mut lanes, P0, all..all + 1, now), [all]);
        assert!(lanes.in_bulk());
        answer(&mut lanes, P0, all + 1);
        assert!(!lanes.in_bulk());
    }

    #[test]
    fn what_is_given_up_has_not_left_and_is_told_once() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        enter(&mut lanes, P0, 0..3, now);
        assert_eq!(tickets(lanes.give_up()), [1, 2]);
        assert!(lanes.give_up().is_empty() && lanes.due().is_none());
        lanes.answered(P0);
        assert!(lanes.release(now).is_empty());
    }
}
