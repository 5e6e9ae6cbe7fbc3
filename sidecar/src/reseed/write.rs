//! Writes rows in key order, a bounded number of them ahead of their acknowledgements.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use outrigger_core::log::{LogCall, LogEvent, Write};
use outrigger_core::offset::RequestId;
use outrigger_core::partitioner::partition_of;
use outrigger_core::store::Scan;

use super::ReseedError;
use super::target::Target;
use crate::rocks::{DataDir, Progress, Source};

/// Bytes of one append: rows are handed over in groups, as a stream of writes does it.
const GROUP_BYTES: usize = 256 * 1024;
const GROUP_ROWS: usize = 1_000;

/// Bytes that are not acknowledged yet, at most; they are below what librdkafka's queue takes (64 MiB). A larger row
/// goes alone.
const AHEAD_BYTES_MAX: usize = 8 << 20;

/// How often RESEED is synced, and so how much is written again after a crash.
const SAVE_INTERVAL: Duration = Duration::from_millis(100);

/// How far it is, in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Written(u64),
    ReadBack(u64),
}

struct Writing<'a> {
    target: &'a Target,
    data: &'a DataDir,
    progress: &'a mut Progress,
    told: &'a mut dyn FnMut(Told),
    group: Vec<Write>,
    group_bytes: usize,
    /// The groups that are not acknowledged yet, in key order.
    ahead: VecDeque<Group>,
    ahead_bytes: usize,
    /// The groups that were acknowledged before one that was sent earlier.
    acknowledged: BTreeSet<RequestId>,
    next: u64,
    saved: Instant,
}

/// Rows on their way.
struct Group {
    id: RequestId,
    rows: u64,
    bytes: usize,
    last: Bytes,
}

/// Writes from where `progress` says to the end; `progress` is on disk as far as this got, whatever the result.
pub(super) fn all(
    source: &Source,
    target: &Target,
    data: &DataDir,
    progress: &mut Progress,
    told: &mut dyn FnMut(Told),
) -> Result<(), ReseedError> {
    let partitions = progress.target.partitions;
    let after = progress.written_to().map(<[u8]>::to_vec);
    let mut writing = Writing {
        target,
        data,
        progress,
        told,
        group: Vec::new(),
        group_bytes: 0,
        ahead: VecDeque::new(),
        ahead_bytes: 0,
        acknowledged: BTreeSet::new(),
        next: 0,
        saved: Instant::now(),
    };
    let mut outcome = Ok(());
    let read = source.rows_after(after.as_deref(), &mut |key, _, value| {
        outcome = writing.row(partitions, key, value);
        if outcome.is_ok() { Scan::Continue } else { Scan::Stop }
    });
    let outcome = outcome.and_then(|()| writing.finish());
    writing.progress.save(data)?;
    read?;
    outcome
}

impl Writing<'_> {
    fn row(&mut self, partitions: u32, key: &[u8], value: &[u8]) -> Result<(), ReseedError> {
        let bytes = key.len() + value.len();
        let full = self.group_bytes + bytes > GROUP_BYTES || self.group.len() == GROUP_ROWS;
        if full && !self.group.is_empty() {
            self.send()?;
        }
        let (key, value) = (Bytes::copy_from_slice(key), Some(Bytes::copy_from_slice(value)));
        self.group.push(Write { partition: partition_of(&key, partitions), key, value });
        self.group_bytes += bytes;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ReseedError> {
        if !self.group.is_empty() {
            self.send()?;
        }
        while !self.ahead.is_empty() {
            self.hear()?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), ReseedError> {
        while !self.ahead.is_empty() && self.ahead_bytes + self.group_bytes > AHEAD_BYTES_MAX {
            self.hear()?;
        }
        let writes = std::mem::take(&mut self.group);
        let bytes = std::mem::take(&mut self.group_bytes);
        let id = RequestId(self.next);
        self.next += 1;
        let rows = u64::try_from(writes.len()).expect("a group is small");
        let last = writes.last().expect("an empty group is not sent").key.clone();
        self.ahead.push_back(Group { id, rows, bytes, last });
        self.ahead_bytes += bytes;
        self.target.call(LogCall::Append { id, writes: writes.into() });
        Ok(())
    }

    /// Waits for the next answer.
    fn hear(&mut self) -> Result<(), ReseedError> {
        let rows = self.progress.rows;
        match self.target.answer() {
            Some(LogEvent::Appended { id, results }) => {
                let failed = results.into_iter().find_map(Result::err);
                match failed {
                    None => self.acknowledge(id),
                    Some(error) => Err(ReseedError::Stopped { rows, error }),
                }
            }
            None => Err(ReseedError::Silent { rows }),
            Some(other) => unreachable!("nothing else is asked while rows are written: {other:?}"),
        }
    }

    fn acknowledge(&mut self, id: RequestId) -> Result<(), ReseedError> {
        self.acknowledged.insert(id);
        while let Some(group) = self.ahead.front()
            && self.acknowledged.remove(&group.id)
        {
            self.progress.rows += group.rows;
            self.progress.after = group.last.to_vec();
            self.ahead_bytes -= group.bytes;
            self.ahead.pop_front();
        }
        (self.told)(Told::Written(self.progress.rows));
        if self.saved.elapsed() >= SAVE_INTERVAL {
            self.progress.save(self.data)?;
            self.saved = Instant::now();
        }
        Ok(())
    }
}
