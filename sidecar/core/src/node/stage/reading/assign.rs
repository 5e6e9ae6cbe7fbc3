//! From where each partition is read: the assignments, and what the log says to them.

use crate::log::{LogCall, Loss};
use crate::offset::{Offset, Partition};

use super::reader::Durable;
use super::{Fetch, Reader, Reading};
use crate::node::event::Notice;
use crate::node::shared::Shared;
use crate::node::stage::handlers::{Leave, Stays};

impl Reading {
    /// Where each partition is to be read from.
    pub(in crate::node) fn assign_all(&mut self, shared: &mut Shared) {
        self.assign(shared, |_| true);
    }

    fn assign(&mut self, shared: &mut Shared, which: impl Fn(&Reader) -> bool) {
        for reader in self.readers.iter_mut().filter(|reader| which(reader)) {
            let (partition, at, epoch) = reader.assign();
            shared.assign(partition);
            shared.log(LogCall::Assign { partition, at, epoch });
        }
    }

    pub(super) fn assign_one(&mut self, shared: &mut Shared, partition: Partition) {
        self.assign(shared, |reader| reader.partition == partition);
    }

    pub(super) fn assign_again(&mut self, shared: &mut Shared) {
        let now = shared.now.mono;
        self.assign(shared, |reader| reader.fetch.assign_at().is_some_and(|until| until <= now));
    }

    /// `last`: no other assignment of the partition is under way.
    pub(in crate::node) fn on_assigned(&mut self, partition: Partition, last: bool) -> Stays {
        if let Some(reader) = self.reader_if(partition)
            && last
        {
            reader.fetch = Fetch::Idle;
        }
        Ok(())
    }

    pub(in crate::node) fn on_lost(
        &mut self,
        shared: &mut Shared,
        partition: Partition,
        loss: Loss,
    ) -> Stays {
        let generation = self.generation;
        let Some(reader) = self.reader_if(partition) else {
            return Ok(());
        };
        if reader.fetch == Fetch::Assigning {
            return Ok(());
        }
        let position = reader.asked_for();
        let at_assign = position == reader.position_at_assign;
        match (loss, reader.lost_end()) {
            // What is not on disk yet is read again, and its end is then told by the leader of now.
            (Loss::Diverged, Some(Durable(false))) => {}
            (Loss::Diverged, Some(Durable(true))) => {
                shared.evidence.inexact.insert((generation, partition));
            }
            (Loss::Diverged, None) if at_assign => {
                shared.evidence.diverged.insert((generation, partition));
            }
            // What was read since is not on disk yet: where that ends may be as good as ever.
            (Loss::Diverged, None) => {}
            (Loss::OutOfRange, _) => shared.note_refused(partition, position, loss),
            // The copy is as good as it was, and reads go on.
            (Loss::UnknownEpoch, _) => {
                self.assign_later(shared, partition, position);
                return Ok(());
            }
        }
        shared.notice(Notice::PositionLost { partition, position });
        Err(Leave::Lose)
    }

    /// The log let the reader begin here, and what it has here shows another history, or another topic: the log is asked
    /// which when the copy is opened anew.
    pub(super) fn contradicted(
        &mut self,
        shared: &mut Shared,
        partition: Partition,
        Durable(durable): Durable,
    ) -> Stays {
        if durable {
            shared.evidence.diverged.insert((self.generation, partition));
        }
        let position = self.reader(partition).fetched().position;
        shared.notice(Notice::PositionLost { partition, position });
        Err(Leave::Lose)
    }

    /// A leader that has not heard of the copy's epoch is asked no more; who leads for the reader may be another by then.
    fn assign_later(&mut self, shared: &mut Shared, partition: Partition, position: Offset) {
        let before = shared.positions_refused.times(partition);
        shared.note_refused(partition, position, Loss::UnknownEpoch);
        let until = shared.now.mono + shared.limits.retry_after(before);
        self.reader(partition).fetch = Fetch::Refused { until };
    }
}
