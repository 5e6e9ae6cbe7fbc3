//! Whatever is written and however often the copy is opened anew: at every point a watch has folded what the log says there.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::message::Message;
use super::super::point::Lost;
use super::super::reader::{Given, Wanted};
use super::super::selection::Selection;
use super::super::watcher::{Demand, OnLost, Start, Step, Watcher};
use super::*;
use crate::fixtures::facts;
use crate::keys::Keys;
use crate::topic::TopicFacts;

type Rows = BTreeMap<Vec<u8>, u64>;

/// Keys that are written one after the other; the value is the offset.
type Log = Vec<(u8, What)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Put,
    Delete,
    /// Nobody sees it: a marker, or aborted. It is never the first of its epoch.
    Hidden,
}

fn log() -> impl Strategy<Value = Log> {
    let what = prop_oneof![2 => Just(What::Put), 2 => Just(What::Delete), 1 => Just(What::Hidden)];
    let first_is_seen = |(offset, (key, what)): (usize, (u8, What))| match what {
        What::Hidden if offset.is_multiple_of(EPOCH) => (key, What::Put),
        What::Put | What::Delete | What::Hidden => (key, what),
    };
    let seen = move |log: Log| log.into_iter().enumerate().map(first_is_seen).collect();
    prop::collection::vec((97..103_u8, what), 40).prop_map(seen)
}

/// Records of a leader.
const EPOCH: usize = 7;

#[derive(Clone, Copy, Debug)]
enum Act {
    /// This many more records are applied as one batch.
    Apply(usize),
    /// The watch takes this many steps.
    Pull(usize),
    /// The disk has what is applied now.
    Flush,
    /// What was not flushed is read again.
    Reopen,
    /// The caller goes on from the point that it was given this many points ago.
    Resume(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (1..4_usize).prop_map(Act::Apply),
        6 => (1..6_usize).prop_map(Act::Pull),
        1 => Just(Act::Flush),
        1 => Just(Act::Reopen),
        1 => (0..5_usize).prop_map(Act::Resume),
    ];
    prop::collection::vec(act, 1..60)
}

fn rows_at(log: &Log, position: u64, selection: &Selection) -> Rows {
    let mut rows = Rows::new();
    for (offset, (key, what)) in (0..position).zip(log) {
        match what {
            What::Put => rows.insert(vec![*key], offset),
            What::Delete => rows.remove(&vec![*key]),
            What::Hidden => None,
        };
    }
    rows.retain(|key, _| selection.contains(key));
    rows
}

/// Up to three records of a log that its cleaner has gone through up to the copy's position.
fn given(copy: &Copy, log: &Log, wanted: &Wanted) -> Given {
    let end = copy.lineages[0].position;
    let at = |offset: u64| &log[usize::try_from(offset).unwrap()];
    let seen = |offset: &u64| at(*offset).1 != What::Hidden;
    let newest =
        |offset: &u64| (*offset + 1..end.0).filter(seen).all(|later| at(later).0 != at(*offset).0);
    let mut builder = batch(Partition(0), wanted.from, &[]);
    for offset in (wanted.from.0..end.0).filter(seen).filter(newest).take(3) {
        let (key, what) = at(offset);
        builder.push(Offset(offset), Some(epoch_at(offset)), Some(&[*key]), value_of(*what));
    }
    let topic = TopicFacts {
        cluster: facts().cluster,
        topic: TOPIC,
        policy: facts().policy,
        partitions: 1,
    };
    let batch = match builder.is_empty() {
        true => builder.at_end(end, end.0.checked_sub(1).map(epoch_at)),
        false => builder.finish(end),
    };
    Given { batch, topic }
}

fn epoch_at(offset: u64) -> Epoch {
    Epoch(u32::try_from(offset / EPOCH as u64).unwrap())
}

fn value_of(what: What) -> Option<&'static [u8]> {
    (what == What::Put).then_some(&b"v"[..])
}

/// So many records that come next, and what is hidden between them.
fn next_of(copy: &Copy, log: &Log, count: usize) -> Option<Batch> {
    let from = copy.lineages[0].position;
    let mut builder = batch(Partition(0), from, &[]);
    let mut end = from;
    for (offset, (key, what)) in
        (0..).map(Offset).zip(log).skip(usize::try_from(from.0).unwrap()).take(count)
    {
        end = offset.next();
        if *what != What::Hidden {
            builder.push(offset, Some(epoch_at(offset.0)), Some(&[*key]), value_of(*what));
        }
    }
    let last = end.before().filter(|_| end > from)?;
    Some(builder.at_end(end, Some(epoch_at(last.0))))
}

