//! What somebody saw of one key at one time: a row, or that there is none.
//!
//! Gets, scans and final contents alike come apart into these; the oracles judge each on its own.

use std::ops::Bound;

use outrigger_core::partitioner::partition_of;

use super::History;
use super::evidence::Evidence;
use super::operation::{Call, Level, Operation, Row, Rows, Told};
use super::timeline::{Origin, Timeline, Timelines, Write};

#[derive(Debug)]
pub(super) struct Sighting<'a> {
    /// None: it was seen in final contents.
    pub(super) operation: Option<usize>,
    pub(super) key: &'a [u8],
    pub(super) seen: Option<(&'a Row, Origin<'a>)>,
    /// None: nothing was written to the key.
    pub(super) timeline: Option<&'a Timeline<'a>>,
    pub(super) snapshot: Option<Snapshot<'a>>,
    pub(super) invoked: u64,
    pub(super) over: u64,
}

/// What reads above `STALE` say: a copy that is exact at the position that it names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot<'a> {
    pub(super) partition: u32,
    pub(super) position: u64,
    pub(super) latest: bool,
    /// The last write below that is in the log for certain: what is seen is this, or a later one.
    pub(super) last: Option<&'a (u64, Write<'a>)>,
}

impl<'a> Sighting<'a> {
    pub(super) fn is_final(&self) -> bool {
        self.operation.is_none()
    }

    /// The operations behind it: who saw, and those that `writes` names.
    pub(super) fn operations(&self, writes: &[Option<usize>]) -> Vec<usize> {
        let mut operations: Vec<usize> =
            writes.iter().copied().chain([self.operation]).flatten().collect();
        operations.sort_unstable();
        operations.dedup();
        operations
    }

    /// The write that the row comes from.
    pub(super) fn writer(&self) -> Option<(&'a Row, Write<'a>)> {
        match self.seen {
            Some((row, Origin::Write(write))) => Some((row, write)),
            Some((_, Origin::Stranger)) | None => None,
        }
    }
}

struct Looking<'a> {
    timelines: &'a Timelines<'a>,
    evidence: &'a Evidence,
    sightings: Vec<Sighting<'a>>,
}

pub(super) fn sightings<'a>(
    history: &'a History,
    evidence: &'a Evidence,
    timelines: &'a Timelines<'a>,
) -> Vec<Sighting<'a>> {
    let mut looking = Looking { timelines, evidence, sightings: Vec::new() };
    for (index, operation) in history.operations.iter().enumerate() {
        let by = Some((index, operation));
        if let (Call::Get { key, .. }, Told::Row { row, .. }) = (&operation.call, &operation.told) {
            looking.see(by, key, row.as_ref(), timelines.get(key.as_slice()));
        }
        if let (Call::Scan { start, end, .. }, Told::Rows { rows, .. }) =
            (&operation.call, &operation.told)
        {
            let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            looking.scan(by, (Bound::Included(start), end), rows);
        }
    }
    for rows in &evidence.contents {
        looking.scan(None, (Bound::Unbounded, Bound::Unbounded), rows);
    }
    looking.sightings
}

type By<'a> = Option<(usize, &'a Operation)>;

impl<'a> Looking<'a> {
    /// Every key of the range that has a row or was ever written, in lockstep.
    fn scan(&mut self, by: By<'a>, range: (Bound<&'a [u8]>, Bound<&'a [u8]>), rows: &'a Rows) {
        let mut written = self.timelines.range::<[u8], _>(range).peekable();
        for (key, row) in rows {
            let key = key.as_slice();
            while let Some((absent, timeline)) = written.next_if(|(written, _)| **written < key) {
                self.see(by, absent, None, Some(timeline));
            }
            let timeline = written.next_if(|(written, _)| **written == key);
            self.see(by, key, Some(row), timeline.map(|(_, timeline)| timeline));
        }
        for (absent, timeline) in written {
            self.see(by, absent, None, Some(timeline));
        }
    }

    fn see(
        &mut self,
        by: By<'a>,
        key: &'a [u8],
        row: Option<&'a Row>,
        timeline: Option<&'a Timeline<'a>>,
    ) {
        let origin = |row| timeline.map_or(Origin::Stranger, |timeline| timeline.origin(row));
        let seen = row.map(|row| (row, origin(row)));
        let sighting = Sighting {
            operation: by.map(|(index, _)| index),
            key,
            seen,
            timeline,
            snapshot: self.snapshot(by, key, timeline),
            invoked: by.map_or(u64::MAX, |(_, operation)| operation.invoked),
            over: by.map_or(u64::MAX, |(_, operation)| operation.over()),
        };
        self.sightings.push(sighting);
    }

    fn snapshot(
        &self,
        by: By<'a>,
        key: &[u8],
        timeline: Option<&'a Timeline<'a>>,
    ) -> Option<Snapshot<'a>> {
        let last_below = |position| timeline.and_then(|timeline| timeline.last_below(position));
        let Some((_, operation)) = by else {
            let last = last_below(u64::MAX);
            return Some(Snapshot { partition: 0, position: u64::MAX, latest: false, last });
        };
        let level = operation.call.level().filter(|level| **level != Level::Stale)?;
        let positions = operation.positions()?;
        let partition = u32::try_from(positions.len()).expect("Kafka counts partitions in 31 bits");
        let partition = partition_of(key, partition);
        let position = positions[partition.index()];
        let certain = self.evidence.licence.certain_below(partition.0, operation.invoked);
        let last = last_below(position.min(certain));
        Some(Snapshot { partition: partition.0, position, latest: *level == Level::Latest, last })
    }
}
