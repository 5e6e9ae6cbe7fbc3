//! A typed map of some keys in memory, which a watch keeps.
//!
//! One task writes ([`Keeper`]); callers share its map behind a lock that is held for a look, or for the changes up to one
//! point, and never over an await. What a caller wants to look at for longer it takes along ([`Snapshot`]), which costs a count.

mod keeper;
mod rows;
mod undecodable;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::timeout;

use crate::error::{Effect, Error};
use crate::store::Store;
use crate::token::{AnotherTopic, Token};
use crate::watch::{Watch, WatchPoint};
use keeper::{Decoder, Keeper, Shown};
use rows::{Decoded, Rows};

pub use undecodable::Undecodable;

/// How long the watch may be without a point: a caller may wait as long for a token about other keys, and the known age may
/// be as old.
const PROGRESS_MAX: Duration = Duration::from_secs(1);

/// The rows of some keys in memory, decoded, and kept up to date by a watch; [`Store::cache`](crate::Store::cache) makes it.
///
/// ```no_run
/// # use std::str::{self, Utf8Error};
/// # use outrigger_client::{CacheError, Store, Watch};
/// # async fn example(notes: Store) -> Result<(), CacheError> {
/// let decode = |_key: &[u8], value: &[u8]| Ok::<_, Utf8Error>(str::from_utf8(value)?.to_owned());
/// let mut orders = notes.cache(Watch::prefix("orders/"), decode).await?;
/// println!("{} orders, and number 7 is {:?}", orders.len(), orders.get("orders/7")?);
///
/// notes.put("orders/8", "two apples").await?;
/// orders.reached(&notes.token().expect("the session has written")).await?;
/// for (key, order) in orders.snapshot().prefix("orders/") {
///     println!("{} is {}", key.escape_ascii(), order?);
/// }
/// loop {
///     orders.changed().await?;
///     println!("{} orders now", orders.len());
/// }
/// # }
/// ```
///
/// It is always what the store was at one [point](Cache::point): changes are shown up to a point at once, and where the watch
/// sends the state again, that is gathered beside what is shown and takes its place when it is complete. A key that was deleted
/// meanwhile is gone then.
///
/// **Handles.** Clones are handles of the same cache. What each of them was told of ([`Cache::changed`]) is its own. The cache
/// ends with its last handle.
///
/// **Interruptions.** While the node is away or its copy is not READY, the cache is what it was, its [age](Cache::age) grows, and
/// it goes on by itself. What trying again does not mend (rights that were withdrawn, say) ends it: it is told to everybody who
/// waits, and reads fail from then on, because an answer that never changes again looks like any other.
///
/// **Values that cannot be decoded** fail the opening. One that comes later is kept as it is: reading its key fails with it, and
/// [`Cache::changed`] tells it. What is not read right is neither left out nor taken for what it was before.
///
/// **Memory** is the caller's to bound, by what it watches: for each row the key, the value as decoded, and about 100 bytes
/// beside them; twice that while the state is sent again. Between two points, which may be far apart where the cache was away,
/// it takes the same for each key that has changed, however often. A [`Snapshot`] keeps what has changed since it was taken.
pub struct Cache<V> {
    shown: watch::Receiver<Shown<V>>,
    /// The version that this handle was told of.
    told: u64,
    deadline: Duration,
}

/// What a cache was at one point: no half of what belongs together, and no later change.
///
/// It costs a count to take one. It may be kept as long as need be, also when the cache has ended.
pub struct Snapshot<V> {
    rows: Rows<V>,
    point: WatchPoint,
}

/// Why a cache cannot be opened or read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// Its watch cannot begin, or has ended for good.
    #[error(transparent)]
    Watch(#[from] Error),
    /// A value is not what was expected.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    /// Nobody keeps it any more: the runtime ended, or `decode` panicked.
    #[error("the cache is not kept any more: its runtime has ended, or `decode` panicked")]
    Stopped,
}

