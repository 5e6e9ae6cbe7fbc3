//! The fetches of copies from peers: a task each, one per store at most, answered exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use outrigger_core::peer::{PeerCall, PeerEvent};
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::inbox::Input;
use crate::index::StoreIndex;
use crate::peer::{Report, Taken, Taker, Wanted};

/// The core thread's side.
pub(super) struct Peers {
    taker: Option<Taker>,
    inbox: Sender<Input>,
    runtime: Handle,
    tasks: TaskTracker,
    ending: CancellationToken,
    running: BTreeMap<StoreIndex, CancellationToken>,
}

/// The owner's side. When it is dropped, all fetches end soon, and the next process resumes them with what they have.
pub(super) struct Fetches {
    tasks: TaskTracker,
    ending: DropGuard,
}

impl Default for Fetches {
    fn default() -> Fetches {
        Fetches { tasks: TaskTracker::new(), ending: CancellationToken::new().drop_guard() }
    }
}

impl Fetches {
    /// Ends all fetches. When it returns, nobody writes to the data directory any more.
    pub(super) async fn end(self) {
        let Fetches { tasks, ending } = self;
        drop(ending);
        tasks.close();
        tasks.wait().await;
    }
}

impl Peers {
    /// It must be called on a tokio runtime.
    pub(super) fn new(taker: Option<Taker>, inbox: Sender<Input>, fetches: &Fetches) -> Peers {
        let (tasks, ending) = (fetches.tasks.clone(), fetches.ending.token().clone());
        Peers { taker, inbox, runtime: Handle::current(), tasks, ending, running: BTreeMap::new() }
    }

    pub(super) fn call(&mut self, store: StoreIndex, call: PeerCall) {
        match call {
            PeerCall::Fetch { generation, identity, suspects } => {
                self.fetch(store, Wanted { generation, identity, suspects });
            }
            PeerCall::Cancel => {
                if let Some(cancel) = self.running.get(&store) {
                    cancel.cancel();
                }
            }
        }
    }

    fn fetch(&mut self, store: StoreIndex, wanted: Wanted) {
        let generation = wanted.generation;
        let taker = self.taker.clone().expect("only a node with peers asks one");
        let cancel = self.ending.child_token();
        self.running.insert(store, cancel.clone());
        let inbox = self.inbox.clone();
        let told = inbox.clone();
        let report: Report = Arc::new(move |transfer| {
            // The core may have ended before.
            let _ended = told.send(Input::Peer(store, PeerEvent::Progress(transfer)));
        });
        // The fetch is a task of its own: a panic in it must not take the answer with it.
        let taking = async move { taker.take(wanted, report, &cancel).await };
        let taking = self.tasks.spawn_on(taking, &self.runtime);
        let answering = async move {
            let event = match taking.await {
                Ok(Ok(Taken { peer, delete_retention_ms_min })) => {
                    PeerEvent::Fetched { generation, peer, delete_retention_ms_min }
                }
                Ok(Err(error)) => PeerEvent::Failed { generation, detail: error.to_string() },
                Err(defect) => PeerEvent::Failed { generation, detail: defect.to_string() },
            };
            let _ended = inbox.send(Input::Peer(store, event));
        };
        self.tasks.spawn_on(answering, &self.runtime);
    }
}
