//! The log cleaner of one replica, rule by rule as `LogCleaner` and `Cleaner` have them.
//!
//! Passes over `log start .. clean bound`: the newest record of a key stays, a newest tombstone until
//! its batch's horizon, an aborted record never. Offsets stay, the log start stays (KAFKA-7556).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use outrigger_core::offset::Offset;
use outrigger_core::topic::TopicPolicy;

use super::CleanerPace;
use super::replica::Replica;
use super::segments::{Content, Entry, RecordBatch};
use super::transactions::ProducerId;

/// `DefaultRecordBatch.RECORD_BATCH_OVERHEAD`.
const BATCH_BYTES: usize = 61;

/// Where a pass ends (`LogCleanerManager.cleanableOffsets`): never past the last stable offset (KAFKA-5413), the active
/// segment, or the first segment not cleaned yet that has a record younger than the lag (KIP-58).
pub(super) fn clean_bound(replica: &Replica, policy: &TopicPolicy, now_ms: u64) -> Offset {
    let young = |newest_ms: u64| newest_ms > now_ms.saturating_sub(policy.min_compaction_lag_ms);
    let first_young = replica
        .segments
        .all()
        .iter()
        .filter(|segment| {
            segment.batches.last().is_some_and(|last| last.last >= replica.cleaned_to)
        })
        .find(|segment| policy.min_compaction_lag_ms > 0 && young(segment.newest_ms()))
        .map_or(replica.log_end, |segment| segment.base);
    replica.last_stable().min(replica.segments.active().base).min(first_young)
}

/// Makes a pass when enough is new to be worth it; tombstones whose horizon came wait for that, as in Kafka. Returns
/// whether it removed a record.
pub(super) fn clean_if_dirty(
    replica: &mut Replica,
    policy: &TopicPolicy,
    pace: CleanerPace,
    now_ms: u64,
) -> bool {
    let bound = clean_bound(replica, policy, now_ms);
    let below = replica.segments.batches().take_while(|batch| batch.base < bound);
    let (mut clean_bytes, mut dirty_bytes) = (0, 0);
    for batch in below {
        let bytes = BATCH_BYTES + batch.key_and_value_bytes();
        if batch.base < replica.cleaned_to { clean_bytes += bytes } else { dirty_bytes += bytes }
    }
    let dirty = dirty_bytes * 100 >= (clean_bytes + dirty_bytes) * pace.dirty_percent_min;
    dirty_bytes > 0 && dirty && clean(replica, policy, now_ms)
}

/// Makes one pass; returns whether it removed a record. Nothing below the log start comes back, nothing at or above the
/// bound is touched.
pub(super) fn clean(replica: &mut Replica, policy: &TopicPolicy, now_ms: u64) -> bool {
    if !policy.cleanup.split(',').any(|policy| policy.trim() == "compact") {
        return false;
    }
    let bound = clean_bound(replica, policy, now_ms);
    // A whole segment is cleaned or none of it: an open transaction inside one holds all of it back.
    let Some(bound) = segment_bound(replica, bound) else {
        return false;
    };
    assert!(bound <= replica.segments.active().base, "the active segment is never cleaned");
    let mut pass = Pass::over(replica, bound, policy.delete_retention_ms, now_ms);
    let cleaned =
        replica.segments.batches_from(replica.log_start).take_while(|batch| batch.base < bound);
    let kept: Vec<Arc<RecordBatch>> =
        cleaned.filter_map(|batch| pass.retained(replica, batch)).collect();
    if cfg!(debug_assertions) {
        pass.check(replica, bound, &kept);
    }
    let dropped_to = pass.dropped_to;
    let before = replica.segments.records_below(bound);
    replica.segments.replace_below(bound, kept, replica.limits());
    replica.dropped_to = replica.dropped_to.max(dropped_to);
    replica.cleaned_to = bound.max(replica.cleaned_to);
    replica.segments.records_below(bound) < before
}

/// The largest segment boundary at or below `bound`, when there is anything below it.
fn segment_bound(replica: &Replica, bound: Offset) -> Option<Offset> {
    let mut bases = replica.segments.all().iter().map(|segment| segment.base);
    let below = bases.rfind(|base| *base <= bound)?;
    (below > replica.log_start).then_some(below)
}

struct Pass {
    newest: BTreeMap<Bytes, Offset>,
    now_ms: u64,
    horizon_ms: u64,
    /// Producers with records, in this pass, of the transaction that their next marker ends.
    with_records: BTreeSet<ProducerId>,
    /// The position after the last tombstone or marker that this pass dropped for good.
    dropped_to: Offset,
}

