//! Everything that was written to one key, in the log's order where that is known.

use std::collections::BTreeMap;

use super::History;
use super::evidence::{Committed, Evidence, Fate, Loss};
use super::operation::{Operation, Row, Told};
use super::sighting::Sighting;

/// One write, by a caller of the history or by another tool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write<'a> {
    /// None: a record of another tool.
    pub(super) operation: Option<usize>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) invoked: u64,
    /// When its caller had it acknowledged; the end of time for all others.
    pub(super) acknowledged: u64,
    pub(super) standing: Standing<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Standing<'a> {
    At(u64),
    /// It may have been at this offset until this licensed loss; none: only the log tells of the loss.
    Lost(u64, Option<&'a Loss>),
    Possible,
    Never,
    Aborted,
}

/// One key's writes.
#[derive(Debug, Default)]
pub(super) struct Timeline<'a> {
    /// In the log for certain, ascending by offset.
    certain: Vec<(u64, Write<'a>)>,
    /// When each of `certain`, or one after it, was first acknowledged.
    acknowledged_from: Vec<u64>,
    /// Puts of whatever standing, by value.
    puts: Vec<Write<'a>>,
    /// When a delete that may have happened at any offset was first asked for.
    possible_delete: Option<u64>,
    /// When deletes that a licensed loss took were asked for, and until when a copy may have had them.
    lost_deletes: Vec<(u64, u64)>,
}

/// What a row says of its writer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin<'a> {
    Write(Write<'a>),
    Stranger,
}

pub(super) type Timelines<'a> = BTreeMap<&'a [u8], Timeline<'a>>;

pub(super) fn timelines<'a>(
    history: &'a History,
    evidence: &'a Evidence,
    log: Option<&Committed<'a>>,
) -> Timelines<'a> {
    let mut timelines = Timelines::new();
    for (index, operation) in history.operations.iter().enumerate() {
        let Some((key, value)) = operation.call.write() else { continue };
        let standing = standing(operation, evidence, log);
        let acknowledged = match operation.told {
            Told::Appended { .. } => operation.over(),
            Told::Unknown
            | Told::DidNotHappen
            | Told::Aborted
            | Told::Row { .. }
            | Told::Rows { .. } => u64::MAX,
        };
        let (operation, invoked) = (Some(index), operation.invoked);
        let write = Write { operation, value, invoked, acknowledged, standing };
        timelines.entry(key).or_default().add(write, log.is_some());
    }
    for record in evidence.log.iter().flatten() {
        let standing = match record.fate {
            Fate::Committed => Standing::At(record.offset),
            Fate::Aborted => Standing::Aborted,
            Fate::Lost => Standing::Lost(record.offset, None),
        };
        let (value, acknowledged) = (record.value.as_deref(), u64::MAX);
        let write = Write { operation: None, value, invoked: 0, acknowledged, standing };
        timelines.entry(&record.key).or_default().add(write, true);
    }
    for timeline in timelines.values_mut() {
        timeline.sort();
    }
    timelines
}

fn standing<'a>(
    operation: &Operation,
    evidence: &'a Evidence,
    log: Option<&Committed>,
) -> Standing<'a> {
    match operation.told {
        Told::Appended { partition, offset } => {
            let write = operation.call.write().expect("only writes are told where they are");
            let there = log.and_then(|log| log.get(&(partition, offset)));
            match evidence.licence.loss_of(partition, offset, operation.invoked) {
                // Deletes look alike: another one may have taken the place of one that is gone.
                Some(loss)
                    if operation.over() < loss.at && write.1.is_none()
                        || !there.is_some_and(|record| record.is_of(write)) =>
                {
                    Standing::Lost(offset, Some(loss))
                }
                Some(_) | None => Standing::At(offset),
            }
        }
        Told::DidNotHappen => Standing::Never,
        Told::Aborted => Standing::Aborted,
        Told::Unknown | Told::Row { .. } | Told::Rows { .. } => Standing::Possible,
    }
}

