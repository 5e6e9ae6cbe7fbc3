//! A handle on one store: reads and writes in a session.

use std::time::Duration;

use bytes::Bytes;
use outrigger_proto::limits::{KEY_BYTES_MAX, PAYLOAD_BYTES_MAX, VALUE_BYTES_MAX};
use outrigger_proto::v1::store_client::StoreClient;
use outrigger_proto::v1::watch_response::Part;
use outrigger_proto::v1::{
    self, CancelRequest, ContinueRequest, DeleteRequest, GetRequest, KeyRange, PutRequest, Reason,
    Revision, StatusRequest, StoreStatus, WatchResponse, WatchStarted,
};
use tonic::{Request, Response, Streaming};

use crate::cache::{Cache, CacheError};
use crate::client::{self, Client, with_deadline};
use crate::connections::Connections;
use crate::cursor::{Cursor, CursorState};
use crate::error::{Effect, Error};
use crate::read::{CopyState, Entry, Level, Read};
use crate::scan::{Rows, Scan};
use crate::session::Session;
use crate::status::{self, StatusStream};
use crate::token::Token;
use crate::trace;
use crate::watch::{Watch, WatchStream};
use crate::writer::Writer;

/// A read is answered from memory or disk of the node beside us; what takes longer is a wait for a
/// copy that is behind.
const READ_DEADLINE: Duration = Duration::from_secs(5);

/// This is longer than the 10 s that a node waits for Kafka, so that the node says the outcome, by name, and it is not
/// a mere timeout.
const WRITE_DEADLINE: Duration = Duration::from_secs(15);

/// A handle on one store.
///
/// **Session.** The handle and its clones are one session: it remembers how far its writes and reads
/// have seen the log, and a read waits until the node's copy has come as far. It reads its own writes
/// and never goes back in time. [`Store::token`] and [`Store::resume`] carry the session to a handle
/// on another node; [`Store::new_session`] starts afresh.
///
/// **Deadlines.** 5 s for reads (for a scan: for each batch of rows), 15 s for writes, which is
/// longer than a node waits for Kafka. A node knows the deadline of a call and answers before it, with a
/// reason. Where it does not answer at all, the error is merely
/// [`Deadline`](crate::ErrorKind::Deadline), and a write may have happened.
///
/// Keys and values are any bytes, or none. Dropping the future of a call cancels it; a write may
/// then have happened.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    name: String,
    session: Session,
    level: Level,
    max_staleness: Option<Duration>,
    read_deadline: Duration,
    write_deadline: Duration,
}

impl Store {
    pub(crate) fn new(client: Client, name: String) -> Store {
        Store {
            client,
            name,
            session: Session::default(),
            level: Level::default(),
            max_staleness: None,
            read_deadline: READ_DEADLINE,
            write_deadline: WRITE_DEADLINE,
        }
    }

    /// The same handle, in the same session, that reads at another level.
    pub fn with_level(self, level: Level) -> Store {
        Store { level, ..self }
    }

    /// The same handle, in the same session, that refuses answers from a copy older than this.
    pub fn with_max_staleness(self, max_staleness: Duration) -> Store {
        Store { max_staleness: Some(max_staleness), ..self }
    }

    /// The same handle, in the same session, with another deadline for reads.
    pub fn with_read_deadline(self, read_deadline: Duration) -> Store {
        Store { read_deadline, ..self }
    }

    /// The same handle, in the same session, with another deadline for writes.
    pub fn with_write_deadline(self, write_deadline: Duration) -> Store {
        Store { write_deadline, ..self }
    }

    /// The same handle, in the same session, with calls that belong to the trace of this `traceparent`, as [W3C's Trace
    /// Context](https://www.w3.org/TR/trace-context/#traceparent-header) has it. A node that has `traces` set tells the
    /// collector what such a call does and waits for, if its flag `sampled` is set.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) when it is none.
    pub fn with_traceparent(self, traceparent: &str) -> Result<Store, Error> {
        let client = self.client.traced(trace::header(traceparent)?);
        Ok(Store { client, ..self })
    }

    /// A handle with the same settings and a session that has seen nothing yet.
    pub fn new_session(&self) -> Store {
        Store { session: Session::default(), ..self.clone() }
    }

