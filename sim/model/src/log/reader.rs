//! One client's reader of one partition, with librdkafka's habits.
//!
//! It validates its epoch against the leader when assigned and after every election (KIP-320), stops
//! at the last stable offset, and reports the end when it meets it, again only after it moved.

use outrigger_core::batch::{Batch, BatchBuilder};
use outrigger_core::log::Loss;
use outrigger_core::offset::{Epoch, Offset, Partition};

use super::replica::Replica;

/// What a record costs of a credit beside its bytes, so that empty ones cannot fill memory.
const RECORD_OVERHEAD: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Reader {
    position: Offset,
    /// Epoch of the last batch below `position`, where known.
    epoch: Option<Epoch>,
    /// The number of partitions by which keys are placed.
    partitions: u32,
    /// The leader's term in which the position was found valid.
    validated: Option<Epoch>,
    told_end: Option<Offset>,
    credit: Option<u32>,
}

pub(super) enum Poll {
    Nothing,
    Batch(Batch),
    Lost(Loss),
}

/// Where and how the reader reads.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) partition: Partition,
    /// The end is reported with the records before it, not alone: both occur with librdkafka.
    pub(super) end_with_records: bool,
}

impl Reader {
    pub(super) fn at(position: Offset, epoch: Option<Epoch>, partitions: u32) -> Reader {
        Reader { position, epoch, partitions, validated: None, told_end: None, credit: None }
    }

    pub(super) fn credit(&mut self, bytes_max: u32) {
        assert!(self.credit.is_none(), "one fetch at a time per partition");
        self.credit = Some(bytes_max);
    }

    pub(super) fn waits(&self) -> bool {
        self.credit.is_some()
    }

    /// Answers the waiting fetch when there is something to tell.
    pub(super) fn poll(&mut self, leader: &Replica, place: Place) -> Poll {
        let Some(bytes_max) = self.credit else {
            return Poll::Nothing;
        };
        if let Some(loss) = self.loss(leader) {
            return Poll::Lost(loss);
        }
        self.validated = self.validated.max(Some(leader.epoch()));
        match self.read(leader, place, bytes_max) {
            Some(batch) => {
                self.credit = None;
                Poll::Batch(batch)
            }
            None => Poll::Nothing,
        }
    }

    fn loss(&self, leader: &Replica) -> Option<Loss> {
        // A recreated topic starts its epochs again; metadata that goes back is ignored, so nothing is validated.
        let election_seen = self.validated.is_none_or(|validated| leader.epoch() > validated);
        // "No epoch found" (`LeaderEpochFileCache.endOffsetFor`); it is asked for before anything is fetched.
        let judged = self.epoch.filter(|_| election_seen);
        let judged = judged.map(|epoch| leader.epochs.end_of(epoch, leader.log_end));
        if judged == Some(None) {
            return Some(Loss::UnknownEpoch);
        }
        if self.position < leader.log_start || self.position > leader.log_end {
            return Some(Loss::OutOfRange);
        }
        judged.flatten().filter(|end| *end < self.position).map(|_| Loss::Diverged)
    }

    fn read(&mut self, leader: &Replica, place: Place, bytes_max: u32) -> Option<Batch> {
        let end = leader.last_stable();
        let mut builder = BatchBuilder::new(place.partition, self.partitions, self.position);
        let mut left = usize::try_from(bytes_max).expect("usize holds 32 bits");
        let mut more = false;
        let stable =
            leader.segments.batches_from(self.position).take_while(|batch| batch.base < end);
        let visible = stable.filter(|batch| !leader.hidden(batch));
        let records =
            visible.flat_map(|batch| batch.records().iter().map(|entry| (batch.epoch, entry)));
        for (epoch, entry) in records.skip_while(|(_, entry)| entry.offset < self.position) {
            if left == 0 {
                more = true;
                break;
            }
            let (key, value) = (entry.key.as_deref(), entry.value.as_deref());
            builder.push(entry.offset, Some(epoch), key, value);
            let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
            left = left.saturating_sub(bytes + RECORD_OVERHEAD);
            self.epoch = Some(epoch);
        }
        if more || !builder.is_empty() && !place.end_with_records {
            return Some(self.moved(builder.finish(leader.high_watermark)));
        }
        self.meet_end(leader, builder, end)
    }

    fn moved(&mut self, batch: Batch) -> Batch {
        self.position = batch.range.end;
        self.told_end = batch.at_end.then_some(batch.range.end);
        batch
    }

    /// The reader is at the end: hidden records below it are passed over. Where the position is above the end (an open
    /// transaction began below it), there is nothing to tell until the end catches up.
    fn meet_end(&mut self, leader: &Replica, builder: BatchBuilder, end: Offset) -> Option<Batch> {
        let news = !builder.is_empty() || self.told_end != Some(end);
        if !news || self.position > end {
            return None;
        }
        let last = leader.segments.last_below(end).map(|batch| batch.epoch);
        self.epoch = self.epoch.max(last);
        Some(self.moved(builder.at_end(end, self.epoch)))
    }
}
