//! What a read asks for and what it answers.

use std::time::Duration;

use bytes::Bytes;
use outrigger_proto::limits::ROW_BYTES_MAX;
use outrigger_proto::v1::{self, Revision};

use crate::error::{Effect, Error};
use crate::session::Session;
use crate::token::Token;

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Everything that this session has written and read; the read waits for it where the node is behind. The default.
    #[default]
    Session,
    /// The node's copy as it is, without waiting: it may be older than what the session has seen.
    Local,
    /// Everything that was committed when the leaders of the log were asked, and everything that the session has seen.
    /// It is as fresh as the leader that answers, so it is not linearizable.
    Latest,
    /// Whatever copy the node has, also while it restores or refuses. It is no part of the session: a
    /// later read may be older.
    Stale,
}

/// The answer to a read of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The key's entry; `None` when it does not exist.
    pub entry: Option<Entry>,
    /// The copy that answered.
    pub copy: CopyState,
}

/// A key's value and the record that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Any bytes, or none. They can be more than a write may have, where another tool wrote them to the topic.
    pub value: Bytes,
    /// The record that wrote it.
    pub revision: Revision,
}

/// The copy that answered a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyState {
    /// What it included.
    pub token: Token,
    /// No write that was acknowledged longer ago is missing. The age grows while Kafka does not answer.
    pub age: Duration,
    /// Whether it equals the log's state at the token; `false` only at [`Level::Stale`].
    pub exact: bool,
    /// The address of the peer whose copy it was; `None`: the copy of the node that was asked. A node whose copy is
    /// not READY yet may forward reads, though never at [`Level::Stale`].
    pub given_by: Option<String>,
}

impl Level {
    /// The demands of a read at this level in this session.
    pub(crate) fn options(
        self,
        session: &Session,
        max_staleness: Option<Duration>,
        deadline: Duration,
    ) -> v1::ReadOptions {
        let token = match self {
            Level::Session | Level::Latest => session.token(),
            Level::Local | Level::Stale => None,
        };
        let level = match self {
            Level::Session if token.is_some() => v1::Level::AtLeast,
            Level::Session | Level::Local => v1::Level::Local,
            Level::Latest => v1::Level::Latest,
            Level::Stale => v1::Level::Stale,
        };
        v1::ReadOptions {
            level: level.into(),
            token: token.as_ref().map(v1::Token::from),
            max_staleness_ms: max_staleness.map(millis),
            // It is less than the deadline, so that the node says what it waited for.
            wait_ms_max: Some(millis(deadline - deadline / 10)),
            // This library receives as much.
            row_bytes_max: Some(u64::try_from(ROW_BYTES_MAX).expect("a size fits 64 bits")),
        }
    }

    /// Notes in the session what an answer at this level has shown.
    pub(crate) fn observe(
        self,
        session: &Session,
        copy: Option<v1::CopyState>,
    ) -> Result<CopyState, Error> {
        let copy = copy.ok_or_else(|| Error::protocol(Effect::None, "it has no copy state"))?;
        let outside = Session::default();
        let token = match self {
            Level::Session | Level::Local | Level::Latest => session,
            // The copy may be of a history that the log has lost: in a session it would poison it.
            Level::Stale => &outside,
        }
        .observe(Effect::None, copy.token)?;
        let given_by = Some(copy.given_by).filter(|peer| !peer.is_empty());
        let age = Duration::from_millis(copy.age_ms);
        Ok(CopyState { token, age, exact: copy.exact, given_by })
    }
}

impl Entry {
    pub(crate) fn of(found: v1::Value) -> Result<Entry, Error> {
        let no_revision = || Error::protocol(Effect::None, "a value has no revision");
        Ok(Entry { value: found.value, revision: found.revision.ok_or_else(no_revision)? })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
