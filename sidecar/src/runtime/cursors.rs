//! Cursors of a store: what the log keeps, judged by core beside this node's copy.
//!
//! Who commits the same cursor through this node does so one after the other. Between nodes nothing is held from reading what
//! is kept to committing over it, because Kafka gives nothing to hold: of two who commit at the same time either may be last.
//! So a cursor may go back, and then changes come again; none is left out.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use outrigger_core::gate::{Rejection, Until};
use outrigger_core::offset::{Offset, Partition};
use outrigger_core::watch::cursor::{self, Committed, Cursor, CursorName, Verdict};
use outrigger_core::watch::point::{Lost, Point};
use outrigger_core::watch::sight::Sight;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::clock;
use super::handle::StoreHandle;
use crate::log::{Cursors, CursorsError};

/// Cursors that are told at once.
const LISTED_MAX: usize = 1_000;

/// Questions about them at the same time.
const ASKED_AT_ONCE: usize = 32;

/// How long a cursor waits for its commits before it is deleted.
const DELETE_WAIT: Duration = Duration::from_secs(10);

/// How long the keeping alive of a store's cursors waits for a copy that is not there yet: it comes again.
const KEEP_WAIT: Duration = Duration::from_secs(1);

/// Names take turns in this many rows, so that few wait for another name.
const TURNS: usize = 64;

/// Whose turn it is to change a cursor.
pub(super) struct Turns([Mutex<()>; TURNS]);

impl Default for Turns {
    fn default() -> Turns {
        Turns(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Turns {
    fn of(&self, name: &CursorName) -> &Mutex<()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let rows = u64::try_from(TURNS).expect("64 bits hold it");
        &self.0[usize::try_from(hasher.finish() % rows).expect("it is below the number of rows")]
    }
}

/// A cursor from which a watch can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorShown {
    pub cursor: Cursor,
    /// Offsets between it and this node's copy.
    pub behind: u64,
}

/// The cursors of a store, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub cursors: Vec<(CursorName, Result<CursorShown, Lost>)>,
    /// Whether there are more.
    pub more: bool,
}

/// Why nothing is told of a cursor, or nothing was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorFailure {
    /// The copy does not admit it.
    Rejected(Rejection),
    /// No watch could go on from the point.
    Lost(Lost),
    /// The point is below what is kept.
    Back { partition: Partition, position: Offset, kept: Offset },
    /// Nothing was to be changed yet.
    Asking(CursorsError),
    /// It may have happened, if the error does not say otherwise.
    Changing(CursorsError),
    /// The log of this node keeps no cursors.
    NoCursors,
}

impl From<Rejection> for CursorFailure {
    fn from(rejection: Rejection) -> CursorFailure {
        CursorFailure::Rejected(rejection)
    }
}

impl From<CursorsError> for CursorFailure {
    fn from(error: CursorsError) -> CursorFailure {
        CursorFailure::Asking(error)
    }
}

impl StoreHandle {
    /// Returns a cursor, once the copy admits reads: it waits no longer than `wait` for that.
    pub async fn cursor(
        &self,
        name: &CursorName,
        wait: Duration,
    ) -> Result<Result<CursorShown, Lost>, CursorFailure> {
        let until = Instant::now() + wait;
        let committed = self.cursors()?.committed(self.door.index, &self.group(name)).await?;
        Ok(self.sighted(until, |sight| shown(&committed, sight)).await?)
    }

