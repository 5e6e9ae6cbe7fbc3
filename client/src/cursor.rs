//! Points of watches that a store keeps under names.

use std::time::{Duration, SystemTime};

use outrigger_proto::v1::{
    self, CommitCursorRequest, DeleteCursorRequest, GetCursorRequest, ListCursorsRequest,
};

use crate::client;
use crate::error::{Effect, Error};
use crate::store::Store;
use crate::watch::WatchPoint;

/// A point of a watch that the store keeps under a name, in Kafka, for all nodes and processes: see
/// [`Watch::from_cursor`](crate::Watch::from_cursor).
///
/// It says where somebody was, and gives nobody a part of the work: of two who commit the same cursor at the same time
/// either may be last, and changes may come again then. Two who share the work watch ranges of keys of their own, with a
/// cursor each.
///
/// ```no_run
/// # use outrigger_client::{Client, Watch, WatchEvent};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let orders = Client::connect("http://127.0.0.1:7400").await?.store("orders");
/// let cursor = orders.cursor("mailer");
/// let mut events = orders.watch(Watch::all().from_cursor("mailer")).await?;
/// while let Some(event) = events.next().await {
///     match event? {
///         WatchEvent::Change(change) => println!("{:?}", change.key),
///         // All that came before it is done.
///         WatchEvent::Point(point) => cursor.commit(&point).await?,
///         // The first time, or away for too long: what comes now is the state.
///         WatchEvent::StateAgain(why) => println!("again: {why}"),
///         WatchEvent::StateEnd(point) => cursor.commit(&point).await?,
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Cursor {
    store: Store,
    name: String,
}

/// How a cursor is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CursorState {
    /// Its name.
    pub name: String,
    /// Its point; `None` where it is [lost](CursorState::lost).
    pub point: Option<WatchPoint>,
    /// Offsets between the point and the node's copy, summed over the partitions; `None` where it is lost.
    pub behind_records: Option<u64>,
    /// When it was committed last, by the clock of the node that did it; nodes commit it anew after a day. `None` where it
    /// cannot be told.
    pub committed_at: Option<SystemTime>,
    /// Why no watch can go on from it; `None` where one can.
    pub lost: Option<String>,
}

impl Cursor {
    pub(crate) fn new(store: Store, name: String) -> Cursor {
        Cursor { store, name }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    ///
    /// # Errors
    ///
    /// [`Compacted`](crate::ErrorKind::Compacted) where nobody has committed it, or no watch could go on from it,
    /// [`Invalid`](crate::ErrorKind::Invalid) for a name that is not 1 to 128 letters, digits, `.`, `_` and `-`,
    /// [`Unavailable`](crate::ErrorKind::Unavailable) where Kafka does not answer, [`Refused`](crate::ErrorKind::Refused)
    /// where it does not allow it, and those of [`Store::get`]. It takes as long as a write may.
    pub async fn get(&self) -> Result<CursorState, Error> {
        let request = GetCursorRequest { store: self.store.name(), name: self.name.clone() };
        let deadline = self.store.write_deadline();
        let mut rows = self.store.rows();
        let call = rows.get_cursor(client::with_deadline(request, deadline));
        let answer = client::answer(Effect::None, deadline, call).await?;
        let cursor = answer.cursor;
        CursorState::of(cursor.ok_or_else(|| Error::protocol(Effect::None, "it has no cursor"))?)
    }

    /// Commits a point: all that was told before it is done. A point that the node's copy has not reached is waited for, as
    /// long as the handle's deadline for writes allows.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) with [`Reason::CursorGoesBack`](crate::Reason::CursorGoesBack) where the cursor
    /// is further already, [`Compacted`](crate::ErrorKind::Compacted) for a point from which no watch could go on,
    /// [`Refused`](crate::ErrorKind::Refused) where consumers use the group that it is kept in, and those of
    /// [`Cursor::get`]. It may be committed again after each of them.
    pub async fn commit(&self, point: &WatchPoint) -> Result<(), Error> {
        let (store, name) = (self.store.name(), self.name.clone());
        let request = CommitCursorRequest { store, name, point: Some(point.into()) };
        let deadline = self.store.write_deadline();
        let mut rows = self.store.rows();
        let call = rows.commit_cursor(client::with_deadline(request, deadline));
        client::answer(Effect::Write, deadline, call).await?;
        Ok(())
    }

    /// Deletes it, whether or not there is one.
    ///
    /// # Errors
    ///
    /// Those of [`Cursor::commit`] that are not about a point.
    pub async fn delete(&self) -> Result<(), Error> {
        let request = DeleteCursorRequest { store: self.store.name(), name: self.name.clone() };
        let deadline = self.store.write_deadline();
        let mut rows = self.store.rows();
        let call = rows.delete_cursor(client::with_deadline(request, deadline));
        client::answer(Effect::Write, deadline, call).await?;
        Ok(())
    }
}

impl CursorState {
    pub(crate) async fn list(store: &Store) -> Result<(Vec<CursorState>, bool), Error> {
        let request = ListCursorsRequest { store: store.name() };
        let deadline = store.write_deadline();
        let mut rows = store.rows();
        let call = rows.list_cursors(client::with_deadline(request, deadline));
        let answer = client::answer(Effect::None, deadline, call).await?;
        let cursors = answer.cursors.into_iter().map(CursorState::of);
        Ok((cursors.collect::<Result<_, _>>()?, answer.more))
    }

    fn of(cursor: v1::Cursor) -> Result<CursorState, Error> {
        let v1::Cursor { name, point, behind_records, committed_at_ms, lost } = cursor;
        let point = point.map(WatchPoint::try_from).transpose();
        let point = point.map_err(|error| Error::protocol(Effect::None, &error.to_string()))?;
        let at = |ms| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms));
        let committed_at = committed_at_ms.and_then(at);
        let lost = lost.map(|lost| lost.message);
        Ok(CursorState { name, point, behind_records, committed_at, lost })
    }
}
