//! Somebody who follows a watch, folds what it tells, and holds it to what it promises.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use outrigger_client::{Change, Client, Level, Revision, Store, Watch, WatchEvent, WatchPoint};
use outrigger_sim::history::{Row, Rows};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::node::STORE;

/// A task that follows a watch until it is stopped.
pub struct Follower {
    task: JoinHandle<Result<Followed>>,
    stop: Arc<watch::Sender<bool>>,
    point: watch::Receiver<Option<WatchPoint>>,
}

/// What was told.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// The state, with all changes folded over it.
    pub rows: Rows,
    /// The changes, by partition and offset, since the watch began or the state was sent again.
    pub changes: BTreeSet<(u32, u64)>,
    /// Behind all of them.
    pub point: Option<WatchPoint>,
    /// How often the state was sent again.
    pub again: usize,
    pub interruptions: usize,
}

impl Follower {
    /// Follows from what an earlier follower had, whose point the watch is to go on from; else from the state.
    pub async fn start(address: String, watch: Watch, before: Followed) -> Result<Follower> {
        let store = Client::connect(&address).await?.store(STORE).with_level(Level::Local);
        let (stop, stopped) = watch::channel(false);
        let (told, point) = watch::channel(before.point.clone());
        let watch = match &before.point {
            Some(point) => watch.from_point(point.clone()),
            None => watch,
        };
        let task = tokio::spawn(follow(store, watch, before, told, stopped));
        Ok(Follower { task, stop: Arc::new(stop), point })
    }

    /// Waits until it was told a point at or after `revisions`.
    pub async fn has(&mut self, revisions: &[Revision]) -> Result<()> {
        let includes = |point: &Option<WatchPoint>| {
            let position = |partition| {
                point.as_ref().map_or(0, |point: &WatchPoint| point.token().position(partition))
            };
            revisions.iter().all(|at| position(at.partition) > at.offset)
        };
        let within = Duration::from_secs(120);
        let reached = tokio::time::timeout(within, self.point.wait_for(includes)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            // The task has ended, and says why.
            Ok(Err(_)) => bail!("the watch has ended"),
            Err(_) => bail!("no point after {revisions:?} within {within:?}"),
        }
    }

    /// Ends it at its last point, and follows from there at another node.
    pub async fn go_to(self, address: String, watch: Watch) -> Result<Follower> {
        Follower::start(address, watch, self.stop().await?).await
    }

    /// Ends it at its last point. Returns what it was told by then.
    pub async fn stop(self) -> Result<Followed> {
        self.stop.send_replace(true);
        self.task.await.context("the follower panicked")?
    }
}

async fn follow(
    store: Store,
    watch: Watch,
    mut followed: Followed,
    told: watch::Sender<Option<WatchPoint>>,
    mut stopped: watch::Receiver<bool>,
) -> Result<Followed> {
    let mut events = store.watch(watch).await?;
    // What came since the last point.
    let mut open: Vec<Change> = Vec::new();
    loop {
        let event = tokio::select! {
            event = events.next() => event.context("a watch ends with an error")??,
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(followed),
        };
        match event {
            WatchEvent::Row(row) => {
                let offset = row.revision.offset;
                let new = Row { offset, value: row.value.to_vec() };
                ensure!(followed.rows.insert(row.key.to_vec(), new).is_none(), "a row twice");
            }
            WatchEvent::Change(change) => open.push(change),
            WatchEvent::StateEnd(point) => {
                ensure!(open.is_empty(), "changes before the end of the state");
                followed.reach(point, &told)?;
            }
            WatchEvent::Point(point) => {
                followed.take(open.drain(..))?;
                followed.reach(point, &told)?;
            }
            WatchEvent::StateAgain(_) => {
                open.clear();
                followed.rows.clear();
                followed.changes.clear();
                followed.point = None;
                followed.again += 1;
            }
            WatchEvent::Interrupted(_) => followed.interruptions += 1,
            other => bail!("{other:?}"),
        }
    }
}

impl Followed {
    fn take(&mut self, changes: impl Iterator<Item = Change>) -> Result<()> {
        let mut last = BTreeMap::new();
        for Change { key, value, revision } in changes {
            let Revision { partition, offset } = revision;
            ensure!(self.changes.insert((partition, offset)), "{partition}:{offset} twice");
            let before = last.insert(partition, offset);
            ensure!(before < Some(offset), "{partition}:{offset} comes after {before:?}");
            let covered = self.point.as_ref().map_or(0, |point| point.token().position(partition));
            ensure!(offset >= covered, "{partition}:{offset} was covered by {covered}");
            match value {
                Some(value) => {
                    self.rows.insert(key.to_vec(), Row { offset, value: value.to_vec() });
                }
                None => {
                    self.rows.remove(&key[..]);
                }
            }
        }
        Ok(())
    }

    fn reach(&mut self, point: WatchPoint, told: &watch::Sender<Option<WatchPoint>>) -> Result<()> {
        let position = |partition| point.token().position(partition);
        ensure!(
            self.changes.iter().all(|(partition, offset)| *offset < position(*partition)),
            "the point {point:?} does not cover what came before it"
        );
        self.point = Some(point.clone());
        told.send_replace(Some(point));
        Ok(())
    }
}
