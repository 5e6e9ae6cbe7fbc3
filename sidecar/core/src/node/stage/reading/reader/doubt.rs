//! What the log may have lost. An end that a leader told is read from, so that the log says whether it still has it. And what
//! shows that the log is of another history.

use crate::batch::Batch;
use crate::offset::{Epoch, Offset};

use super::Reader;

/// An end and the leader epoch that told it; a leader of `by` or later answers whether the log has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    pub(super) told: (Epoch, Offset),
    by: Epoch,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::node) struct Durable(pub(in crate::node::stage::reading) bool);

impl Reader {
    /// A later leader's records leave in doubt whether the log still has an end that an earlier one had told: it is
    /// read from there next, which is refused if it has not.
    pub(in crate::node) fn doubts(&mut self, batch: &Batch) -> bool {
        let doubted = self.fetched.doubted(batch).zip(batch.leader());
        self.doubted = doubted.map(|(told, by)| Doubt { told, by });
        self.doubted.is_some()
    }

    /// Something was read. Returns whether it was what was in doubt, which the log has then.
    pub(in crate::node) fn prove(&mut self) -> bool {
        let Some(Doubt { told, by }) = self.doubted.take() else {
            return false;
        };
        self.fetched.ends.prove(told, by);
        true
    }

    /// Whether what was read is of another history than the copy, and whether that also speaks against what is on disk.
    pub(in crate::node) fn contradicted(&self, batch: &Batch) -> Option<Durable> {
        let copied = self.fetched.contradicts(batch);
        let gathered = self.gathered.as_ref().and_then(|gathered| gathered.batch.leader());
        let durable = copied && self.durable == self.fetched.position;
        (copied || batch.falls_below(gathered)).then_some(Durable(durable))
    }

    /// The position that it reads from, or the end that it asks for.
    pub(in crate::node) fn asked_for(&self) -> Offset {
        let read = self.gathered.as_ref().map(|gathered| gathered.batch.range.end);
        let read = read.unwrap_or(self.fetched.position);
        self.doubted.map_or(read, |Doubt { told: (_, end), .. }| end)
    }

    /// Whether a copy opened anew would wait, too, for the end that the log was found not to have; none: none was in doubt.
    pub(in crate::node) fn lost_end(&self) -> Option<Durable> {
        self.doubted.map(|Doubt { told, .. }| Durable(self.ends_on_disk.contains(&told)))
    }
}