impl Pass {
    fn over(replica: &Replica, bound: Offset, retention_ms: u64, now_ms: u64) -> Pass {
        let mut newest = BTreeMap::new();
        let below =
            replica.segments.batches_from(replica.log_start).take_while(|batch| batch.base < bound);
        // Aborted records do not enter the map: they never shadow a value (Cleaner.buildOffsetMap).
        let visible = below.filter(|batch| !replica.hidden(batch));
        for entry in visible.flat_map(|batch| batch.records()) {
            if let Some(key) = &entry.key {
                newest.insert(key.clone(), entry.offset);
            }
        }
        let horizon_ms = now_ms.saturating_add(retention_ms);
        Pass { newest, now_ms, horizon_ms, with_records: BTreeSet::new(), dropped_to: Offset::ZERO }
    }

    fn retained(
        &mut self,
        replica: &Replica,
        batch: &Arc<RecordBatch>,
    ) -> Option<Arc<RecordBatch>> {
        let kept = match &batch.content {
            Content::Marker(_) => self.marker(batch),
            Content::Records(_) => self.records(replica, batch),
        };
        // The last batch of the log stays, empty if need be: it alone says where the log ends
        // (KAFKA-17076).
        kept.or_else(|| (batch.last.next() == replica.log_end).then(|| emptied(batch)))
    }

    /// A marker stays while records of its transaction were met in this pass, then until its horizon,
    /// which the first pass without them sets (KIP-534, KAFKA-8335).
    fn marker(&mut self, batch: &Arc<RecordBatch>) -> Option<Arc<RecordBatch>> {
        let producer = batch.producer.expect("a marker has a producer");
        if self.with_records.remove(&producer) {
            return Some(Arc::clone(batch));
        }
        if self.expired(batch) {
            self.dropped_to = batch.last.next();
            return None;
        }
        Some(self.with_horizon(batch))
    }

    fn records(&mut self, replica: &Replica, batch: &Arc<RecordBatch>) -> Option<Arc<RecordBatch>> {
        if let Some(producer) = batch.producer {
            self.with_records.insert(producer);
        }
        if replica.hidden(batch) {
            return None;
        }
        let expired = self.expired(batch);
        if expired {
            self.dropped_to = batch.last.next();
        }
        // A keyless record has no place in a compacted log and goes (Cleaner.shouldRetainRecord).
        let newest = |entry: &Entry| {
            let newest = entry.key.as_ref().and_then(|key| self.newest.get(key));
            newest.is_some_and(|newest| *newest == entry.offset)
        };
        let stays = |entry: &&Entry| newest(entry) && (entry.value.is_some() || !expired);
        let records: Vec<Entry> = batch.records().iter().filter(stays).cloned().collect();
        if records.is_empty() {
            return None;
        }
        let tombstones = records.iter().any(|entry| entry.value.is_none());
        let kept = if records.len() == batch.records().len() {
            Arc::clone(batch)
        } else {
            Arc::new(RecordBatch { content: Content::Records(records), ..copy(batch) })
        };
        Some(if tombstones { self.with_horizon(&kept) } else { kept })
    }

    /// Asserts that no newest tombstone goes before its horizon, and no newest value ever.
    fn check(&self, replica: &Replica, bound: Offset, kept: &[Arc<RecordBatch>]) {
        let kept: BTreeSet<Offset> =
            kept.iter().flat_map(|batch| batch.records()).map(|entry| entry.offset).collect();
        let cleaned = replica.segments.batches_from(replica.log_start);
        for batch in cleaned.take_while(|batch| batch.base < bound) {
            let gone = batch.records().iter().filter(|entry| !kept.contains(&entry.offset));
            for Entry { offset, key, value } in gone.filter(|_| !replica.hidden(batch)) {
                let newest = key.as_ref().is_some_and(|key| self.newest.get(key) == Some(offset));
                let may_go = !newest || value.is_none() && self.expired(batch);
                assert!(may_go, "the cleaner lost {offset}, the newest of its key");
            }
        }
    }

    fn expired(&self, batch: &RecordBatch) -> bool {
        batch.delete_horizon_ms.is_some_and(|horizon_ms| horizon_ms <= self.now_ms)
    }

    /// The first of two phases: the pass that keeps something dead says when a later one may drop it.
    fn with_horizon(&self, batch: &Arc<RecordBatch>) -> Arc<RecordBatch> {
        match batch.delete_horizon_ms {
            Some(_) => Arc::clone(batch),
            None => {
                let delete_horizon_ms = Some(self.horizon_ms);
                Arc::new(RecordBatch { delete_horizon_ms, ..RecordBatch::clone(batch) })
            }
        }
    }
}

/// All of a batch but its content, which would be copied for nothing.
fn copy(batch: &RecordBatch) -> RecordBatch {
    let content = Content::Records(Vec::new());
    let RecordBatch { base, last, epoch, timestamp_ms, producer, delete_horizon_ms, .. } = *batch;
    RecordBatch { base, last, epoch, timestamp_ms, producer, delete_horizon_ms, content }
}

/// The batch's offsets without its records. Whose they were does not matter any more.
fn emptied(batch: &RecordBatch) -> Arc<RecordBatch> {
    Arc::new(RecordBatch { producer: None, delete_horizon_ms: None, ..copy(batch) })
}
