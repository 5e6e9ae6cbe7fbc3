//! The state that a log says: the fold of every committed record ever appended, compacted or not.
//!
//! It remembers what the log model forgets by cleaning, and forgets what the log itself lost. Every content oracle
//! compares with it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use outrigger_core::offset::{Offset, Partition, Revision};
use outrigger_core::partitioner::partition_of;
use outrigger_core::store::{Scan, StoreError, View};
use outrigger_core::topic::TopicId;
use outrigger_model::log::{Content, LogChange, ProducerId, RecordBatch, Verdict};

use crate::plan::{Selected, selects};

/// Rows with the revision that wrote them.
pub type Rows = BTreeMap<Vec<u8>, (Revision, Vec<u8>)>;

#[derive(Debug)]
pub struct Reference {
    topic: TopicId,
    /// What topics of the same name said that are no more.
    predecessors: BTreeMap<TopicId, Reference>,
    partitions: Vec<History>,
    /// What each partition said before it lost records, oldest first.
    former: Vec<Vec<History>>,
    lost: Vec<Vec<(Offset, Record)>>,
}

/// A copy of one partition, or what it answered for one key.
#[derive(Clone, Copy, Debug)]
pub struct Copied<'a> {
    pub position: Offset,
    pub exact_from: Offset,
    /// The rows of all partitions.
    pub rows: &'a Rows,
    pub asked: Asked<'a>,
}

