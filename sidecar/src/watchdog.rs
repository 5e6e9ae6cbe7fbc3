//! Notices work that does not go on: a thread that hangs in one piece of it, a write that nobody answers.
//!
//! It counts its own looks instead of time: a process that was stopped, or a machine that slept, has not worked, and
//! has not looked either.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::telemetry::metrics;
use crate::vital::{Heartbeat, Pulse};

/// Something to watch.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The name that the log, and a label of the metric, give it.
    pub name: String,
    pub worker: Worker,
    pub pulse: Pulse,
}

/// Whose work it is, which tells how long a piece of it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// The core thread.
    Core,
    /// A thread of the log's clients.
    Log,
    /// A store's disk thread.
    Disk,
    /// The oldest write of a store: its work is done when it is answered.
    Writes,
}

/// How often work is looked at, and how many looks in a row may find the same piece of it.
#[derive(Clone, Debug)]
pub struct Patience {
    pub look_every: Duration,
    pub core_looks_max: u32,
    pub log_looks_max: u32,
    pub disk_looks_max: u32,
    pub write_looks_max: u32,
}

/// Names of what does not go on.
pub type Hung = Arc<[String]>;

/// Signs of life of what keeps the stores. A clone is a reference.
#[derive(Clone, Debug)]
pub struct Signs {
    pub hung: watch::Receiver<Hung>,
    /// Of the core thread, which keeps the state of every store.
    pub core: Heartbeat,
}

pub(crate) struct Watchdog {
    patience: Patience,
    watched: Vec<(Watched, Seen)>,
}

#[derive(Default)]
struct Seen {
    piece: Option<u64>,
    looks: u32,
}

impl Patience {
    pub const PRODUCTION: Patience = Patience {
        look_every: Duration::from_secs(1),
        // It waits for nothing but its inbox.
        core_looks_max: 10,
        // They wait for librdkafka at most, which answers at once or asynchronously.
        log_looks_max: 30,
        // The longest calls wait while RocksDB merges a large copy, each with a beat while files move. One that opens a
        // copy has none: it reads the end of each file once.
        disk_looks_max: 300,
        // A delivery has its outcome within 10 seconds, a producer that is given up within 30.
        write_looks_max: 45,
    };

    fn looks_max(&self, worker: Worker) -> u32 {
        match worker {
            Worker::Core => self.core_looks_max,
            Worker::Log => self.log_looks_max,
            Worker::Disk => self.disk_looks_max,
            Worker::Writes => self.write_looks_max,
        }
    }
}

impl Watchdog {
    pub(crate) fn new(patience: Patience, watched: Vec<Watched>) -> Watchdog {
        let watched = watched.into_iter().map(|watched| (watched, Seen::default())).collect();
        Watchdog { patience, watched }
    }

    /// Watches until it is aborted.
    pub(crate) async fn run(mut self, hung: watch::Sender<Hung>) {
        let mut looks = tokio::time::interval(self.patience.look_every);
        // A stopped process makes up for nothing: that would be many looks at once.
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let now = self.look();
            hung.send_if_modified(|before| {
                let changed = **before != *now;
                tell(before, &now);
                *before = now.into();
                changed
            });
        }
    }

    fn look(&mut self) -> Vec<String> {
        let Watchdog { patience, watched } = self;
        let mut hung = Vec::new();
        for (Watched { name, worker, pulse }, seen) in watched {
            let piece = pulse.under_way();
            let same = piece.is_some() && piece == seen.piece;
            *seen = Seen { piece, looks: if same { seen.looks.saturating_add(1) } else { 0 } };
            let hangs = seen.looks >= patience.looks_max(*worker);
            metrics::hung(name, hangs);
            if hangs {
                hung.push(name.clone());
            }
        }
        hung
    }
}

fn tell(before: &[String], now: &[String]) {
    for name in now.iter().filter(|name| !before.contains(name)) {
        tracing::error!(
            hung = name,
            what_to_do = "liveness is NOT_SERVING: restart the process; what was flushed is kept",
            "work does not go on"
        );
    }
    for name in before.iter().filter(|name| !now.contains(name)) {
        tracing::warn!(hung = name, "work goes on again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchdog() -> (Watchdog, Pulse) {
        let pulse = Pulse::default();
        let watched =
            Watched { name: "core".to_owned(), worker: Worker::Core, pulse: pulse.clone() };
        let patience = Patience { core_looks_max: 3, ..Patience::PRODUCTION };
        (Watchdog::new(patience, vec![watched]), pulse)
    }

    #[test]
    fn the_same_piece_of_work_for_too_many_looks_is_named_until_it_is_done() {
        let (mut watchdog, pulse) = watchdog();
        pulse.begin();
        for look in 0..3 {
            assert!(watchdog.look().is_empty(), "look {look}");
        }
        assert_eq!(watchdog.look(), ["core"]);
        assert_eq!(watchdog.look(), ["core"]);
        pulse.begin();
        assert!(watchdog.look().is_empty(), "the next piece");
    }

    #[test]
    fn whoever_works_or_rests_is_not_named() {
        let (mut watchdog, pulse) = watchdog();
        for _ in 0..10 {
            pulse.begin();
            assert!(watchdog.look().is_empty());
        }
        pulse.rest();
        for _ in 0..10 {
            assert!(watchdog.look().is_empty());
        }
    }
}
