//! Measures the restores of a node while they run, whether somebody asks or not.

use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use outrigger_core::offset::Offset;
use tokio::sync::{Semaphore, oneshot};

use super::progress::{self, POINTS_APART_MIN};
use super::stores::Stores;
use crate::profile::{Profile, Profiler};

/// Before a log that could not be profiled is looked into again.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Topics that are profiled at the same time: a node with many stores must not crowd its brokers.
const PROFILES_MAX: usize = 1;

pub(super) struct Measurer {
    stores: Stores,
    profiler: Profiler,
    turns: Semaphore,
}

impl Measurer {
    pub(super) fn new(stores: Stores, profiler: Profiler) -> Measurer {
        Measurer { stores, profiler, turns: Semaphore::new(PROFILES_MAX) }
    }

    /// Until the stores are closed, or for ever.
    pub(super) async fn measure(self: Arc<Measurer>, store: usize) {
        tokio::join!(self.note(store), self.profile(store));
    }

    /// The rate is that of the last seconds also for whoever asks once.
    async fn note(&self, store: usize) {
        let store = &self.stores.all()[store];
        let mut changes = store.handle.status_changes();
        while changes.changed().await.is_ok() {
            let status = changes.borrow_and_update().clone();
            if let Some(progress) = progress::running(&status) {
                store.rate.progress(&status, progress, 0);
            }
            tokio::time::sleep(POINTS_APART_MIN).await;
        }
    }

    async fn profile(&self, store: usize) {
        let store = &self.stores.all()[store];
        let mut changes = store.handle.status_changes();
        while changes.changed().await.is_ok() {
            let wanted = store.rate.unprofiled(&changes.borrow_and_update());
            let pause = match wanted {
                None => POINTS_APART_MIN,
                Some((started, ranges)) => match self.look(store.handle.topic(), ranges).await {
                    Some(profiles) => {
                        store.rate.profiled(started, profiles);
                        POINTS_APART_MIN
                    }
                    None => AGAIN_AFTER,
                },
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// On a thread of its own that nobody waits for at the end: it changes nothing, and ends within seconds.
    async fn look(&self, topic: &str, ranges: Vec<Range<Offset>>) -> Option<Vec<Profile>> {
        let _turn = self.turns.acquire().await.expect("the semaphore is never closed");
        let (profiler, topic) = (self.profiler.clone(), topic.to_owned());
        let (answer, profiles) = oneshot::channel();
        let look = move || {
            // Whoever asked may be gone.
            let _gone = answer.send(profiler(&topic, &ranges));
        };
        thread::Builder::new().name("profile".to_owned()).spawn(look).ok()?;
        profiles.await.ok()?
    }
}
