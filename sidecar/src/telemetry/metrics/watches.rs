//! The watches of a store, and what they are sent.

use ::metrics::{Counter, Gauge, counter, gauge};
use outrigger_core::watch::point::{Lost, NoPoint};

use super::table::{WATCH_CHANGES, WATCH_STATES, WATCHES};

/// The label of a state that was not sent because something was lost.
const ASKED: &str = "asked";

const LOST: [Lost; 5] =
    [Lost::Topic, Lost::History, Lost::Horizon, Lost::Snapshot, Lost::Cursor(NoPoint::Unknown)];

fn why(lost: Lost) -> &'static str {
    match lost {
        Lost::Topic => "topic",
        Lost::History => "history",
        Lost::Horizon => "horizon",
        Lost::Snapshot => "snapshot",
        Lost::Cursor(_) => "cursor",
    }
}

/// Why a watch is sent the state, by the label's values.
pub(super) fn whys() -> impl Iterator<Item = &'static str> {
    [ASKED].into_iter().chain(LOST.map(why))
}

/// A store may be watched from now on.
pub fn begin_watched(store: &str) {
    open(store).set(0.0);
    changes(store).increment(0);
    for why in whys() {
        states(store, why).increment(0);
    }
}

/// A watch that is open as long as this lives.
pub struct OpenWatch {
    store: String,
    open: Gauge,
    changes: Counter,
}

impl OpenWatch {
    pub fn begin(store: &str) -> OpenWatch {
        let open = open(store);
        open.increment(1.0);
        OpenWatch { store: store.to_owned(), open, changes: changes(store) }
    }

    pub fn sends_changes(&self, count: usize) {
        self.changes.increment(u64::try_from(count).expect("a count fits 64 bits"));
    }

    /// `lost`: what the watch was told before; none: its caller asked for the state.
    pub fn begins_state(&self, lost: Option<Lost>) {
        states(&self.store, lost.map_or(ASKED, why)).increment(1);
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

fn open(store: &str) -> Gauge {
    gauge!(WATCHES, "store" => store.to_owned())
}

fn changes(store: &str) -> Counter {
    counter!(WATCH_CHANGES, "store" => store.to_owned())
}

fn states(store: &str, why: &'static str) -> Counter {
    counter!(WATCH_STATES, "store" => store.to_owned(), "why" => why)
}
