//! What may be under way in one store at the same time: the bound of the core's inbox.
//!
//! Writes are counted in bytes, waiting reads by number. Single calls and streams have separate room:
//! a stream fills whatever it is given, and single calls must not starve beside it.

use std::sync::Arc;

use outrigger_core::limits::Limits;
use outrigger_core::node::Change;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of the writes of all stores that were accepted and not answered yet. librdkafka's own queue is as large: what
/// is admitted here is not refused there.
pub const WRITE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes that a write costs beside its key and value: its place in queues and maps, here and in librdkafka.
const CHANGE_BYTES: usize = 256;

pub(super) struct Admission {
    calls: Bytes,
    streams: Bytes,
    awaits: Arc<Semaphore>,
}

/// Kept with a command until it is answered.
pub(super) struct Permit {
    _held: OwnedSemaphorePermit,
}

struct Bytes {
    semaphore: Arc<Semaphore>,
    max: u32,
}

impl Admission {
    /// Makes the share of one store in a process with this many of them.
    pub(super) fn new(stores: usize, limits: &Limits) -> Admission {
        let share = WRITE_BYTES_MAX / stores.max(1) / 2;
        Admission {
            calls: Bytes::new(share),
            streams: Bytes::new(share),
            awaits: Arc::new(Semaphore::new(limits.awaits_max)),
        }
    }

    /// Takes room for a single call, if there is any.
    pub(super) fn call(&self, changes: &[Change]) -> Option<Permit> {
        self.calls.try_acquire(changes)
    }

    /// Takes room for a part of a stream; waits for it, in the order of asking.
    pub(super) async fn stream(&self, changes: &[Change]) -> Permit {
        self.streams.acquire(changes).await
    }

    /// Takes room for a read that waits, if there is any.
    pub(super) fn wait(&self) -> Option<Permit> {
        self.awaits.clone().try_acquire_owned().ok().map(|held| Permit { _held: held })
    }
}

impl Bytes {
    fn new(max: usize) -> Bytes {
        let max = u32::try_from(max).expect("WRITE_BYTES_MAX is below 2^32");
        let permits =
            usize::try_from(max).expect("usize holds 32 bits on every supported platform");
        Bytes { semaphore: Arc::new(Semaphore::new(permits)), max }
    }

    fn try_acquire(&self, changes: &[Change]) -> Option<Permit> {
        let held = self.semaphore.clone().try_acquire_many_owned(self.cost(changes)).ok()?;
        Some(Permit { _held: held })
    }

    async fn acquire(&self, changes: &[Change]) -> Permit {
        let held = self.semaphore.clone().acquire_many_owned(self.cost(changes)).await;
        Permit { _held: held.expect("the semaphore is never closed") }
    }

    /// Returns the permits that the changes need. What is larger than all the room goes alone.
    fn cost(&self, changes: &[Change]) -> u32 {
        let bytes: usize = changes.iter().map(change_bytes).sum();
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.max)
    }
}

fn change_bytes(change: &Change) -> usize {
    change.key.len() + change.value.as_ref().map_or(0, bytes::Bytes::len) + CHANGE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(value_bytes: usize) -> Vec<Change> {
        vec![Change { key: "key".into(), value: Some(vec![0; value_bytes].into()) }]
    }

    #[tokio::test]
    async fn a_full_store_refuses_calls_until_an_answer_makes_room() {
        let admission = Admission::new(64, &Limits::PRODUCTION);
        let held = admission.call(&change(900_000)).expect("an empty store has room");
        assert!(admission.call(&change(900_000)).is_none());
        drop(held);
        assert!(admission.call(&change(900_000)).is_some());
    }

    #[tokio::test]
    async fn a_stream_leaves_room_for_calls() {
        let admission = Admission::new(64, &Limits::PRODUCTION);
        let _stream = admission.stream(&change(10_000_000)).await;
        assert!(admission.call(&change(900_000)).is_some());
    }

    #[tokio::test]
    async fn what_is_larger_than_all_the_room_goes_alone() {
        let admission = Admission::new(64, &Limits::PRODUCTION);
        let held = admission.call(&change(900_000)).expect("it is below the bound of a value");
        assert!(admission.call(&change(1)).is_none());
        drop(held);
        assert!(admission.call(&change(1)).is_some());
    }

    #[tokio::test]
    async fn waiting_reads_are_counted() {
        let limits = Limits { awaits_max: 1, ..Limits::PRODUCTION };
        let admission = Admission::new(1, &limits);
        let held = admission.wait();
        assert!(held.is_some() && admission.wait().is_none());
    }
}
