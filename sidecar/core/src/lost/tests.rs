//! The table row by row, and the rule against histories of which everything is known.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::fixtures::epochs;
use crate::offset::Epoch;

fn lineage(position: u64, epochs: &[(u32, u64)]) -> Lineage {
    Lineage::empty(0, 0).read_to(position).of_epochs(epochs)
}

fn parting(shared: u64, apart: u64) -> Parting {
    Parting { shared: Offset(shared), apart: Offset(apart) }
}

#[test]
fn a_truncated_log_parts_where_it_ended_or_where_a_later_leader_began() {
    let old = lineage(100, &[(1, 0), (3, 50)]);
    let nothing_written_since = lineage(80, &[(1, 0), (3, 50)]);
    assert_eq!(Parting::of(&old, &nothing_written_since), parting(50, 80));
    let grown_again = lineage(300, &[(1, 0), (3, 50), (4, 80)]);
    assert_eq!(Parting::of(&old, &grown_again), parting(50, 80));
}

#[test]
fn another_history_parts_below_the_first_epoch_that_only_it_has() {
    let old = lineage(100, &[(1, 0), (3, 50)]);
    assert_eq!(Parting::of(&old, &lineage(300, &[(1, 0), (4, 40)])), parting(0, 40));
    assert_eq!(Parting::of(&old, &lineage(300, &[(5, 0)])), parting(0, 0));
}

#[test]
fn without_epochs_only_the_old_copys_end_is_a_bound() {
    let new = lineage(300, &[(4, 40)]);
    assert_eq!(Parting::of(&lineage(100, &[]), &new), parting(0, 100));
    assert_eq!(epochs(&[]).shared_with(&epochs(&[])), Offset::ZERO);
}

fn at(offset: u64, value: &[u8]) -> Option<Record<'_>> {
    Some(Record { offset: Offset(offset), value })
}

/// Every row of the table, with histories that are the same below 10 and different from 20 on.
#[test]
fn every_pair_of_rows_is_judged_as_the_table_says() {
    let (certain, possible) = (Some(Loss::Certain), Some(Loss::Possible));
    let cases = [
        (at(5, b"v"), at(5, b"v"), None),
        (at(25, b"v"), at(40, b"v"), None),
        (at(25, b"v"), None, certain),
        (at(20, b"v"), at(40, b"w"), certain),
        (at(15, b"v"), at(15, b"w"), certain),
        (at(15, b"v"), at(3, b"w"), certain),
        (at(15, b"v"), at(17, b"w"), possible),
        (at(15, b"v"), at(20, b"w"), None),
        (at(9, b"v"), None, None),
        (at(10, b"v"), None, possible),
        (at(19, b"v"), None, possible),
        (None, at(9, b"v"), certain),
        (None, at(10, b"v"), possible),
        (None, at(19, b"v"), possible),
        (None, at(20, b"v"), None),
        (None, None, None),
    ];
    for (old, new, loss) in cases {
        assert_eq!(parting(10, 20).judge(old, new), loss, "{old:?} and {new:?}");
    }
}

type Key = u8;

/// Records in offset order, from 0 on; no value is a delete.
#[derive(Clone, Debug, Default)]
struct Log {
    records: Vec<(Epoch, Key, Option<u8>)>,
}

/// What one leader appended, and how many records a reader did not see of its beginning.
type Reign = (Vec<(Key, Option<u8>)>, usize);

impl Log {
    fn append(&mut self, epoch: u32, records: &[(Key, Option<u8>)]) {
        self.records.extend(records.iter().map(|(key, value)| (Epoch(epoch), *key, *value)));
    }

    /// The newest record of each key.
    fn newest(&self) -> BTreeMap<Key, (u64, Option<u8>)> {
        (0..).zip(&self.records).map(|(offset, (_, key, value))| (*key, (offset, *value))).collect()
    }

    /// The lineage of a copy that has read all of it. `hidden`: how many records of an epoch's beginning compaction
    /// took, but never its last one.
    fn lineage(&self, hidden: &BTreeMap<Epoch, usize>) -> Lineage {
        let mut lineage = Lineage::empty(0, 0).read_to(u64::try_from(self.records.len()).unwrap());
        let mut left = hidden.clone();
        let last = self.records.len().saturating_sub(1);
        for (offset, (epoch, ..)) in self.records.iter().enumerate() {
            let hidden = left.entry(*epoch).or_default();
            if *hidden > 0 && offset < last {
                *hidden -= 1;
            } else {
                lineage.epochs.observe(*epoch, Offset(u64::try_from(offset).unwrap()));
            }
        }
        lineage
    }
}

fn reigns(most: usize) -> impl Strategy<Value = Vec<Reign>> {
    let record = (0_u8..5, prop::option::weighted(0.7, 0_u8..3));
    prop::collection::vec((prop::collection::vec(record, 1..5), 0_usize..4), 0..most)
}

/// What these leaders append, one epoch after the other from `first` on; the answer is the next epoch.
fn reign(log: &mut Log, first: u32, reigns: &[Reign], hidden: &mut BTreeMap<Epoch, usize>) -> u32 {
    let mut epoch = first;
    for (records, unseen) in reigns {
        log.append(epoch, records);
        hidden.insert(Epoch(epoch), *unseen);
        epoch += 1;
    }
    epoch
}

/// The row that a copy has where this is the newest record.
fn row(newest: Option<&(u64, Option<u8>)>) -> Option<(Offset, [u8; 1])> {
    let (offset, value) = newest?;
    value.map(|value| (Offset(*offset), [value]))
}

fn as_record((offset, value): &(Offset, [u8; 1])) -> Record<'_> {
    Record { offset: *offset, value }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// `cut` of the last shared leader's records are lost too: it is the same leader, and another history.
    #[test]
    fn what_is_lost_is_reported_and_what_is_certain_is_lost(
        shared in reigns(4), lost in reigns(3), since in reigns(3), cut in 0_usize..4, seen_all: bool,
    ) {
        let (mut new, mut hidden) = (Log::default(), BTreeMap::new());
        let next = reign(&mut new, 1, &shared, &mut hidden);
        let mut old = new.clone();
        let next = reign(&mut old, next, &lost, &mut hidden);
        let last = shared.last().map_or(0, |(records, _)| records.len());
        new.records.truncate(new.records.len() - cut.min(last));
        let parted = u64::try_from(new.records.len()).unwrap();
        reign(&mut new, next, &since, &mut hidden);
        if seen_all {
            hidden.clear();
        }
        let parting = Parting::of(&old.lineage(&hidden), &new.lineage(&hidden));
        prop_assert!(parting.shared.0 <= parted && parted <= parting.apart.0, "{parting:?}, {parted}");

        let (newest, newest_now) = (old.newest(), new.newest());
        for key in 0..5 {
            let (was, is) = (newest.get(&key), newest_now.get(&key));
            let (before, now) = (row(was), row(is));
            let loss = parting.judge(before.as_ref().map(as_record), now.as_ref().map(as_record));
            let is_lost = was.is_some_and(|(offset, _)| *offset >= parted);
            let same = before.map(|(_, value)| value) == now.map(|(_, value)| value);
            let written_since = is.is_some_and(|(offset, _)| *offset >= parting.apart.0);
            prop_assert!(loss.is_some() || !is_lost || same || written_since, "key {key} is not told");
            prop_assert!(loss != Some(Loss::Certain) || is_lost, "key {key} is in the log");
            prop_assert!(loss.is_none() || !same, "key {key} is as it was");
        }
    }
}
