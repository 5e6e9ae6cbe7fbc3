//! A small application: it counts in a key of its own, reads what it and others wrote, and says so when a call fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use outrigger_client::{Level, Store};
use tokio::task::JoinHandle;

/// What is known of an application's counter over all of its lives.
#[derive(Debug, Default)]
pub(super) struct Counter {
    acknowledged: AtomicU64,
    /// At most one more: a write whose outcome nobody heard.
    tried: AtomicU64,
}

/// One life of it.
pub(super) struct Application {
    stop: Arc<AtomicBool>,
    work: JoinHandle<Result<()>>,
}

impl Counter {
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Whether the log may say this: no less than was acknowledged, no more than was tried.
    pub(super) fn allows(&self, found: u64) -> bool {
        (self.acknowledged()..=self.tried.load(Ordering::SeqCst)).contains(&found)
    }

    async fn raise(&self, store: &Store, key: &str) -> Result<()> {
        let next = self.tried.fetch_add(1, Ordering::SeqCst) + 1;
        store.put(key, next.to_string()).await.with_context(|| format!("{key}: put {next}"))?;
        self.acknowledged.store(next, Ordering::SeqCst);
        Ok(())
    }
}

impl Application {
    /// It begins at what its last life has left, and looks at what the others do.
    pub(super) fn start(
        store: Store,
        key: String,
        others: Vec<String>,
        counter: Arc<Counter>,
    ) -> Application {
        let stop = Arc::new(AtomicBool::new(false));
        let life = Life { store, key, others, counter, stop: stop.clone() };
        Application { stop, work: tokio::spawn(life.live()) }
    }

    /// SIGTERM: it writes its last state and ends. No call of its life may have failed.
    pub(super) async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        self.work.await?
    }

    /// SIGKILL.
    pub(super) fn kill(self) {
        self.work.abort();
    }
}

struct Life {
    store: Store,
    key: String,
    others: Vec<String>,
    counter: Arc<Counter>,
    stop: Arc<AtomicBool>,
}

impl Life {
    async fn live(self) -> Result<()> {
        let Life { store, key, others, counter, stop } = self;
        let latest = store.new_session().with_level(Level::Latest);
        let found = count_of(&latest, &key).await?;
        ensure!(counter.allows(found), "{key}: {found} was found, and {counter:?} was written");
        counter.tried.store(found, Ordering::SeqCst);
        counter.acknowledged.store(found, Ordering::SeqCst);
        let mut seen = vec![0; others.len()];
        while !stop.load(Ordering::SeqCst) {
            counter.raise(&store, &key).await?;
            let own = count_of(&store, &key).await?;
            ensure!(own == counter.acknowledged(), "{key}: read {own} after {counter:?}");
            for (other, before) in others.iter().zip(&mut seen) {
                let now = count_of(&store, other).await?;
                ensure!(now >= *before, "{other}: {now} after {before}, as {key} sees it");
                *before = now;
            }
        }
        counter.raise(&store, &key).await
    }
}

pub(super) async fn count_of(store: &Store, key: &str) -> Result<u64> {
    let row = store.get(key).await.with_context(|| format!("get {key}"))?;
    row.map_or(Ok(0), |row| Ok(std::str::from_utf8(&row.value)?.parse()?))
}