impl<'a> Timeline<'a> {
    /// `log_known`: a delete of unknown outcome that happened is among the log's records.
    fn add(&mut self, write: Write<'a>, log_known: bool) {
        if let Standing::At(offset) = write.standing {
            self.certain.push((offset, write));
        }
        match (write.value, write.standing) {
            (Some(_), _) => self.puts.push(write),
            (None, Standing::Possible) if !log_known => self.may_delete(write.invoked),
            (None, Standing::Lost(_, loss)) => {
                let until = loss.map_or(u64::MAX, |loss| loss.until);
                self.lost_deletes.push((write.invoked, until));
                let in_flight = loss.is_some_and(|loss| write.acknowledged >= loss.at);
                if in_flight && !log_known {
                    self.may_delete(write.invoked);
                }
            }
            (None, Standing::Possible | Standing::At(_) | Standing::Never | Standing::Aborted) => {}
        }
    }

    fn may_delete(&mut self, asked: u64) {
        let first = self.possible_delete.unwrap_or(u64::MAX);
        self.possible_delete = Some(first.min(asked));
    }

    /// A caller's write and the log's record of it are one: the caller's, which knows more, is kept.
    fn sort(&mut self) {
        self.certain.sort_by_key(|(offset, write)| (*offset, write.operation.is_none()));
        self.certain.dedup_by(|later, kept| later.0 == kept.0 && later.1.value == kept.1.value);
        self.puts.sort_by_key(|write| (write.value, write.operation.is_none()));
        let mut first = u64::MAX;
        self.acknowledged_from = vec![u64::MAX; self.certain.len()];
        for (from, (_, write)) in self.acknowledged_from.iter_mut().zip(&self.certain).rev() {
            first = first.min(write.acknowledged);
            *from = first;
        }
    }

    pub(super) fn last_below(&self, position: u64) -> Option<&(u64, Write<'a>)> {
        let below = self.certain.partition_point(|(offset, _)| *offset < position);
        self.certain[..below].last()
    }

    /// A delete that is in the log above `after` and below `end`.
    pub(super) fn deletes_within(&self, after: u64, end: u64) -> bool {
        let within = |offset: &u64| *offset > after && *offset < end;
        self.certain.iter().any(|(offset, write)| within(offset) && write.value.is_none())
    }

    /// A write at or above `position` that was acknowledged before `time`.
    pub(super) fn acknowledged_above(&self, position: u64, time: u64) -> Option<&(u64, Write<'a>)> {
        let below = self.certain.partition_point(|(offset, _)| *offset < position);
        // Most reads miss nothing, and know it at once.
        let first = self.acknowledged_from.get(below).filter(|first| **first < time);
        first.and_then(|first| {
            self.certain[below..].iter().find(|(_, write)| write.acknowledged == *first)
        })
    }

    /// A delete of unknown outcome can explain that there is no row; so can one that a licensed loss took,
    /// to whoever read a copy that still had it.
    pub(super) fn may_be_deleted(&self, sighting: &Sighting) -> bool {
        let lost = |(asked, until): &(u64, u64)| {
            *asked <= sighting.over && sighting.invoked <= *until && !sighting.is_final()
        };
        self.possible_delete.is_some_and(|asked| asked <= sighting.over)
            || self.lost_deletes.iter().any(lost)
    }

    pub(super) fn origin(&self, row: &Row) -> Origin<'a> {
        let value = Some(row.value.as_slice());
        let first = self.puts.partition_point(|write| write.value < value);
        let same = self.puts[first..].iter().take_while(|write| write.value == value);
        let there = same.clone().find(|write| match write.standing {
            Standing::At(offset) | Standing::Lost(offset, _) => offset == row.offset,
            Standing::Possible => true,
            Standing::Never | Standing::Aborted => false,
        });
        there.or(same.clone().next()).map_or(Origin::Stranger, |write| Origin::Write(*write))
    }
}