    /// Returns it once the copy has come to it, or the log has told that it does not reach so far; as it is, where that takes
    /// longer than `wait`.
    pub async fn cursor_reached(
        &self,
        name: &CursorName,
        wait: Duration,
    ) -> Result<Result<CursorShown, Lost>, CursorFailure> {
        let until = Instant::now() + wait;
        loop {
            let committed = self.cursors()?.committed(self.door.index, &self.group(name)).await?;
            let look = |sight: &Sight<'_>| {
                let shown = shown(&committed, sight)?;
                Ok((cursor::is_ahead(&shown.cursor.point, sight), shown))
            };
            let shown = match self.sighted(until, look).await? {
                Ok((true, shown)) => shown,
                Ok((false, shown)) => return Ok(Ok(shown)),
                Err(lost) => return Ok(Err(lost)),
            };
            match self.await_point(&shown.cursor.point, until).await {
                Ok(()) => {}
                Err(CursorFailure::Lost(why)) => return Ok(Err(why)),
                Err(CursorFailure::Rejected(
                    Rejection::Deadline { .. } | Rejection::Overloaded,
                )) => return Ok(Ok(shown)),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The same of all of them.
    pub async fn list_cursors(&self, wait: Duration) -> Result<Listed, CursorFailure> {
        let until = Instant::now() + wait;
        let mut names = self.names().await?;
        let more = names.len() > LISTED_MAX;
        names.truncate(LISTED_MAX);
        let committed = self.committed(names).await?;
        let shown = |sight: &Sight<'_>| {
            let each = committed.iter().map(|(name, kept)| (name.clone(), shown(kept, sight)));
            each.collect()
        };
        Ok(Listed { cursors: self.sighted(until, shown).await?, more })
    }

    /// Keeps `point` under a name. One that the copy has not reached is waited for, for `wait` at most.
    pub async fn commit_cursor(
        &self,
        name: &CursorName,
        point: Point,
        wait: Duration,
    ) -> Result<(), CursorFailure> {
        let (until, group) = (Instant::now() + wait, self.group(name));
        let (cursors, store) = (self.cursors()?, self.door.index);
        // What was kept, and the log does not have.
        let mut lost = None;
        loop {
            let turn = self.turn(name, until).await?;
            let kept = cursors.committed(store, &group).await?;
            let judge = |sight: &Sight<'_>| {
                let kept = read(&kept, sight).and_then(|kept| match &lost {
                    Some((point, why)) if *point == kept.point => Err(*why),
                    Some(_) | None => Ok(kept),
                });
                cursor::judge_commit(&point, &kept, sight)
            };
            match self.sighted(until, judge).await? {
                Verdict::Commit => {
                    let cursor = Cursor { point, committed_at_ms: clock::now().wall_ms };
                    let committing = cursors.commit(store, &group, cursor.committed());
                    return committing.await.map_err(CursorFailure::Changing);
                }
                Verdict::Wait => {
                    drop(turn);
                    self.await_point(&point, until).await?;
                }
                Verdict::WaitForKept(kept) => {
                    drop(turn);
                    match self.await_point(&kept, until).await {
                        Err(CursorFailure::Lost(why)) => lost = Some((kept, why)),
                        waited => waited?,
                    }
                }
                Verdict::Lost(why) => return Err(CursorFailure::Lost(why)),
                Verdict::Back { partition, position, kept } => {
                    return Err(CursorFailure::Back { partition, position, kept });
                }
            }
        }
    }

    /// Forgets a cursor, whether or not there is one.
    pub async fn delete_cursor(&self, name: &CursorName) -> Result<(), CursorFailure> {
        let (cursors, group, store) = (self.cursors()?, self.group(name), self.door.index);
        let _turn = self.turn(name, Instant::now() + DELETE_WAIT).await?;
        let kept = cursors.committed(store, &group).await?;
        // The group may have more, in topics of others.
        let partitions: Vec<_> = kept.iter().map(|committed| committed.partition).collect();
        if partitions.is_empty() {
            return Ok(());
        }
        cursors.delete(store, &group, partitions).await.map_err(CursorFailure::Changing)
    }

