//! Changes of some keys as they come: what to watch, and what is told of it.

mod point;
mod stream;

use std::time::Duration;

use bytes::Bytes;
use outrigger_proto::v1::key_selector::Keys;
use outrigger_proto::v1::{
    self, KeySelector, LargeRows, OnLost, ReadOptions, Reason, Revision, WatchRequest,
};

use crate::error::Error;
use crate::scan::Row;
use crate::store;

pub use point::{InvalidPoint, WatchPoint};
pub use stream::WatchStream;

/// Which keys to watch, and from where. Keys are ordered by their unsigned bytes; a key that several of the ranges have is
/// told once.
#[derive(Clone, Debug)]
pub struct Watch {
    /// None: all keys.
    ranges: Vec<Selected>,
    from: From,
    fails_when_lost: bool,
    keys_only: bool,
    progress: Duration,
}

#[derive(Clone, Debug)]
enum Selected {
    Key(Vec<u8>),
    Prefix(Vec<u8>),
    Range(Vec<u8>, Option<Vec<u8>>),
}

#[derive(Clone, Debug)]
enum From {
    State,
    Now,
    Point(WatchPoint),
    Cursor(String),
}

/// What a watch tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WatchEvent {
    /// A row of the state. All rows up to [`StateEnd`](WatchEvent::StateEnd) are of one snapshot, in ascending order.
    Row(Row),
    /// The state is complete, also where there was no row. A watch from this point on has everything that comes after it.
    StateEnd(WatchPoint),
    /// A key has changed. A read of this node finds it, or what was written over it.
    Change(Change),
    /// Everything up to here has been told. Keep the newest one to go on later, in this process or another, on any node
    /// of the store. It comes after changes, and now and then where there are none.
    Point(WatchPoint),
    /// **Forget every row that was told**: the state follows once more, and what is not in it does not exist any more. The
    /// node could not prove that it has every change since the last point, or a state was broken off halfway. The text
    /// says why.
    StateAgain(String),
    /// The node does not answer as it should, for this reason. The watch tries again by itself, after a pause that grows to
    /// 5 s, and leaves nothing out. A node whose copy is not READY any more may keep the watch instead, and tell nothing until
    /// it is, no [point](WatchEvent::Point) either.
    Interrupted(Error),
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Bytes,
    /// Its value now; `None`: it is deleted. In a watch of keys only every value is empty.
    pub value: Option<Bytes>,
    /// The record that did it.
    pub revision: Revision,
}

impl Watch {
    /// All keys.
    pub fn all() -> Watch {
        Watch::of(Vec::new())
    }

    /// One key.
    pub fn key(key: impl Into<Vec<u8>>) -> Watch {
        Watch::of(vec![Selected::Key(key.into())])
    }

    /// The keys that begin with these bytes.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Watch {
        Watch::of(vec![Selected::Prefix(prefix.into())])
    }

    /// The keys of `start..end`, the end exclusive; `None`: to the last one. An end below the start is
    /// [`Invalid`](crate::ErrorKind::Invalid).
    pub fn range(start: impl Into<Vec<u8>>, end: Option<Vec<u8>>) -> Watch {
        Watch::of(vec![Selected::Range(start.into(), end)])
    }

    /// The keys of the other watch as well; its other settings do not count. 64 ranges at most.
    pub fn or(mut self, other: Watch) -> Watch {
        if self.ranges.is_empty() || other.ranges.is_empty() {
            self.ranges.clear();
        } else {
            self.ranges.extend(other.ranges);
        }
        self
    }

    /// Leaves out the state: tells what changes from now on.
    pub fn from_now(self) -> Watch {
        Watch { from: From::Now, ..self }
    }

    /// Goes on where another watch of the same keys was.
    pub fn from_point(self, point: WatchPoint) -> Watch {
        Watch { from: From::Point(point), ..self }
    }

    /// Goes on at the point of the [`Cursor`](crate::Cursor) of this name. Where nobody has committed it, or the node cannot
    /// prove that it has everything since, the state is told [again](WatchEvent::StateAgain), as of a point. Once it has
    /// begun it goes on from its own points: commit those.
    pub fn from_cursor(self, name: impl Into<String>) -> Watch {
        Watch { from: From::Cursor(name.into()), ..self }
    }

    /// Ends with [`Compacted`](crate::ErrorKind::Compacted), where it would tell the state
    /// [again](WatchEvent::StateAgain): also where a state was broken off after its first row.
    pub fn fail_when_lost(self) -> Watch {
        Watch { fails_when_lost: true, ..self }
    }

    /// Leaves out the values, which is cheaper.
    pub fn keys_only(self) -> Watch {
        Watch { keys_only: true, ..self }
    }

    /// After how long without a change a point is told; 5 s unless this says something else, and 100 ms at least.
    pub fn progress(self, progress: Duration) -> Watch {
        Watch { progress, ..self }
    }

    /// The watch that keeps a cache: with the state, and a point in time for whoever waits for one.
    pub(crate) fn of_cache(self, progress_max: Duration) -> Result<Watch, Error> {
        match self.from {
            From::State => Ok(Watch { progress: self.progress.min(progress_max), ..self }),
            From::Now | From::Point(_) | From::Cursor(_) => {
                let message = "a cache begins with the state: leave out where its watch begins";
                Err(Error::invalid(Reason::InvalidRequest, message.to_owned()))
            }
        }
    }

    fn of(ranges: Vec<Selected>) -> Watch {
        Watch {
            ranges,
            from: From::State,
            fails_when_lost: false,
            keys_only: false,
            progress: Duration::from_secs(5),
        }
    }

    pub(crate) fn request(&self, store: String, read: ReadOptions) -> Result<WatchRequest, Error> {
        let from = match &self.from {
            From::State => None,
            From::Now => Some(v1::watch_request::From::Now(v1::WatchNow {})),
            From::Point(point) => Some(v1::watch_request::From::Point(point.into())),
            From::Cursor(name) => Some(v1::watch_request::From::Cursor(name.clone())),
        };
        let on_lost = if self.fails_when_lost { OnLost::Fail } else { OnLost::State };
        Ok(WatchRequest {
            store,
            keys: self.ranges.iter().map(Selected::selector).collect::<Result<_, _>>()?,
            from,
            on_lost: on_lost.into(),
            keys_only: self.keys_only,
            progress_ms: u32::try_from(self.progress.as_millis()).unwrap_or(u32::MAX).max(1),
            read: Some(read),
            large_rows: LargeRows::Refuse.into(),
        })
    }
}

impl Selected {
    fn selector(&self) -> Result<KeySelector, Error> {
        let keys = match self {
            Selected::Key(key) => Keys::Key(store::payload_key(key)?),
            Selected::Prefix(prefix) => Keys::Prefix(store::payload_key(prefix)?),
            Selected::Range(start, end) => Keys::Range(store::key_range(start, end.as_deref())?),
        };
        Ok(KeySelector { keys: Some(keys) })
    }
}