/// The keys that a copy, or an answer from it, is about.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    All,
    Key(&'a [u8]),
    Selected(&'a [Selected]),
}

impl Asked<'_> {
    fn contains(self, key: &[u8]) -> bool {
        match self {
            Asked::All => true,
            Asked::Key(asked) => asked == key,
            Asked::Selected(keys) => selects(keys, key),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub key: Vec<u8>,
    pub kind: Kind,
    pub is: Option<(Offset, Vec<u8>)>,
    pub should: Option<(Offset, Vec<u8>)>,
    /// Where the key was last deleted, if that is its newest record.
    pub deleted: Option<Offset>,
    /// A record that the log lost may have superseded this one, which counts only while the log still holds it.
    superseded: Option<Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A record of a transaction wrote it that was aborted or is not decided.
    Aborted,
    /// A record deleted it that the copy has passed.
    Resurrected,
    /// No record of the log wrote it.
    Stranger,
    /// Another record of the key is newer.
    Wrong,
    Missing,
}

/// One partition's records, and where each key's are.
#[derive(Clone, Debug, Default)]
struct History {
    records: BTreeMap<Offset, Record>,
    keys: BTreeMap<Bytes, BTreeSet<Offset>>,
    open: BTreeMap<ProducerId, Vec<Offset>>,
    /// What each marker decided.
    decided: BTreeMap<Offset, (ProducerId, Vec<Offset>)>,
    /// Keys that lost a record: what it had superseded below this offset may be compacted away.
    doubtful: BTreeMap<Bytes, Offset>,
    /// Of those keys, the records that a leader was without after a loss: what compaction had removed for the sake of what
    /// was lost. After another loss a leader may have them again.
    missed: BTreeSet<Offset>,
    /// Transactions that the log lost the end of, with where it ended then. They hide what follows them until they are
    /// decided again, and the cleaner had gone by that.
    reopened: BTreeMap<ProducerId, Offset>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub fate: Fate,
    /// Its transaction was committed once, until the log lost the marker.
    pub was_committed: bool,
    producer: Option<ProducerId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Committed,
    /// It is of a transaction that is not decided yet.
    Open,
    Aborted,
    /// The partition is not the key's.
    Misplaced,
    Keyless,
}

impl Reference {
    pub fn new(topic: TopicId, partitions: u32) -> Reference {
        let each = || Partition::all(partitions);
        Reference {
            topic,
            predecessors: BTreeMap::new(),
            partitions: each().map(|_| History::default()).collect(),
            former: each().map(|_| Vec::new()).collect(),
            lost: each().map(|_| Vec::new()).collect(),
        }
    }

    pub fn count(&self) -> u32 {
        u32::try_from(self.partitions.len()).expect("a topic has few partitions here")
    }

    pub fn learn(&mut self, change: &LogChange) {
        match change {
            LogChange::Appended { partition, batch } => self.append(*partition, batch),
            LogChange::Truncated(lost) => self.truncate(lost.partition, lost.from),
            LogChange::Recreated { topic, partitions } => self.recreate(*topic, *partitions),
            LogChange::StartMoved { .. } | LogChange::Cleaned(_) => {}
        }
    }

    fn append(&mut self, partition: Partition, batch: &RecordBatch) {
        let count = self.count();
        let history = &mut self.partitions[partition.index()];
        match (&batch.content, batch.producer) {
            (Content::Marker(verdict), Some(producer)) => {
                history.decide(batch.base, producer, *verdict);
            }
            (Content::Marker(_), None) => {}
            (Content::Records(entries), producer) => {
                for entry in entries {
                    let fate = match &entry.key {
                        None => Fate::Keyless,
                        Some(key) if partition_of(key, count) != partition => Fate::Misplaced,
                        Some(_) if producer.is_some() => Fate::Open,
                        Some(_) => Fate::Committed,
                    };
                    let (key, value) = (entry.key.clone(), entry.value.clone());
                    history.push(
                        entry.offset,
                        Record { key, value, fate, was_committed: false, producer },
                    );
                }
            }
        }
    }

    /// The log lost everything at and above `end`; what the log said before is kept for copies that still hold it.
    fn truncate(&mut self, partition: Partition, end: Offset) {
        let history = &mut self.partitions[partition.index()];
        self.former[partition.index()].push(history.clone());
        self.lost[partition.index()].extend(history.truncate(end));
    }

    /// A leader after a loss holds these records.
    pub fn miss(&mut self, partition: Partition, held: &BTreeSet<Offset>) {
        let History { keys, doubtful, missed, .. } = &mut self.partitions[partition.index()];
        let superseded = doubtful.iter().flat_map(|(key, from)| {
            keys.get(key).into_iter().flat_map(|offsets| offsets.range(..*from))
        });
        missed.extend(superseded.filter(|offset| !held.contains(offset)));
    }

    /// Another topic of the same name.
    fn recreate(&mut self, topic: TopicId, partitions: u32) {
        let mut old = std::mem::replace(self, Reference::new(topic, partitions));
        self.predecessors = std::mem::take(&mut old.predecessors);
        self.predecessors.insert(old.topic, old);
    }

    /// What the topic of this id says, or said while it was.
    pub fn of(&self, topic: TopicId) -> Option<&Reference> {
        if topic == self.topic { Some(self) } else { self.predecessors.get(&topic) }
    }

    /// What an exact copy holds at these positions (exclusive, indexed by partition).
    pub fn rows_at(&self, positions: &[Offset]) -> Rows {
        let mut rows = Rows::new();
        for (partition, position) in Partition::all(self.count()).zip(positions) {
            let history = &self.partitions[partition.index()];
            for key in history.keys.keys() {
                if let Some((offset, Some(value))) = history.newest(key, *position) {
                    let revision = Revision { partition, offset };
                    rows.insert(key.to_vec(), (revision, value.to_vec()));
                }
            }
        }
        rows
    }

    /// What an exact copy answers for `key` at these positions.
    pub fn row_at(&self, key: &[u8], positions: &[Offset]) -> Option<(Revision, Vec<u8>)> {
        let partition = partition_of(key, self.count());
        let position = positions.get(partition.index())?;
        let (offset, value) = self.partitions[partition.index()].newest(key, *position)?;
        Some((Revision { partition, offset }, value?.to_vec()))
    }

    /// Keys of which the log lost a record.
    pub fn lost_some(&self) -> BTreeSet<Vec<u8>> {
        let keys = self.partitions.iter().flat_map(|history| history.doubtful.keys());
        keys.map(|key| key.to_vec()).collect()
    }

    /// How a copy of `partition` differs from what the log says at the copy's position. `holds`: the log has the record
    /// at this offset, and its cleaner has not removed it.
    pub fn differences(
        &self,
        partition: Partition,
        copy: Copied<'_>,
        holds: &dyn Fn(Offset) -> bool,
    ) -> Vec<Difference> {
        let mut differences = self.partitions[partition.index()].differences(partition, copy);
        differences.retain(|difference| difference.superseded.is_none_or(holds));
        differences
    }

    /// The same as `differences`, but none if the copy is what the log said before it lost records: its node cannot
    /// have heard of that yet.
    pub fn differences_from_any(
        &self,
        partition: Partition,
        copy: Copied<'_>,
        holds: &dyn Fn(Offset) -> bool,
    ) -> Vec<Difference> {
        let now = self.differences(partition, copy, holds);
        let mut former = self.former[partition.index()].iter();
        let same = |history: &History| {
            let differences = history.differences(partition, copy);
            differences.iter().all(|difference| difference.superseded.is_some())
        };
        let was = now.is_empty() || former.any(same);
        if was { Vec::new() } else { now }
    }

    pub fn record(&self, revision: Revision) -> Option<&Record> {
        self.partitions[revision.partition.index()].records.get(&revision.offset)
    }

    /// Everything the log holds or held and has not lost, in order.
    pub fn records(&self) -> impl Iterator<Item = (Revision, &Record)> {
        Partition::all(self.count()).zip(&self.partitions).flat_map(|(partition, history)| {
            history
                .records
                .iter()
                .map(move |(offset, record)| (Revision { partition, offset: *offset }, record))
        })
    }

    /// Everything that the log ever took, and whether it lost it.
    pub fn everything(&self) -> impl Iterator<Item = (Partition, Offset, &Record, bool)> {
        let now = self
            .records()
            .map(|(revision, record)| (revision.partition, revision.offset, record, false));
        let lost = Partition::all(self.count()).zip(&self.lost);
        let lost = lost.flat_map(|(partition, lost)| {
            lost.iter().map(move |(offset, record)| (partition, *offset, record, true))
        });
        now.chain(lost)
    }

    /// The records of one key, in order: what an explanation shows.
    pub fn records_of(&self, key: &[u8]) -> Vec<(Revision, Record)> {
        let of = |(revision, record): (Revision, &Record)| {
            (record.key.as_deref() == Some(key)).then(|| (revision, record.clone()))
        };
        self.records().filter_map(of).collect()
    }
}

impl History {
    /// The key's last committed record below `position`: its offset, and its value unless it is a delete.
    fn newest(&self, key: &[u8], position: Offset) -> Option<(Offset, Option<&Bytes>)> {
        let committed = |offset: &&Offset| self.records[*offset].fate == Fate::Committed;
        let offset = self.keys.get(key)?.range(..position).rev().find(committed)?;
        Some((*offset, self.records[offset].value.as_ref()))
    }

    /// A later record of the key will be read before the copy counts as exact, which makes any
    /// difference in it legal: compaction removed what it superseded.
    fn excused(&self, key: &[u8], copy: Copied<'_>) -> bool {
        let cleaned = copy.exact_from.max(self.hidden_from(copy.position));
        if copy.position >= cleaned {
            return false;
        }
        let later = self.keys.get(key).map(|offsets| offsets.range(copy.position..cleaned));
        let committed = |offset: &Offset| self.records[offset].fate == Fate::Committed;
        later.is_some_and(|mut later| later.any(committed))
    }

    /// Where what nobody can read at `position` ends, because a transaction there has lost its end.
    fn hidden_from(&self, position: Offset) -> Offset {
        let hides = |producer: &ProducerId| {
            self.open.get(producer).is_some_and(|open| open.iter().any(|first| *first >= position))
        };
        let hidden = self.reopened.iter().filter(|(producer, _)| hides(producer));
        hidden.map(|(_, ended)| *ended).max().unwrap_or(Offset::ZERO)
    }

    fn differences(&self, partition: Partition, copy: Copied<'_>) -> Vec<Difference> {
        let asked = |key: &[u8]| copy.asked.contains(key);
        let known = self.keys.keys().map(|key| key.as_ref()).filter(|key| asked(key));
        let held = copy.rows.iter().filter(|(key, (revision, _))| {
            revision.partition == partition && asked(key) && !self.keys.contains_key(key.as_slice())
        });
        let strangers = held.map(|(key, _)| key.as_slice());
        known.chain(strangers).filter_map(|key| self.difference(key, copy)).collect()
    }

    fn difference(&self, key: &[u8], copy: Copied<'_>) -> Option<Difference> {
        let is = copy.rows.get(key);
        let newest = self.newest(key, copy.position);
        let should = newest.and_then(|(offset, value)| Some((offset, value?)));
        let same = match (is, should) {
            (None, None) => true,
            (Some((revision, is)), Some((offset, should))) => {
                revision.offset == offset && **is == **should
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        if same || self.excused(key, copy) {
            return None;
        }
        let superseded = newest.map(|(offset, _)| offset).filter(|offset| {
            let older = is.is_none_or(|(revision, _)| revision.offset < *offset);
            older && self.doubtful.get(key).is_some_and(|from| offset < from)
        });
        if superseded.is_some_and(|offset| self.missed.contains(&offset)) {
            return None;
        }
        let fate = is.and_then(|(revision, _)| Some(self.records.get(&revision.offset)?.fate));
        let deleted = newest.filter(|(_, value)| value.is_none()).map(|(offset, _)| offset);
        let kind = match (is, fate) {
            (Some(_), Some(Fate::Aborted | Fate::Open)) => Kind::Aborted,
            (Some((revision, _)), _) if deleted.is_some_and(|at| at > revision.offset) => {
                Kind::Resurrected
            }
            (Some(_), None) => Kind::Stranger,
            (Some(_), Some(_)) => Kind::Wrong,
            (None, _) => Kind::Missing,
        };
        let is = is.map(|(revision, value)| (revision.offset, value.clone()));
        let should = should.map(|(offset, value)| (offset, value.to_vec()));
        Some(Difference { key: key.to_vec(), kind, is, should, deleted, superseded })
    }

    fn push(&mut self, offset: Offset, record: Record) {
        if let (Fate::Open, Some(producer)) = (record.fate, record.producer) {
            self.open.entry(producer).or_default().push(offset);
        }
        if let (Some(key), false) = (&record.key, record.fate == Fate::Misplaced) {
            self.keys.entry(key.clone()).or_default().insert(offset);
        }
        self.records.insert(offset, record);
    }

    fn decide(&mut self, marker: Offset, producer: ProducerId, verdict: Verdict) {
        let fate = match verdict {
            Verdict::Commit => Fate::Committed,
            Verdict::Abort => Fate::Aborted,
        };
        let decided = self.open.remove(&producer).unwrap_or_default();
        self.reopened.remove(&producer);
        self.give_fate(&decided, fate);
        self.decided.insert(marker, (producer, decided));
    }

    fn give_fate(&mut self, offsets: &[Offset], fate: Fate) {
        for offset in offsets {
            if let Some(record) = self.records.get_mut(offset) {
                record.fate = fate;
            }
        }
    }

    /// Makes records undecided again: what they had superseded may be compacted away.
    fn reopen(&mut self, offsets: &[Offset]) {
        for offset in offsets {
            let Some(record) = self.records.get_mut(offset) else {
                continue;
            };
            record.was_committed |= record.fate == Fate::Committed;
            record.fate = Fate::Open;
            if let Some(key) = &record.key {
                let from = self.doubtful.entry(key.clone()).or_insert(*offset);
                *from = (*from).max(*offset);
            }
        }
    }

    /// A lost marker leaves its transaction open again.
    fn truncate(&mut self, end: Offset) -> BTreeMap<Offset, Record> {
        let last = self.records.keys().next_back().max(self.decided.keys().next_back());
        let ended = last.map_or(end, |last| last.next());
        for (_, (producer, offsets)) in self.decided.split_off(&end) {
            self.reopen(&offsets);
            self.open.entry(producer).or_default().extend(offsets);
            self.reopened.insert(producer, ended);
        }
        let lost = self.records.split_off(&end);
        for (offset, record) in &lost {
            if let Some(key) = &record.key {
                self.keys.get_mut(key).map(|offsets| offsets.remove(offset));
                let from = self.doubtful.entry(key.clone()).or_insert(end);
                *from = (*from).max(end);
            }
            if let Some(open) = record.producer.and_then(|producer| self.open.get_mut(&producer)) {
                open.retain(|first| *first < end);
            }
        }
        lost
    }
}

/// Everything that a snapshot holds.
pub fn rows_of(view: &dyn View) -> Result<Rows, StoreError> {
    let mut rows = Rows::new();
    view.scan(b"", None, false, &mut |key, revision, value| {
        rows.insert(key.to_vec(), (revision, value.to_vec()));
        Scan::Continue
    })?;
    Ok(rows)
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Difference { key, kind, is, should, deleted, superseded: _ } = self;
        let show = |row: &Option<(Offset, Vec<u8>)>| match row {
            Some((offset, value)) => format!("{} at {offset}", String::from_utf8_lossy(value)),
            None => "nothing".to_owned(),
        };
        let key = String::from_utf8_lossy(key);
        write!(f, "{key} is {}, should be {} ({kind:?}", show(is), show(should))?;
        deleted.iter().try_for_each(|at| write!(f, ", deleted at {at}"))?;
        f.write_str(")")
    }
}
