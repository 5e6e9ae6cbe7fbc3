//! What nodes come to while nobody asks: restoring, ready, refused.

use std::collections::BTreeMap;

use indicatif::HumanCount;
use outrigger_core::node::Status;
use outrigger_core::phase::Phase;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::cluster::NodeNumber;
use crate::runtime::StoreHandle;

/// Lines that wait to be printed; a node that waits for room merely tells the newest state later.
const LINES_MAX: usize = 16;

pub(super) struct News {
    sender: mpsc::Sender<String>,
    lines: mpsc::Receiver<String>,
    followed: BTreeMap<String, AbortHandle>,
}

impl News {
    pub(super) fn new() -> News {
        let (sender, lines) = mpsc::channel(LINES_MAX);
        News { sender, lines, followed: BTreeMap::new() }
    }

    pub(super) async fn next(&mut self) -> String {
        self.lines.recv().await.expect("a sender is kept beside the receiver")
    }

    /// Follows a node that was just started.
    pub(super) fn follow(&mut self, number: NodeNumber, store: StoreHandle) {
        let task = tokio::spawn(follow(number, store, self.sender.clone()));
        self.followed.insert(number.to_string(), task.abort_handle());
    }

    /// Forgets a node: what it was before it was stopped is no news any more.
    pub(super) fn forget(&mut self, number: NodeNumber) {
        if let Some(task) = self.followed.remove(&number.to_string()) {
            task.abort();
        }
    }
}

async fn follow(number: NodeNumber, store: StoreHandle, lines: mpsc::Sender<String>) {
    let started = Instant::now();
    let mut changes = store.status_changes();
    let mut told = None;
    loop {
        let line = line(&changes.borrow_and_update(), started);
        if let Some((phase, line)) = line
            && told.replace(phase) != Some(phase)
            && lines.send(format!("node {number}  {line}")).await.is_err()
        {
            return;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Returns a line with the name of the phase. A node that catches up is about to be READY again, which is not news.
fn line(status: &Status, started: Instant) -> Option<(&'static str, String)> {
    let phase = &status.phase;
    let text = match phase {
        Phase::Opening | Phase::CatchingUp | Phase::Stopped => return None,
        Phase::Restoring(_) | Phase::Refused(_) => phase.to_string(),
        Phase::Ready => {
            let records = status.progress.as_ref().map_or(0, |progress| progress.records);
            let seconds = started.elapsed().as_secs_f64();
            format!("READY {seconds:.1} s after its start, {} records read", HumanCount(records))
        }
    };
    Some((phase.name(), text))
}