    /// What the session has seen; `None` before its first answer.
    pub fn token(&self) -> Option<Token> {
        self.session.token()
    }

    /// Continues another session in this one, which then has seen what either of them has.
    ///
    /// # Errors
    ///
    /// [`SessionLost`](crate::ErrorKind::SessionLost), and nothing is changed, when this session has already
    /// seen another topic.
    pub fn resume(&self, token: Token) -> Result<(), Error> {
        self.session.resume(token)
    }

    /// The value of a key, and the revision that wrote it; `None` when the key does not exist.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) while the copy does not admit this level or is too old,
    /// [`SessionLost`](crate::ErrorKind::SessionLost) when the log has lost what the session saw,
    /// [`Refused`](crate::ErrorKind::Refused) while a person must act, [`Overloaded`](crate::ErrorKind::Overloaded),
    /// [`Deadline`](crate::ErrorKind::Deadline), [`Invalid`](crate::ErrorKind::Invalid) for a name that the node
    /// does not know, [`Unreachable`](crate::ErrorKind::Unreachable) and [`Broken`](crate::ErrorKind::Broken). A read
    /// has no effect: it may be repeated after each of them.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>, Error> {
        Ok(self.read(key).await?.entry)
    }

    /// The same as [`Store::get`], with what is known about the copy that answered.
    ///
    /// # Errors
    ///
    /// Those of [`Store::get`].
    pub async fn read(&self, key: impl AsRef<[u8]>) -> Result<Read, Error> {
        let key = payload_key(key.as_ref())?;
        let request = GetRequest { store: self.name.clone(), key, read: Some(self.read_options()) };
        let request = with_deadline(request, self.read_deadline);
        let mut rows = self.client.rows();
        let answer = client::answer(Effect::None, self.read_deadline, rows.get(request)).await?;
        let copy = self.level.observe(&self.session, answer.copy)?;
        let entry = answer.found.map(Entry::of).transpose()?;
        Ok(Read { entry, copy })
    }

    /// Sets the value of a key. Returns when the log has it; this session's reads see it then.
    ///
    /// # Errors
    ///
    /// Ask [`Error::may_have_happened`] first. Nothing was written after [`Invalid`](crate::ErrorKind::Invalid) (a key
    /// above 32 KiB, a value above 960 KiB, unless the node says otherwise),
    /// [`NotWritten`](crate::ErrorKind::NotWritten), [`Unreachable`](crate::ErrorKind::Unreachable) and whatever else
    /// the node answers by name before it asks the log. After [`Unknown`](crate::ErrorKind::Unknown), and where
    /// the node's word is missing ([`Deadline`](crate::ErrorKind::Deadline),
    /// [`Broken`](crate::ErrorKind::Broken)), it may have been.
    pub async fn put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Revision, Error> {
        let (key, value) = payload(key.as_ref(), value.as_ref())?;
        // The node honours the call's deadline.
        let request = PutRequest { store: self.name.clone(), key, value, ..PutRequest::default() };
        let request = with_deadline(request, self.write_deadline);
        let mut rows = self.client.rows();
        let answer = client::answer(Effect::Write, self.write_deadline, rows.put(request)).await?;
        self.written(answer.revision, answer.token)
    }

    /// Deletes a key, whether or not it exists. Returns when the log has the delete.
    ///
    /// # Errors
    ///
    /// Those of [`Store::put`].
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<Revision, Error> {
        let key = payload_key(key.as_ref())?;
        let request = DeleteRequest { store: self.name.clone(), key, ..DeleteRequest::default() };
        let request = with_deadline(request, self.write_deadline);
        let mut rows = self.client.rows();
        let call = rows.delete(request);
        let answer = client::answer(Effect::Write, self.write_deadline, call).await?;
        self.written(answer.revision, answer.token)
    }

    /// The rows of a range of keys, all from one snapshot. Returns with the first of them.
    ///
    /// # Errors
    ///
    /// Those of [`Store::get`], and [`Invalid`](crate::ErrorKind::Invalid) for a range that ends before it starts.
    pub async fn scan(&self, scan: Scan) -> Result<Rows, Error> {
        let request = scan.request(self.name.clone(), self.read_options())?;
        Rows::open(&self.client, request, self.level, &self.session, self.read_deadline).await
    }

    /// What changes in some keys, as it comes: with the state first, or from now on, or from where another watch was. It
    /// begins with a copy of this handle's level, and its points are in this session: a read after a change sees it.
    ///
    /// # Errors
    ///
    /// Those of [`Store::get`], and [`Compacted`](crate::ErrorKind::Compacted) where the watch asked for it. A watch that has
    /// begun goes on by itself ([`WatchEvent::Interrupted`](crate::WatchEvent::Interrupted)).
    pub async fn watch(&self, watch: Watch) -> Result<WatchStream, Error> {
        WatchStream::open(self.clone(), watch).await
    }

    /// The rows of some keys in memory, each with what `decode` makes of its key and value, kept up to date by a watch. Returns
    /// when the state has come whole; see [`Cache`] for what it promises. The watch says which keys, and its points are in
    /// this session. `decode` runs in a task of the runtime, a row at a time: it must not block.
    ///
    /// # Errors
    ///
    /// [`CacheError::Watch`] as of [`Store::watch`], also where the watch is interrupted before the state is complete, and
    /// with [`Invalid`](crate::ErrorKind::Invalid) for a watch that does not begin with the state.
    /// [`CacheError::Undecodable`] for a value that `decode` does not take.
    pub async fn cache<V, E>(
        &self,
        watch: Watch,
        decode: impl FnMut(&[u8], &[u8]) -> Result<V, E> + Send + 'static,
    ) -> Result<Cache<V>, CacheError>
    where
        V: Send + Sync + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Cache::open(self, watch, self.read_deadline, decode).await
    }

    /// A point of a watch that the store keeps under a name. Nothing is asked yet.
    pub fn cursor(&self, name: impl Into<String>) -> Cursor {
        Cursor::new(self.clone(), name.into())
    }

    /// The cursors of the store in the order of their names, 1,000 at most, and whether there are more. Those that are lost
    /// are among them.
    ///
    /// # Errors
    ///
    /// Those of [`Cursor::get`], but for [`Compacted`](crate::ErrorKind::Compacted).
    pub async fn cursors(&self) -> Result<(Vec<CursorState>, bool), Error> {
        CursorState::list(self).await
    }

    /// A stream of writes, for throughput. A connection that cannot be made fails the first writes, not this
    /// call.
    ///
    /// # Panics
    ///
    /// When it is called outside of a Tokio runtime.
    pub fn writer(&self) -> Writer {
        let session = self.session.clone();
        Writer::open(self.client.rows(), self.name.clone(), session, self.write_deadline)
    }

    /// The state of the store on this node. It is answered in every phase.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for a name that the node does not know,
    /// [`Deadline`](crate::ErrorKind::Deadline) after 5 s, [`Unreachable`](crate::ErrorKind::Unreachable) and
    /// [`Broken`](crate::ErrorKind::Broken).
    pub async fn status(&self) -> Result<StoreStatus, Error> {
        self.status_of(false).await
    }

    /// The state of the store on this node, with the digest of its copy when that is exact. The node reads the whole
    /// copy for it.
    ///
    /// # Errors
    ///
    /// Those of [`Store::status`], but [`Deadline`](crate::ErrorKind::Deadline) after 10 minutes.
    pub async fn status_with_digest(&self) -> Result<StoreStatus, Error> {
        self.status_of(true).await
    }

    /// The state of the store on this node, now and after each change, at most once per `interval`, which
    /// counts in whole milliseconds.
    ///
    /// # Errors
    ///
    /// Those of [`Store::status`]; the stream ends with an error when the node does.
    pub async fn watch_status(
        &self,
        interval: Duration,
    ) -> Result<StatusStream<StoreStatus>, Error> {
        StatusStream::open(&self.client, self.name.clone(), interval, status::one_store).await
    }

    /// Stops the restore of the store on this node; what is on disk is kept, and old copies answer stale reads.
    ///
    /// # Errors
    ///
    /// [`Refused`](crate::ErrorKind::Refused) when none runs, else those of [`Store::status`], with the handle's
    /// deadline for reads.
    pub async fn cancel_restore(&self) -> Result<(), Error> {
        let request = CancelRequest { store: self.name.clone() };
        let (mut admin, deadline) = (self.client.admin(), self.read_deadline);
        let call = admin.cancel(with_deadline(request, deadline));
        client::answer(Effect::None, deadline, call).await?;
        Ok(())
    }

    /// Lets a cancelled restore continue from what is on disk.
    ///
    /// # Errors
    ///
    /// [`Refused`](crate::ErrorKind::Refused) when none was cancelled, else those of [`Store::status`], with the
    /// handle's deadline for reads.
    pub async fn continue_restore(&self) -> Result<(), Error> {
        let request = ContinueRequest { store: self.name.clone() };
        let (mut admin, deadline) = (self.client.admin(), self.read_deadline);
        let call = admin.r#continue(with_deadline(request, deadline));
        client::answer(Effect::None, deadline, call).await?;
        Ok(())
    }

    pub(crate) fn rows(&self) -> StoreClient<Connections> {
        self.client.rows()
    }

    pub(crate) fn name(&self) -> String {
        self.name.clone()
    }

    pub(crate) fn write_deadline(&self) -> Duration {
        self.write_deadline
    }

    async fn status_of(&self, with_digest: bool) -> Result<StoreStatus, Error> {
        let request = StatusRequest { store: self.name.clone(), with_digest };
        status::node(&self.client, request).await.and_then(status::one_store)
    }

    fn read_options(&self) -> v1::ReadOptions {
        self.level.options(&self.session, self.max_staleness, self.read_deadline)
    }

    /// Opens a watch, and waits for its first message.
    pub(crate) async fn begin_watch(
        &self,
        watch: &Watch,
    ) -> Result<(WatchStarted, Streaming<WatchResponse>), Error> {
        let request = watch.request(self.name.clone(), self.read_options())?;
        let mut rows = self.client.rows();
        // The request has no timeout: it would be one for the whole watch.
        let opening = async {
            let mut answers = rows.watch(Request::new(request)).await?.into_inner();
            let first = answers.message().await?;
            Ok(Response::new((first, answers)))
        };
        let (first, answers) = client::answer(Effect::None, self.read_deadline, opening).await?;
        match first.and_then(|first| first.part) {
            Some(Part::Started(started)) => Ok((started, answers)),
            _ => Err(Error::protocol(Effect::None, "the watch does not begin")),
        }
    }

    /// Notes in the session what an answer has shown.
    pub(crate) fn observe(&self, copy: Option<v1::CopyState>) -> Result<CopyState, Error> {
        self.level.observe(&self.session, copy)
    }

    /// Notes in the session what was told of a watch.
    pub(crate) fn has_seen(&self, token: &Token) -> Result<(), Error> {
        self.session.observe(Effect::None, Some(token.into())).map(drop)
    }

    fn written(
        &self,
        revision: Option<Revision>,
        token: Option<v1::Token>,
    ) -> Result<Revision, Error> {
        self.session.observe(Effect::Write, token)?;
        revision.ok_or_else(|| Error::protocol(Effect::Write, "it has no revision"))
    }
}

/// A key and a value that a request can carry. Whether the node accepts them is the node's to say.
pub(crate) fn payload(key: &[u8], value: &[u8]) -> Result<(Bytes, Bytes), Error> {
    let bytes = key.len() + value.len();
    if bytes > PAYLOAD_BYTES_MAX {
        let (reason, what, bytes, bytes_max) = if key.len() > value.len() {
            (Reason::KeyTooLarge, "key", key.len(), KEY_BYTES_MAX)
        } else {
            (Reason::ValueTooLarge, "value", value.len(), VALUE_BYTES_MAX)
        };
        // The limit is the node's: it refuses even less than what a request can carry.
        let message = format!("the {what} has {bytes} bytes, and at most {bytes_max} are accepted");
        return Err(Error::invalid(reason, message));
    }
    Ok((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)))
}

/// The keys `start..end`; `None`: to the last one.
pub(crate) fn key_range(start: &[u8], end: Option<&[u8]>) -> Result<KeyRange, Error> {
    let (start, before) = payload(start, end.unwrap_or_default())?;
    Ok(KeyRange { start, end: end.map(|_| before) })
}

pub(crate) fn payload_key(key: &[u8]) -> Result<Bytes, Error> {
    payload(key, b"").map(|(key, _no_value)| key)
}