    /// Commits anew, unchanged, what nobody has committed for a day before `now_ms`, so that Kafka does not forget it. What
    /// is lost is left to be forgotten. Returns how many there were.
    pub async fn keep_cursors(&self, now_ms: u64) -> Result<usize, CursorFailure> {
        if self.door.cursors.is_none() {
            return Ok(0);
        }
        let (mut count, mut failed) = (0, None);
        for name in self.names().await? {
            match self.keep_cursor(&name, now_ms).await {
                Ok(kept) => count += usize::from(kept),
                // A group that has members is not forgotten.
                Err(CursorFailure::Changing(CursorsError::InUse { .. })) => {}
                // The others do not suffer for it.
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        failed.map_or(Ok(count), Err)
    }

    /// Whether it was committed anew.
    async fn keep_cursor(&self, name: &CursorName, now_ms: u64) -> Result<bool, CursorFailure> {
        let (cursors, group) = (self.cursors()?, self.group(name));
        let until = Instant::now() + KEEP_WAIT;
        let _turn = self.turn(name, until).await?;
        let kept = cursors.committed(self.door.index, &group).await?;
        match self.sighted(until, |sight| shown(&kept, sight)).await? {
            Ok(CursorShown { cursor, .. }) if cursor.is_due(now_ms) => {
                let cursor = Cursor { committed_at_ms: now_ms, ..cursor };
                let committing = cursors.commit(self.door.index, &group, cursor.committed());
                committing.await.map_err(CursorFailure::Changing)?;
                Ok(true)
            }
            Ok(_) | Err(_) => Ok(false),
        }
    }

    async fn turn(
        &self,
        name: &CursorName,
        until: Instant,
    ) -> Result<MutexGuard<'_, ()>, CursorFailure> {
        let turn = timeout_at(until, self.door.turns.of(name).lock()).await;
        Ok(turn.map_err(|_elapsed| Rejection::Deadline { stall: None })?)
    }

    fn cursors(&self) -> Result<Arc<dyn Cursors>, CursorFailure> {
        self.door.cursors.clone().ok_or(CursorFailure::NoCursors)
    }

    fn group(&self, name: &CursorName) -> String {
        format!("{}{name}", self.prefix())
    }

    fn prefix(&self) -> String {
        format!("outrigger.{}.", self.name())
    }

    /// The names of what may be cursors of this store, in order.
    async fn names(&self) -> Result<Vec<CursorName>, CursorFailure> {
        let prefix = self.prefix();
        let groups = self.cursors()?.groups(&prefix).await?;
        let names = groups.iter().filter_map(|group| group.strip_prefix(&prefix)?.parse().ok());
        let mut names: Vec<CursorName> = names.collect();
        names.sort();
        Ok(names)
    }

    /// What is kept under these names, but for those under which nothing is in this store's topic.
    async fn committed(
        &self,
        names: Vec<CursorName>,
    ) -> Result<Vec<(CursorName, Vec<Committed>)>, CursorFailure> {
        let (cursors, mut committed) = (self.cursors()?, Vec::new());
        for some in names.chunks(ASKED_AT_ONCE) {
            let mut asked = JoinSet::new();
            for name in some.iter().cloned() {
                let kept = cursors.committed(self.door.index, &self.group(&name));
                asked.spawn(async move { (name, kept.await) });
            }
            for (name, kept) in asked.join_all().await {
                committed.push((name, kept?));
            }
        }
        committed.retain(|(_, kept)| !kept.is_empty());
        committed.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(committed)
    }

    /// Waits until the copy is at or beyond a point.
    async fn await_point(&self, point: &Point, until: Instant) -> Result<(), CursorFailure> {
        let left = until.saturating_duration_since(Instant::now());
        match self.reach(Until::AtLeast(point.token.clone()), left).await {
            Ok(_end) => Ok(()),
            Err(rejection) => Err(match cursor::lost_while_waiting(&rejection) {
                Some(why) => CursorFailure::Lost(why),
                None => CursorFailure::Rejected(rejection),
            }),
        }
    }

    /// Looks at the copy as soon as ring and gate show the same one.
    async fn sighted<T>(
        &self,
        until: Instant,
        look: impl Fn(&Sight<'_>) -> T,
    ) -> Result<T, Rejection> {
        loop {
            let mut moved = pin!(self.next_move());
            moved.as_mut().enable();
            let whole =
                |sight: &Sight<'_>| sight.is_whole().map(|whole| whole.then(|| look(sight)));
            if let Some(looked) = self.seen(whole)? {
                return Ok(looked);
            }
            let moved = timeout_at(until, moved).await;
            moved.map_err(|_elapsed| Rejection::Deadline { stall: None })?;
        }
    }
}

/// What is kept, as a cursor of the copy's topic.
fn read(committed: &[Committed], sight: &Sight<'_>) -> Result<Cursor, Lost> {
    // A copy that is whole has a topic.
    let topic = sight.gate.topic.ok_or(Lost::Topic)?;
    Cursor::of(topic, sight.gate.positions.len(), committed)
}

fn shown(committed: &[Committed], sight: &Sight<'_>) -> Result<CursorShown, Lost> {
    let cursor = read(committed, sight)?;
    cursor::check(&cursor.point, sight)?;
    let behind = cursor.lag(&sight.gate.positions);
    Ok(CursorShown { cursor, behind })
}
