//! Appends that are kept back while no broker can be reached.
//!
//! librdkafka gives up a record that it has taken only after its delivery timeout. If the caller loses patience earlier,
//! all that can be told is "unknown". What is kept here has provably not left this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use outrigger_core::log::Write;
use outrigger_core::offset::RequestId;

use super::settings::HOLD_MAX;
use crate::index::StoreIndex;

/// A caller's appends have ascending ids, so that this is also their order. Admission bounds what is in here.
#[derive(Debug, Default)]
pub(super) struct Held {
    appends: BTreeMap<Name, Append>,
    /// No append is overdue before this.
    due: Option<Instant>,
}

pub(super) type Name = (StoreIndex, RequestId);

#[derive(Debug)]
struct Append {
    writes: Arc<[Write]>,
    until: Instant,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty()
    }

    pub(super) fn keep(&mut self, name: Name, writes: Arc<[Write]>, now: Instant) {
        let until = now + HOLD_MAX;
        self.due = Some(self.due.map_or(until, |due| due.min(until)));
        let before = self.appends.insert(name, Append { writes, until });
        assert!(before.is_none(), "an append is called once: {name:?}");
    }

    /// Gives an append up. Returns how many records it would have written; none when it is not in here.
    pub(super) fn give_up(&mut self, name: Name) -> Option<usize> {
        self.appends.remove(&name).map(|append| append.writes.len())
    }

    /// When `overdue` returns something, at the earliest.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes out the appends that have waited as long as librdkafka would have tried.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<(Name, usize)> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let late = self.appends.extract_if(.., |_, append| append.until <= now);
        let late = late.map(|(name, append)| (name, append.writes.len())).collect();
        self.due = self.appends.values().map(|append| append.until).min();
        late
    }

    /// Takes out all appends, in the order of the calls.
    pub(super) fn release(&mut self) -> impl Iterator<Item = (Name, Arc<[Write]>)> + use<> {
        self.due = None;
        std::mem::take(&mut self.appends).into_iter().map(|(name, append)| (name, append.writes))
    }
}

#[cfg(test)]
mod tests {
    use outrigger_core::offset::Partition;

    use super::*;

    fn name(id: u64) -> Name {
        (StoreIndex(0), RequestId(id))
    }

    fn writes(count: usize) -> Arc<[Write]> {
        let key = bytes::Bytes::from_static(b"key");
        vec![Write { partition: Partition(0), key, value: None }; count].into()
    }

    #[test]
    fn what_was_kept_leaves_in_order_or_is_given_up_once() {
        let (mut held, now) = (Held::default(), Instant::now());
        for id in [1, 2, 3] {
            held.keep(name(id), writes(1), now);
        }
        assert_eq!((held.give_up(name(2)), held.give_up(name(2))), (Some(1), None));
        let released: Vec<_> = held.release().map(|(name, _)| name).collect();
        assert_eq!(released, [name(1), name(3)]);
        assert!(held.is_empty() && held.due().is_none());
    }

    #[test]
    fn nothing_is_kept_longer_than_it_would_be_tried() {
        let (mut held, now) = (Held::default(), Instant::now());
        let later = now + HOLD_MAX / 2;
        held.keep(name(1), writes(2), now);
        held.keep(name(2), writes(1), later);
        assert_eq!(held.due(), Some(now + HOLD_MAX));
        assert_eq!(held.overdue(later), []);
        assert_eq!(held.overdue(now + HOLD_MAX), [(name(1), 2)]);
        assert_eq!(held.due(), Some(later + HOLD_MAX));
        assert_eq!(held.overdue(later + HOLD_MAX), [(name(2), 1)]);
        assert_eq!((held.due(), held.is_empty()), (None, true));
    }
}
