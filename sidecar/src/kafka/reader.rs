//! One assigned partition: its position, its credit, and the batch that is being filled.
//!
//! It takes from librdkafka's queue only against a credit, so that what waits is bounded there. Promises that no record
//! is passed over: librdkafka reports a corrupt batch and continues behind it, so any error makes the partition be read
//! again from the end of what was delivered.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use outrigger_core::batch::{Batch, BatchBuilder};
use outrigger_core::log::Loss;
use outrigger_core::offset::{Epoch, Offset, Partition};

use super::raw::{Code, Message, Queue, Topic};
use super::settings::REREAD_AFTER;

/// Where a reader begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) partition: Partition,
    /// How many partitions the topic has, as last described.
    pub(super) partitions: u32,
    pub(super) at: Offset,
    pub(super) epoch: Option<Epoch>,
}

pub(super) struct Reader {
    /// The end of what was delivered: it moves with every batch.
    start: Start,
    /// Wakes whoever reads, as long as it is here.
    queue: Queue,
    credit: Option<usize>,
    /// A batch that is kept while it waits for a high watermark.
    filling: Option<Filling>,
    pending: Option<Pending>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Faulted { until: Instant },
    Void(Loss),
}

/// What was read from the queue behind records that are to be delivered first.
#[derive(Debug)]
enum Pending {
    Loss(Loss),
    Fault(Fault),
}

#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) text: String,
}

#[derive(Debug)]
pub(super) enum Progress {
    Batch(Batch),
    Lost(Loss),
    /// A fault that is to be told; the partition is read again at `until`.
    Fault {
        fault: Fault,
        until: Instant,
    },
    /// The partition is to be looked at again a moment later.
    AwaitsWatermark,
    Nothing,
}

impl Reader {
    pub(super) fn new(start: Start, queue: Queue) -> Reader {
        Reader { start, queue, credit: None, filling: None, pending: None, state: State::Reading }
    }

    pub(super) fn grant(&mut self, bytes_max: u32) {
        assert!(self.credit.is_none(), "one credit per partition is outstanding");
        self.credit = Some(usize::try_from(bytes_max).expect("usize holds 32 bits"));
    }

    /// Where to read again at `now`; none before the pause after a fault is over.
    pub(super) fn due(&self, now: Instant) -> Option<Start> {
        match self.state {
            State::Faulted { until } => (until <= now).then_some(self.start),
            State::Reading | State::Void(_) => None,
        }
    }

    /// The end of what was delivered.
    pub(super) fn begins(&self) -> Start {
        self.start
    }

    /// Reads again from the end of what was delivered, out of a new queue.
    pub(super) fn read_again(&mut self, queue: Queue) {
        self.queue = queue;
        self.filling = None;
        self.pending = None;
        self.state = State::Reading;
    }

    /// Pauses after an error outside of the queue. Returns until when.
    pub(super) fn fault(&mut self) -> Instant {
        let until = Instant::now() + REREAD_AFTER;
        self.state = State::Faulted { until };
        until
    }

    /// The next thing to tell, as far as credit and queue allow.
    pub(super) fn advance(&mut self, topic: &Topic) -> Progress {
        loop {
            match self.state {
                State::Void(loss) => return self.lost(loss),
                State::Faulted { .. } => return Progress::Nothing,
                State::Reading => {}
            }
            match self.pending.take() {
                Some(Pending::Loss(loss)) => self.state = State::Void(loss),
                Some(Pending::Fault(fault)) => {
                    return Progress::Fault { fault, until: self.fault() };
                }
                None => match self.fill(topic) {
                    Progress::Nothing if self.pending.is_some() => {}
                    progress => return progress,
                },
            }
        }
    }

    /// A loss answers a credit, like a batch.
    fn lost(&mut self, loss: Loss) -> Progress {
        self.credit.take().map_or(Progress::Nothing, |_| Progress::Lost(loss))
    }

