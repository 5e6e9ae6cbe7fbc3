//! What callers may hold of this process's memory, all of one address together: calls that are open, requests that
//! are not whole yet or not judged, and answers that are not sent.
//!
//! A connection has a part of it at most, so that one caller who sends much and takes nothing leaves room for others.
//! Calls of those whom no rule of access knows have a small room of their own, all of them together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one address, once for calls and once for what they carry: whoever fills one with unread answers must not
/// keep others from asking.
const ROOM_BYTES: u32 = 32 * MIB;

/// Bytes of one connection, once for each of the two.
const SHARE_BYTES: u32 = 8 * MIB;

/// Bytes of all calls of one address that nobody is known to have made, once for each of the two. There is room
/// for 128 of them.
const STRANGERS_BYTES: u32 = MIB;

const MIB: u32 = 1024 * 1024;

/// Scans of one address that are open at the same time. Each pins a snapshot, which keeps RocksDB from freeing what it
/// replaces, and has a batch of rows in memory.
const SCANS_MAX: usize = 64;

/// Watches of one address that are open at the same time. One that nobody reads keeps a batch of changes in memory, which may
/// have left the ring, and messages of it.
pub(super) const WATCHES_MAX: usize = 256;

/// Calls of one connection that ask how this node is, and are answered when there is no room for calls.
const PROBES_MAX: usize = 4;

pub(super) struct Room {
    calls: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    strangers: Strangers,
}

/// What one connection may hold of a room. A clone is a reference to the same.
#[derive(Clone)]
pub(super) struct Share {
    calls: Part,
    bytes: Part,
    strangers: Strangers,
    scans: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    probes: Arc<Semaphore>,
}

/// What calls of nobody who is known may hold.
#[derive(Clone)]
struct Strangers {
    calls: Part,
    bytes: Part,
}

#[derive(Clone)]
struct Part {
    own: Arc<Semaphore>,
    /// Bytes of `own` when nobody holds any.
    own_bytes: u32,
    all: Arc<Semaphore>,
}

/// Room that is given back when this is dropped.
pub(super) struct Held {
    _own: OwnedSemaphorePermit,
    /// None: it is of the connection's share alone.
    _all: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(super) fn new() -> Room {
        Room {
            calls: semaphore(ROOM_BYTES),
            bytes: semaphore(ROOM_BYTES),
            scans: Arc::new(Semaphore::new(SCANS_MAX)),
            watches: Arc::new(Semaphore::new(WATCHES_MAX)),
            strangers: Strangers {
                calls: Part::whole(STRANGERS_BYTES),
                bytes: Part::whole(STRANGERS_BYTES),
            },
        }
    }

    pub(super) fn share(&self) -> Share {
        Share {
            calls: Part::of(&self.calls),
            bytes: Part::of(&self.bytes),
            strangers: self.strangers.clone(),
            scans: self.scans.clone(),
            watches: self.watches.clone(),
            probes: Arc::new(Semaphore::new(PROBES_MAX)),
        }
    }
}

impl Share {
    /// Returns the room of the connection's calls that nobody is known to have made.
    pub(super) fn of_strangers(&self) -> Share {
        let Strangers { calls, bytes } = self.strangers.clone();
        Share { calls, bytes, ..self.clone() }
    }

    /// Takes room for an open call. None: there is no room now.
    pub(super) fn try_call(&self, bytes: usize) -> Option<Held> {
        self.calls.try_hold(bytes)
    }

    /// Takes room for a call that asks how this node is, which must be told even when there is no room for calls. None:
    /// the connection has several open.
    pub(super) fn try_probe(&self) -> Option<Held> {
        let own = self.probes.clone().try_acquire_owned().ok()?;
        Some(Held { _own: own, _all: None })
    }

    /// Takes a place for a scan. None: as many as may be are open.
    pub(super) fn try_scan(&self) -> Option<OwnedSemaphorePermit> {
        self.scans.clone().try_acquire_owned().ok()
    }

    /// Takes a place for a watch. None: as many as may be are open.
    pub(super) fn try_watch(&self) -> Option<OwnedSemaphorePermit> {
        self.watches.clone().try_acquire_owned().ok()
    }