impl<V: Send + Sync + 'static> Cache<V> {
    pub(crate) async fn open<E: Into<Box<dyn StdError + Send + Sync>>>(
        store: &Store,
        watch: Watch,
        deadline: Duration,
        decode: impl FnMut(&[u8], &[u8]) -> Result<V, E> + Send + 'static,
    ) -> Result<Cache<V>, CacheError> {
        let mut decoder = Decoder::new(decode);
        let mut events = store.watch(watch.of_cache(PROGRESS_MAX)?).await?;
        let first = Shown::first(&mut events, &mut decoder).await?;
        let (shown, readers) = watch::channel(first);
        // It ends when the last reader has gone.
        tokio::spawn(Keeper::new(events, decoder, shown).run());
        Ok(Cache { shown: readers, told: 0, deadline })
    }
}

impl<V> Cache<V> {
    /// The value of a key; `None` when it does not exist.
    ///
    /// # Errors
    ///
    /// [`Undecodable`](CacheError::Undecodable), and each of the others once the cache has ended.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Arc<V>>, CacheError> {
        let shown = self.shown.borrow();
        match (&shown.ended, self.shown.has_changed()) {
            (Some(error), _) => Err(error.clone().into()),
            (None, Err(_closed)) => Err(CacheError::Stopped),
            (None, Ok(_)) => Ok(shown.rows.get(key.as_ref()).cloned().transpose()?),
        }
    }

    /// What the cache is now, or was when it ended: to read several keys or ranges of them.
    pub fn snapshot(&self) -> Snapshot<V> {
        let shown = self.shown.borrow();
        Snapshot { rows: shown.rows.clone(), point: shown.point.clone() }
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.shown.borrow().rows.len()
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until a row has changed since this handle was last told so, or since it was made. Nothing is missed between two
    /// calls; many changes are told at once. It may be dropped while it waits.
    ///
    /// # Errors
    ///
    /// [`Undecodable`](CacheError::Undecodable) for one row of that kind among what has changed; the others are in a
    /// [`Snapshot`], and the next call waits for the next change. [`Watch`](CacheError::Watch) and
    /// [`Stopped`](CacheError::Stopped) once the cache has ended.
    pub async fn changed(&mut self) -> Result<(), CacheError> {
        let told = self.told;
        let changed = |shown: &Shown<V>| shown.version != told || shown.ended.is_some();
        let shown = self.shown.wait_for(changed).await.map_err(|_closed| CacheError::Stopped)?;
        if shown.version == told {
            return Err(shown.ended.clone().map_or(CacheError::Stopped, CacheError::Watch));
        }
        self.told = shown.version;
        match &shown.undecodable {
            Some((version, row)) if *version > told => Err(row.clone().into()),
            Some(_) | None => Ok(()),
        }
    }

    /// Waits until the cache has everything that the token includes: what a session has [written and
    /// read](crate::Store::token). Of a token about other keys it is told within a second, while its node is READY.
    ///
    /// # Errors
    ///
    /// [`Watch`](CacheError::Watch) with [`Deadline`](crate::ErrorKind::Deadline) after the deadline for reads of the handle that
    /// the cache was opened with, or with what [interrupts](Cache::interrupted) it then; with
    /// [`SessionLost`](crate::ErrorKind::SessionLost) for a token of another topic; and as of [`Cache::changed`] once the
    /// cache has ended.
    pub async fn reached(&self, token: &Token) -> Result<(), CacheError> {
        let mut shown = self.shown.clone();
        let includes = |shown: &Shown<V>| shown.point.token().includes(token);
        let decided = |shown: &Shown<V>| includes(shown) != Ok(false) || shown.ended.is_some();
        let reached = timeout(self.deadline, shown.wait_for(decided)).await;
        let shown = match reached {
            Ok(Ok(shown)) => shown,
            Ok(Err(_closed)) => return Err(CacheError::Stopped),
            Err(_elapsed) => {
                let late = || Error::deadline(Effect::None, self.deadline);
                return Err(self.interrupted().unwrap_or_else(late).into());
            }
        };
        match (includes(&shown), &shown.ended) {
            (Ok(true), _) => Ok(()),
            (_, Some(error)) => Err(error.clone().into()),
            (Err(AnotherTopic) | Ok(false), None) => {
                Err(Error::session_lost("the token is of another topic than the cache's").into())
            }
        }
    }

    /// What it includes. A session that [resumes](crate::Store::resume) it reads nothing older than the cache.
    pub fn token(&self) -> Token {
        self.shown.borrow().point.token().clone()
    }

    /// Where it is. A [watch from there](crate::Watch::from_point) tells what is not in it yet.
    pub fn point(&self) -> WatchPoint {
        self.shown.borrow().point.clone()
    }

    /// No write that was acknowledged longer ago is missing, by the clocks of this machine and of the node. It is a second or two
    /// while all is well, and grows while Kafka or the node does not answer.
    pub fn age(&self) -> Duration {
        let confirmed_at = self.shown.borrow().point.confirmed_at();
        // A clock that is behind the node's makes it zero.
        SystemTime::now().duration_since(confirmed_at).unwrap_or(Duration::ZERO)
    }

    /// Why its watch does not go on at the moment; it will by itself. `None`: it goes on, or the cache has ended. It need
    /// not be up to date then: a node whose copy is not READY any more may keep the watch, and tell nothing until it is, and a
    /// Kafka that does not answer interrupts no watch. The [age](Cache::age) tells, which grows meanwhile.
    pub fn interrupted(&self) -> Option<Error> {
        self.shown.borrow().interrupted.clone()
    }
}