    fn fill(&mut self, topic: &Topic) -> Progress {
        let Some(credit) = self.credit else { return Progress::Nothing };
        let mut filling = self.filling.take().unwrap_or_else(|| Filling::new(&self.start, credit));
        let partition = self.start.partition;
        let mut step = Step::More;
        let mut came = true;
        while came && matches!(step, Step::More) && !filling.is_full() {
            came = topic.take(partition, Duration::ZERO, |message| {
                step = filling.take(message);
                match step {
                    Step::More if !filling.is_full() => ControlFlow::Continue(()),
                    Step::More | Step::End(_) | Step::Lost(_) | Step::Fault(_) => {
                        ControlFlow::Break(())
                    }
                }
            });
        }
        match step {
            Step::More => {}
            Step::End(position) => {
                let epoch = topic.epoch_read(partition);
                return self.deliver(filling.at_end(position, epoch));
            }
            Step::Lost(loss) => self.pending = Some(Pending::Loss(loss)),
            Step::Fault(fault) => self.pending = Some(Pending::Fault(fault)),
        }
        if filling.is_empty() {
            return Progress::Nothing;
        }
        match filling.clean_bound(topic.fetched_high_watermark(partition)) {
            Some(bound) => self.deliver(filling.finish(bound)),
            // The batch is dropped when a fault follows: its records are read again.
            None if self.pending.is_some() => Progress::Nothing,
            None => {
                self.filling = Some(filling);
                Progress::AwaitsWatermark
            }
        }
    }

    fn deliver(&mut self, filled: Filled) -> Progress {
        self.credit = None;
        self.start.at = filled.batch.range.end;
        self.start.epoch = filled.epoch;
        Progress::Batch(filled.batch)
    }
}

/// What a record costs in a batch beside its bytes.
const RECORD_COST: usize = 48;

/// A batch being filled, and what its builder does not tell.
struct Filling {
    builder: BatchBuilder,
    from: Offset,
    next: Offset,
    epoch: Option<Epoch>,
    gap: bool,
    weight: usize,
    weight_max: usize,
}

struct Filled {
    batch: Batch,
    /// Newest epoch known below the batch's end.
    epoch: Option<Epoch>,
}

enum Step {
    More,
    End(Offset),
    Lost(Loss),
    Fault(Fault),
}

impl Filling {
    fn new(start: &Start, weight_max: usize) -> Filling {
        Filling {
            builder: BatchBuilder::new(start.partition, start.partitions, start.at),
            from: start.at,
            next: start.at,
            epoch: start.epoch,
            gap: false,
            weight: 0,
            weight_max,
        }
    }

    fn is_empty(&self) -> bool {
        self.from == self.next
    }

    /// It counts what is left out of the batch, too: a run of another tool's mistakes ends it as well.
    fn is_full(&self) -> bool {
        self.weight >= self.weight_max.max(1)
    }

    fn take(&mut self, message: Message<'_>) -> Step {
        match message {
            Message::Record { offset, .. } | Message::End { position: offset }
                if offset < self.next =>
            {
                // Nobody has seen that happen; what was read is not in the log that is being read.
                Step::Lost(Loss::Diverged)
            }
            Message::Record { offset, epoch, key, value } => {
                self.gap |= offset > self.next;
                self.next = offset.next();
                self.epoch = self.epoch.max(epoch);
                self.weight +=
                    RECORD_COST + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
                self.builder.push(offset, epoch, key, value);
                Step::More
            }
            Message::End { position } => Step::End(position),
            Message::Fault { code: Code::AUTO_OFFSET_RESET, offset, text } => {
                self.refused(offset, text)
            }
            Message::Fault { code, text, .. } => Step::Fault(Fault { code, text }),
        }
    }

    /// The leader does not have the position. One below ours was an older assignment's.
    fn refused(&self, offset: Option<Offset>, text: String) -> Step {
        if offset.is_some_and(|offset| offset < self.from) {
            return Step::Fault(Fault { code: Code::AUTO_OFFSET_RESET, text });
        }
        Step::Lost(loss(&text))
    }

    fn at_end(self, position: Offset, epoch: Option<Epoch>) -> Filled {
        let epoch = epoch.filter(|epoch| self.epoch < Some(*epoch)).or(self.epoch);
        Filled { batch: self.builder.at_end(position, epoch), epoch }
    }

    /// `high_watermark` is that of the newest fetch. Without it nothing is known about how far the
    /// cleaner had come, which matters exactly when there is a gap.
    fn clean_bound(&self, high_watermark: Option<Offset>) -> Option<Offset> {
        high_watermark.or((!self.gap).then_some(self.next))
    }

    fn finish(self, clean_bound: Offset) -> Filled {
        Filled { batch: self.builder.finish(clean_bound), epoch: self.epoch }
    }
}