    /// Takes room for what calls carry. None: there is no room now.
    pub(super) fn try_hold(&self, bytes: usize) -> Option<Held> {
        self.bytes.try_hold(bytes)
    }

    /// Waits for room, in the order of asking.
    pub(super) async fn hold(self, bytes: usize) -> Held {
        const OPEN: &str = "the semaphore is never closed";
        let permits = self.bytes.permits(bytes);
        let own = self.bytes.own.acquire_many_owned(permits).await.expect(OPEN);
        let all = self.bytes.all.acquire_many_owned(permits).await.expect(OPEN);
        Held { _own: own, _all: Some(all) }
    }
}

impl Part {
    fn of(all: &Arc<Semaphore>) -> Part {
        Part { own: semaphore(SHARE_BYTES), own_bytes: SHARE_BYTES, all: all.clone() }
    }

    /// A part of nothing larger.
    fn whole(bytes: u32) -> Part {
        Part { own: semaphore(bytes), own_bytes: bytes, all: semaphore(bytes) }
    }

    fn try_hold(&self, bytes: usize) -> Option<Held> {
        let permits = self.permits(bytes);
        let own = self.own.clone().try_acquire_many_owned(permits).ok()?;
        let all = self.all.clone().try_acquire_many_owned(permits).ok()?;
        Some(Held { _own: own, _all: Some(all) })
    }

    /// Returns the permits for this many bytes. What is larger than the whole part goes alone.
    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.own_bytes)
    }
}

fn semaphore(bytes: u32) -> Arc<Semaphore> {
    let permits = usize::try_from(bytes).expect("usize holds 32 bits on every supported platform");
    Arc::new(Semaphore::new(permits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(bytes: u32) -> usize {
        usize::try_from(bytes).expect("small")
    }

    #[test]
    fn one_connection_leaves_room_for_others_and_all_together_are_bounded() {
        let room = Room::new();
        let shares: Vec<Share> = (0..ROOM_BYTES / SHARE_BYTES + 1).map(|_| room.share()).collect();
        let first = shares[0].try_hold(bytes(SHARE_BYTES)).expect("nobody else is here");
        assert!(shares[0].try_hold(1).is_none(), "it has its part");
        assert!(shares[1].try_hold(bytes(SHARE_BYTES)).is_some(), "others have theirs");
        let rest: Vec<Held> =
            shares[1..].iter().filter_map(|share| share.try_hold(bytes(SHARE_BYTES))).collect();
        assert_eq!(rest.len() + 1, bytes(ROOM_BYTES / SHARE_BYTES));
        let last = shares.last().expect("there are some");
        assert!(last.try_hold(1).is_none(), "all is taken");
        assert!(last.try_call(1).is_some(), "and yet others may ask");
        drop(first);
        assert!(last.try_hold(1).is_some());
    }

    #[tokio::test]
    async fn strangers_have_a_little_room_of_their_own() {
        let room = Room::new();
        let (one, other) = (room.share().of_strangers(), room.share());
        let held = one.clone().hold(usize::MAX).await;
        assert!(other.of_strangers().try_hold(1).is_none(), "it is that of all connections");
        assert!(other.try_hold(bytes(SHARE_BYTES)).is_some(), "nothing of it is others'");
        let calls = std::iter::from_fn(|| one.try_call(8 * 1024)).collect::<Vec<_>>();
        assert_eq!(calls.len(), bytes(STRANGERS_BYTES) / (8 * 1024));
        assert!(other.try_call(1).is_some());
        drop(held);
        assert!(other.of_strangers().try_hold(1).is_some());
    }

    #[test]
    fn a_connection_may_always_ask_how_the_node_is() {
        let share = Room::new().share();
        let _calls = share.try_call(bytes(SHARE_BYTES)).expect("nobody else is here");
        assert!(share.try_call(1).is_none());
        let probes: Vec<Held> = std::iter::from_fn(|| share.try_probe()).collect();
        assert_eq!(probes.len(), PROBES_MAX);
    }

    #[tokio::test]
    async fn what_is_larger_than_a_share_goes_alone() {
        let share = Room::new().share();
        let held = share.clone().hold(usize::MAX).await;
        assert!(share.try_hold(1).is_none());
        drop(held);
        assert!(share.try_hold(1).is_some());
    }
}