impl<V> Snapshot<V> {
    /// The value of a key; `None` when it does not exist.
    ///
    /// # Errors
    ///
    /// [`Undecodable`], when it is not what was expected.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<&V>, &Undecodable> {
        self.rows.get(key.as_ref()).map(|decoded| decoded.as_deref()).transpose()
    }

    /// All rows, in the order of their keys' unsigned bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Result<&V, &Undecodable>)> {
        self.rows.starting_at(b"").map(row)
    }

    /// The rows whose keys begin with these bytes, in order.
    pub fn prefix(
        &self,
        prefix: impl AsRef<[u8]>,
    ) -> impl Iterator<Item = (&[u8], Result<&V, &Undecodable>)> {
        let rows = self.rows.starting_at(prefix.as_ref());
        rows.take_while(move |(key, _)| key.starts_with(prefix.as_ref())).map(row)
    }

    /// The rows of `start..end`, the end exclusive, in order; `None`: to the last one.
    pub fn range(
        &self,
        start: impl AsRef<[u8]>,
        end: Option<&[u8]>,
    ) -> impl Iterator<Item = (&[u8], Result<&V, &Undecodable>)> {
        let rows = self.rows.starting_at(start.as_ref());
        rows.take_while(move |(key, _)| end.is_none_or(|end| *key < end)).map(row)
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where it is: a [watch from there](crate::Watch::from_point) tells what has changed since.
    pub fn point(&self) -> &WatchPoint {
        &self.point
    }
}

fn row<'a, V>(
    (key, decoded): (&'a [u8], &'a Decoded<V>),
) -> (&'a [u8], Result<&'a V, &'a Undecodable>) {
    (key, decoded.as_deref())
}

impl From<&Undecodable> for CacheError {
    fn from(row: &Undecodable) -> CacheError {
        CacheError::Undecodable(row.clone())
    }
}

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Cache<V> {
        Cache { shown: self.shown.clone(), told: self.told, deadline: self.deadline }
    }
}

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("len", &self.len()).field("point", &self.point()).finish()
    }
}

impl<V> Clone for Snapshot<V> {
    fn clone(&self) -> Snapshot<V> {
        Snapshot { rows: self.rows.clone(), point: self.point.clone() }
    }
}

impl<V> fmt::Debug for Snapshot<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("len", &self.len()).field("point", &self.point).finish()
    }
}