/// librdkafka says only in words why it wants a new position: nowhere else is its text read.
fn loss(text: &str) -> Loss {
    if text.contains("No epoch found") {
        // The request carried the epoch of the consumer's own metadata, which that leader took for the newest.
        Loss::UnknownEpoch
    } else if text.contains("truncation") {
        Loss::Diverged
    } else {
        Loss::OutOfRange
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Start =
        Start { partition: Partition(0), partitions: 1, at: Offset(10), epoch: Some(Epoch(2)) };

    fn record(offset: u64, epoch: u32) -> Message<'static> {
        Message::Record {
            offset: Offset(offset),
            epoch: Some(Epoch(epoch)),
            key: Some(b"key"),
            value: Some(b"value"),
        }
    }

    fn filled(offsets: &[u64]) -> Filling {
        let mut filling = Filling::new(&START, 1 << 20);
        for offset in offsets {
            assert!(matches!(filling.take(record(*offset, 3)), Step::More));
        }
        filling
    }

    #[test]
    fn a_gap_waits_for_a_high_watermark_and_an_unbroken_batch_does_not() {
        assert_eq!(filled(&[10, 12]).clean_bound(None), None);
        assert_eq!(filled(&[10, 12]).clean_bound(Some(Offset(90))), Some(Offset(90)));
        assert_eq!(filled(&[10, 11]).clean_bound(None), Some(Offset(12)));
    }

    #[test]
    fn a_batch_starts_at_the_readers_position_also_behind_hidden_records() {
        let filled = filled(&[15]).finish(Offset(90));
        assert_eq!(filled.batch.range, Offset(10)..Offset(16));
        assert!(filled.batch.gap);
        assert_eq!((filled.batch.clean_bound, filled.epoch), (Offset(90), Some(Epoch(3))));
    }

    #[test]
    fn an_end_without_a_newer_epoch_keeps_the_one_that_is_known() {
        let end = Filling::new(&START, 1).at_end(Offset(10), None);
        assert!(end.batch.at_end);
        assert_eq!((end.batch.range, end.epoch), (Offset(10)..Offset(10), Some(Epoch(2))));
        let end = filled(&[10]).at_end(Offset(12), Some(Epoch(4)));
        assert_eq!(end.batch.epochs, [(Epoch(3), Offset(10)), (Epoch(4), Offset(12))]);
        assert_eq!(end.epoch, Some(Epoch(4)));
    }

    #[test]
    fn a_credit_ends_also_over_records_that_are_left_out() {
        let mut filling = Filling::new(&START, 2 * RECORD_COST);
        for offset in 10..12 {
            assert!(!filling.is_full());
            let keyless =
                Message::Record { offset: Offset(offset), epoch: None, key: None, value: None };
            assert!(matches!(filling.take(keyless), Step::More));
        }
        assert!(filling.is_full());
    }

    #[test]
    fn a_log_that_goes_back_is_another_history() {
        let mut filling = filled(&[10, 11]);
        assert!(matches!(filling.take(record(11, 3)), Step::Lost(Loss::Diverged)));
    }

    #[test]
    fn refusals_are_told_apart_by_librdkafkas_words() {
        let out_of_range = "fetch failed due to requested offset not available on the broker: \
                            Broker: Offset out of range (broker 1)";
        let truncated = "Partition log truncation detected at offset 10 (leader epoch 0): \
                         broker end offset is 3 (offset leader epoch 0). Reset to INVALID.";
        let no_epoch = "No epoch found less or equal to offset 10 (leader epoch 0): broker end offset \
                        is -1 (offset leader epoch -1). Reset using configured policy.";
        assert_eq!(loss(out_of_range), Loss::OutOfRange);
        assert_eq!(loss(truncated), Loss::Diverged);
        assert_eq!(loss(no_epoch), Loss::UnknownEpoch);
    }

    #[test]
    fn a_refusal_of_an_older_position_is_not_a_loss() {
        let mut filling = Filling::new(&START, 1);
        let refusal = |offset| Message::Fault {
            code: Code::AUTO_OFFSET_RESET,
            offset,
            text: "out of range".to_owned(),
        };
        assert!(matches!(filling.take(refusal(Some(Offset(5)))), Step::Fault(_)));
        assert!(matches!(filling.take(refusal(Some(Offset(10)))), Step::Lost(Loss::OutOfRange)));
        assert!(matches!(filling.take(refusal(None)), Step::Lost(Loss::OutOfRange)));
    }
}