struct Caller {
    watcher: Watcher,
    selection: Arc<Selection>,
    /// Where the copy was when it was opened.
    snapshot: u64,
    rows: Rows,
    kept: Vec<(Point, Rows)>,
}

impl Caller {
    fn new(start: Start, selection: &Arc<Selection>, now: Now) -> Caller {
        let demand = Demand {
            start,
            selection: Arc::clone(selection),
            on_lost: OnLost::State,
            progress: Duration::from_secs(1),
            wait: Duration::from_secs(1),
        };
        let watcher = Watcher::new(demand, now);
        let (selection, kept) = (Arc::clone(selection), Vec::new());
        Caller { watcher, selection, snapshot: 0, rows: Rows::new(), kept }
    }

    /// False: there is nothing more for now.
    fn step(&mut self, copy: &Copy, log: &Log) -> bool {
        match self.watcher.next(&copy.sight(&Limits::PRODUCTION)) {
            Step::Send(message) => self.take(message, log),
            Step::Filter => {
                if let Some(message) = self.watcher.filter() {
                    self.take(message, log);
                }
            }
            Step::Open(_) => {
                self.snapshot = copy.lineages[0].position.0;
                self.watcher.opened(Some(&copy.lineages), copy.now);
            }
            Step::Rows => {
                self.rows = rows_at(log, self.snapshot, &self.selection);
                self.watcher.rows_sent();
            }
            Step::Read(wanted) => {
                let (given, sight) = (given(copy, log, &wanted), copy.sight(&Limits::PRODUCTION));
                self.watcher.read(Ok(given), &sight);
            }
            Step::Wait { .. } | Step::Idle { .. } => return false,
            Step::End(end) => panic!("{end}"),
        }
        true
    }

    fn take(&mut self, message: Message, log: &Log) {
        let point = match message {
            Message::Started { point } => point,
            Message::StateEnd { point } | Message::Progress { point } => Some(point),
            Message::Again { why } => {
                assert_ne!(why, Lost::History, "the log can tell all");
                self.rows.clear();
                self.kept.clear();
                None
            }
            Message::Changes(changes) => {
                for record in changes.records() {
                    match record.value {
                        Some(_) => self.rows.insert(record.key.to_vec(), record.offset.0),
                        None => self.rows.remove(record.key),
                    };
                }
                changes.point
            }
        };
        if let Some(point) = point {
            let position = point.token.positions[0].0.0;
            assert_eq!(self.rows, rows_at(log, position, &self.selection), "at {position}");
            self.kept.push((point, self.rows.clone()));
        }
    }

    fn resume(&mut self, back: usize, now: Now) {
        let Some(last) = self.kept.len().checked_sub(1) else { return };
        let (point, rows) = self.kept[last.saturating_sub(back)].clone();
        let start = Start::Point(point);
        *self = Caller { rows, ..Caller::new(start, &self.selection.clone(), now) };
    }
}

proptest! {
    #[test]
    fn at_every_point_it_is_the_log(
        log in log(),
        acts in acts(),
        ring in prop::sample::select(vec![600_usize, 1_500, 1 << 20]),
        prefix in prop::option::of(97..103_u8),
    ) {
        let keys = prefix.map(|key| vec![Keys::Prefix(vec![key])]).unwrap_or_default();
        let selection = Arc::new(Selection::new(keys).unwrap());
        let mut copy = Copy::empty();
        copy.ring = Ring::new(ring);
        copy.begin();
        let mut disk = copy.lineages.clone();
        let mut caller = Caller::new(Start::State, &selection, copy.now);
        for act in acts {
            copy.pass(Duration::from_millis(300));
            match act {
                Act::Apply(count) => {
                    if let Some(batch) = next_of(&copy, &log, count) {
                        copy.apply_with(batch, false);
                    }
                }
                Act::Pull(steps) => {
                    let _all = (0..steps).all(|_| caller.step(&copy, &log));
                }
                Act::Flush => disk = copy.lineages.clone(),
                Act::Reopen => copy.reopen(disk.clone()),
                Act::Resume(back) => caller.resume(back, copy.now),
            }
        }
    }
}
