//! Records that wait for the answers of those before them in their partition, to leave together.
//!
//! ```text
//!  unanswered in its partition    0 ──────────── 5 ──────────────────── 256 ──────
//!  a record                       leaves at once │ waits, 100 ms at most │ leaves at once
//! ```
//! An idempotent librdkafka sends nothing of a partition of which five records are on their way. What it was handed all
//! the same does not leave sooner, and its thread asks for it without a pause until it may: a core that is busy with
//! nothing for as long as an answer takes. So it waits here. A bulk load is not held up between two requests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use outrigger_core::log::Write;
use outrigger_core::offset::Partition;

use super::settings::{BULK_RECORDS, ON_THEIR_WAY_MAX, WAIT_MAX};
use crate::index::StoreIndex;

/// A partition of this process.
pub(super) type Place = (StoreIndex, Partition);

#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<Place, Lane>,
    /// Those in which something waits.
    waiting: BTreeSet<Place>,
}

/// One of an append's.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) ticket: usize,
    pub(super) writes: Arc<[Write]>,
    pub(super) index: usize,
}

#[derive(Debug, Default)]
struct Lane {
    /// Left, and without an outcome.
    unanswered: usize,
    waiting: VecDeque<Record>,
    /// When the first of them must leave.
    until: Option<Instant>,
}

impl Lanes {
    /// What leaves now, in order: nothing, or all that waits and this.
    pub(super) fn enter(
        &mut self,
        place: Place,
        record: Record,
        now: Instant,
    ) -> impl Iterator<Item = Record> {
        let lane = self.lanes.entry(place).or_default();
        lane.waiting.push_back(record);
        let leaving = lane.leave(now);
        if lane.waiting.len() == 1 && leaving == 0 {
            lane.until = Some(now + WAIT_MAX);
            self.waiting.insert(place);
        } else if leaving > 0 {
            self.waiting.remove(&place);
        }
        lane.waiting.drain(..leaving)
    }

    /// A record of it has its outcome.
    pub(super) fn answered(&mut self, place: Place) {
        let lane = self.lanes.get_mut(&place).expect("a record left through it");
        assert!(lane.unanswered > 0, "one outcome for each record: {place:?}");
        lane.unanswered -= 1;
    }

    /// When `release` has something, unless answers come before.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|place| self.lanes[place].until).min()
    }

    pub(super) fn any_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What leaves now, in the order of each partition.
    pub(super) fn release(&mut self, now: Instant) -> Vec<Record> {
        let mut released = Vec::new();
        let Lanes { lanes, waiting } = self;
        waiting.retain(|place| {
            let lane = lanes.get_mut(place).expect("something waits in it");
            let leaving = lane.leave(now);
            released.extend(lane.waiting.drain(..leaving));
            leaving == 0
        });
        released
    }

    /// Everything that waits, none of which has left.
    pub(super) fn give_up(&mut self) -> Vec<Record> {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        waiting
            .flat_map(|place| {
                let lane = self.lanes.get_mut(&place).expect("something waits in it");
                lane.until = None;
                std::mem::take(&mut lane.waiting)
            })
            .collect()
    }
}

impl Lane {
    /// How many leave at `now`, counted as such.
    fn leave(&mut self, now: Instant) -> usize {
        let waits = (ON_THEIR_WAY_MAX..BULK_RECORDS).contains(&self.unanswered)
            && self.waiting.len() < BULK_RECORDS
            && self.until.is_none_or(|until| now < until);
        if waits {
            return 0;
        }
        self.until = None;
        self.unanswered += self.waiting.len();
        self.waiting.len()
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

    fn answer(lanes: &mut Lanes, place: Place, records: usize) {
        (0..records).for_each(|_| lanes.answered(place));
    }

    #[test]
    fn what_would_wait_anyway_leaves_together_once_there_are_answers() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        assert_eq!(enter(&mut lanes, P0, 0..9, now), [0, 1, 2, 3, 4]);
        assert!(lanes.release(now).is_empty());
        lanes.answered(P0);
        assert_eq!(tickets(lanes.release(now)), [5, 6, 7, 8], "all of it, in order");
        assert_eq!(
            (enter(&mut lanes, P0, 9..10, now), lanes.due()),
            (vec![], Some(now + WAIT_MAX))
        );
        answer(&mut lanes, P0, 4);
        assert_eq!(enter(&mut lanes, P0, 10..11, now), [9, 10], "nobody overtakes");
        assert!(lanes.release(now + WAIT_MAX).is_empty() && lanes.due().is_none());
    }

    #[test]
    fn partitions_do_not_wait_for_each_other() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        assert_eq!(enter(&mut lanes, P0, 0..6, now), [0, 1, 2, 3, 4]);
        assert_eq!(enter(&mut lanes, P1, 6..7, now), [6]);
        lanes.answered(P1);
        assert!(lanes.release(now).is_empty());
    }

    #[test]
    fn nothing_waits_longer_than_its_time() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        enter(&mut lanes, P0, 0..6, now);
        enter(&mut lanes, P0, 6..7, now + WAIT_MAX / 2);
        assert_eq!(lanes.due(), Some(now + WAIT_MAX));
        assert_eq!(tickets(lanes.release(now + WAIT_MAX)), [5, 6]);
        assert_eq!(lanes.due(), None);
    }

    #[test]
    fn a_bulk_load_is_not_held_up() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        let all = ON_THEIR_WAY_MAX + BULK_RECORDS;
        assert_eq!(enter(&mut lanes, P0, 0..all - 1, now).len(), ON_THEIR_WAY_MAX);
        let rest = enter(&mut lanes, P0, all - 1..all, now);
        assert!(rest.iter().copied().eq(ON_THEIR_WAY_MAX..all), "{rest:?}");
        assert_eq!(enter(&mut lanes, P0, all..all + 1, now), [all]);
    }

    #[test]
    fn what_is_given_up_has_not_left_and_is_told_once() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        enter(&mut lanes, P0, 0..7, now);
        assert_eq!(tickets(lanes.give_up()), [5, 6]);
        assert!(lanes.give_up().is_empty() && lanes.due().is_none());
        answer(&mut lanes, P0, ON_THEIR_WAY_MAX);
        assert!(lanes.release(now).is_empty());
    }
}
