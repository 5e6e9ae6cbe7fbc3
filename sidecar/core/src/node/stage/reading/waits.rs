//! What a copy that is read into waits for: records that do not come, and what would make it exact. It gets a name in time.

use std::time::Duration;

use crate::offset::{Offset, Partition};
use crate::stall::StallKind;

use super::{Reader, Reading};
use crate::node::shared::Shared;

#[derive(Debug)]
pub(super) struct Inexact {
    /// When it began, on the monotonic clock.
    since: Duration,
    /// From where each partition would have been exact then.
    from: Vec<Offset>,
}

impl Reading {
    pub(super) fn note_exactness(&mut self, now: Duration) {
        if !self.reached || self.exact() {
            self.inexact = None;
        } else if self.inexact.is_none() {
            let from = self.readers.iter().map(|reader| reader.applied().exact_from).collect();
            self.inexact = Some(Inexact { since: now, from });
        }
    }

    /// A partition that met another gap before it had read what would have made it exact, and since when that goes on.
    pub(super) fn inexact(&self) -> Option<(&Reader, Duration)> {
        let Inexact { since, from } = self.inexact.as_ref()?;
        let goes_on = |(reader, from): &(&Reader, &Offset)| {
            !reader.applied().exact() && reader.applied().position >= **from
        };
        let (reader, _) = self.readers.iter().zip(from).find(goes_on)?;
        Some((reader, *since))
    }

    /// A partition that met the end below what is known to be committed: where, and since when that is known.
    pub(super) fn hidden(&self) -> Option<(Partition, (Offset, Duration))> {
        self.readers.iter().find_map(|reader| Some((reader.partition, reader.hidden()?)))
    }

    /// A partition to which records are to come, and up to where: the target, or what would make it exact.
    pub(super) fn awaits_records(&self) -> Option<(&Reader, Offset)> {
        let awaits = |reader: &Reader| {
            if reader.reached_target() { reader.applied().exact_from } else { reader.target }
        };
        let awaiting = self.readers.iter().map(|reader| (reader, awaits(reader)));
        awaiting.into_iter().find(|(reader, until)| reader.applied().position < *until)
    }

    pub(super) fn name_stalls(&self, shared: &mut Shared) {
        let (now, after) = (shared.now.mono, shared.limits.stall_after);
        let long = |since: Duration| now.saturating_sub(since) >= after;
        let idle = long(self.progress_at);
        match self.hidden() {
            // After a quiet time the end moves before the records come: that alone hides nothing.
            Some((partition, (offset, since))) if idle && long(since) => {
                let detail =
                    format!("partition {partition}: a transaction is open at offset {offset}");
                shared.begin_stall(StallKind::OpenTransaction, detail);
            }
            Some(_) => {}
            None => shared.end_stalls(|kind| kind == StallKind::OpenTransaction),
        }
        self.name_inexactness(shared);
        // What is hidden gets its name from the next ends.
        if let Some((reader, until)) = self.awaits_records()
            && idle
            && self.hidden().is_none()
            && !shared.stalls.any()
        {
            let (partition, position) = (reader.partition, reader.applied().position);
            let detail =
                format!("partition {partition}: nothing arrives at position {position} of {until}");
            shared.begin_stall(StallKind::NoProgress, detail);
        }
    }

    /// A copy whose gaps may be compaction's waits until it has read what the leader had when they were read. Where
    /// other writers' transactions overlap that is always ahead: their open records count, and hide what follows.
    /// The last stable offset of that fetch would do, and be reached; but librdkafka keeps it to itself.
    fn name_inexactness(&self, shared: &mut Shared) {
        let Some((reader, since)) = self.inexact() else {
            return shared.end_stalls(|kind| kind == StallKind::Inexact);
        };
        let (partition, position, from) =
            (reader.partition, reader.applied().position, reader.applied().exact_from);
        let long = shared.now.mono >= since + shared.limits.stall_after;
        if long && !shared.stalls.any_beside(StallKind::Inexact) {
            let detail = format!(
                "partition {partition}: read to {position}, and exact only from {from}: gaps go on"
            );
            shared.begin_stall(StallKind::Inexact, detail);
        }
    }
}
