//! Measures a store's restores while they run, whether somebody asks or not.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use outrigger_core::offset::Offset;
use tokio::sync::{Semaphore, oneshot};

use super::{Density, POINTS_APART_MIN, RestoreTime, Sampler, running};
use crate::runtime::StoreHandle;

/// The time before a log that could not be sampled is sampled again.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Topics that are sampled at the same time: a node with many stores must not crowd its brokers.
const SAMPLINGS_MAX: usize = 1;

pub(crate) struct Measurer {
    sampler: Sampler,
    turns: Semaphore,
}

impl Measurer {
    pub(crate) fn new(sampler: Sampler) -> Measurer {
        Measurer { sampler, turns: Semaphore::new(SAMPLINGS_MAX) }
    }

    /// Measures until the store is closed, or for ever.
    pub(crate) async fn measure(&self, store: &StoreHandle, time: &RestoreTime) {
        tokio::join!(note(store, time), self.sample(store, time));
    }

    async fn sample(&self, store: &StoreHandle, time: &RestoreTime) {
        let mut changes = store.status_changes();
        while changes.changed().await.is_ok() {
            let wanted = time.unsampled(&changes.borrow_and_update());
            let pause = match wanted {
                None => POINTS_APART_MIN,
                Some((started, ranges)) => match self.densities(store.topic(), ranges).await {
                    Some(densities) => {
                        time.sampled(started, densities);
                        POINTS_APART_MIN
                    }
                    None => AGAIN_AFTER,
                },
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Samples on a thread of its own that nobody waits for at the end: it changes nothing, and ends within seconds.
    async fn densities(&self, topic: &str, ranges: Vec<Range<Offset>>) -> Option<Vec<Density>> {
        let _turn = self.turns.acquire().await.expect("the semaphore is never closed");
        let (sampler, topic) = (self.sampler.clone(), topic.to_owned());
        let (answer, densities) = oneshot::channel();
        let sample = move || {
            // Whoever asked may be gone.
            let _gone = answer.send(sampler(&topic, &ranges));
        };
        thread::Builder::new().name("sample".to_owned()).spawn(sample).ok()?;
        densities.await.ok()?
    }
}

/// Notes the progress all the time, so that the speed is that of the last seconds even for whoever asks once.
async fn note(store: &StoreHandle, time: &RestoreTime) {
    let mut changes = store.status_changes();
    while changes.changed().await.is_ok() {
        let status = changes.borrow_and_update().clone();
        if let Some(progress) = running(&status) {
            time.estimate(&status, progress);
        }
        tokio::time::sleep(POINTS_APART_MIN).await;
    }
}
