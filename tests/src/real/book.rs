//! What all callers of a plan did and were told, and what their sessions have seen, by one clock.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outrigger_client::{Store, Token};
use outrigger_sim::history::{Call, History, StaleLeader, Told};

/// What an old leader was still asked is answered within this time after its return.
const STALE_AFTER: Duration = Duration::from_secs(5);

pub(super) struct Book {
    /// Guards everything that must be one step: what a session has seen is noted as it is told. The lock is never held
    /// over an await; no other lock is taken under it.
    pages: Mutex<Pages>,
    began: Instant,
}

#[derive(Default)]
struct Pages {
    history: History,
    /// The plan's operation behind each of the history's.
    plan: Vec<u32>,
    sessions: BTreeMap<u32, Session>,
    next_session: u32,
    stale: Vec<(u64, u64)>,
    lost_sessions: usize,
}

/// The session of one of the plan's clients.
struct Session {
    number: u32,
    /// It remembers what was seen, and is asked for nothing else.
    seen: Option<Store>,
}

/// A call that was invoked.
#[must_use = "who asked wants to be told"]
pub(super) struct Asked {
    operation: usize,
    session: u32,
}

impl Book {
    pub(super) fn begin() -> Book {
        Book { pages: Mutex::default(), began: Instant::now() }
    }

    pub(super) fn since(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn at(&self, time: Duration) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.began + time)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        nanoseconds(self.began.elapsed())
    }

    /// Notes calls. `store` continues the client's session from here on; `calls` are made of what that has seen.
    pub(super) fn ask(
        &self,
        (operation, client, node): (u32, u32, usize),
        store: &Store,
        calls: impl FnOnce(Option<&Token>) -> Vec<Call>,
    ) -> Vec<Asked> {
        let mut pages = self.pages();
        let session = pages.session(client);
        let seen = session.seen.get_or_insert_with(|| store.new_session()).token();
        if let Some(token) = &seen {
            store.resume(token.clone()).expect("a new session takes any token");
        }
        let session = session.number;
        let calls = calls(seen.as_ref());
        calls
            .into_iter()
            .map(|call| self.invoke(&mut pages, operation, session, node, call))
            .collect()
    }

    /// Notes a call outside of any session.
    pub(super) fn ask_alone(&self, operation: u32, node: usize, call: Call) -> Asked {
        let mut pages = self.pages();
        let session = pages.next_session;
        pages.next_session += 1;
        self.invoke(&mut pages, operation, session, node, call)
    }

    fn invoke(
        &self,
        pages: &mut Pages,
        operation: u32,
        session: u32,
        node: usize,
        call: Call,
    ) -> Asked {
        let node = u32::try_from(node).expect("a plan has few nodes");
        pages.plan.push(operation);
        Asked { operation: pages.history.invoke(session, node, call, self.now()), session }
    }

    /// Notes the answer, and what the client has seen with it.
    pub(super) fn tell(&self, asked: &Asked, told: Told, client: u32, seen: Option<Token>) {
        let mut pages = self.pages();
        let session = pages.session(client);
        if let (Some(token), Some(store)) = (seen, &session.seen)
            && session.number == asked.session
        {
            store.resume(token).expect("a plan has one topic");
        }
        let now = self.now();
        pages.history.complete(asked.operation, now, told);
    }

    pub(super) fn tell_alone(&self, asked: &Asked, told: Told) {
        let mut pages = self.pages();
        let now = self.now();
        pages.history.complete(asked.operation, now, told);
    }

    /// Ends the client's session: what it has seen is refused for good.
    pub(super) fn lose_session(&self, client: u32) {
        let mut pages = self.pages();
        pages.sessions.remove(&client);
        pages.lost_sessions += 1;
    }

    /// Notes that some leader did not know that it was none from `began` until now.
    pub(super) fn stale_leader(&self, began: Duration) {
        let until = nanoseconds(self.began.elapsed() + STALE_AFTER);
        self.pages().stale.push((nanoseconds(began), until));
    }

    pub(super) fn stale_leaders(&self, partitions: u32) -> Vec<StaleLeader> {
        let pages = self.pages();
        let each = pages.stale.iter().flat_map(|&(from, until)| {
            (0..partitions).map(move |partition| StaleLeader { partition, from, until })
        });
        each.collect()
    }

    pub(super) fn lost_sessions(&self) -> usize {
        self.pages().lost_sessions
    }

    /// The history, and the plan's operation behind each of its own.
    pub(super) fn close(&self) -> (History, Vec<u32>) {
        let pages = self.pages();
        (pages.history.clone(), pages.plan.clone())
    }
}

impl Pages {
    fn session(&mut self, client: u32) -> &mut Session {
        let next = &mut self.next_session;
        self.sessions.entry(client).or_insert_with(|| {
            *next += 1;
            Session { number: *next - 1, seen: None }
        })
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a test takes no centuries")
}
