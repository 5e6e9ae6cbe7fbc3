//! Who keeps a cache: it decodes what the watch tells, and shows it from one point to the next.
//!
//! What comes between two points is no state of the store, and a state that is told again is none before its end: both are
//! gathered here, where no reader sees them, and decoded before the lock is taken.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::mem;
use std::sync::Arc;

use outrigger_proto::v1::Revision;
use tokio::sync::watch::Sender;

use super::rows::{Decoded, Rows};
use super::{CacheError, Undecodable};
use crate::error::{Effect, Error};
use crate::watch::{Change, WatchEvent, WatchPoint, WatchStream};

/// What callers see. The lock around it is held for one look, or for the changes up to one point.
pub(super) struct Shown<V> {
    pub(super) rows: Rows<V>,
    pub(super) point: WatchPoint,
    /// How often the rows have changed.
    pub(super) version: u64,
    /// One of the rows that could not be decoded when there were some last, and the version that they came with.
    pub(super) undecodable: Option<(u64, Undecodable)>,
    /// Why there has been no point since.
    pub(super) interrupted: Option<Error>,
    /// Why there will be none any more.
    pub(super) ended: Option<Error>,
}

pub(super) struct Decoder<V>(Box<Decode<V>>);

type Decode<V> = dyn FnMut(&[u8], &[u8]) -> Result<V, Box<dyn StdError + Send + Sync>> + Send;

/// The task of a cache. It ends with its last reader, with the watch, or with a `decode` that panics.
pub(super) struct Keeper<V> {
    events: WatchStream,
    decoder: Decoder<V>,
    shown: Sender<Shown<V>>,
    /// The rows of a state that is being told again.
    again: Rows<V>,
    /// What the last point has otherwise; `None`: it is deleted. The next point may be far: only the last change of a key is
    /// kept, and a copy of the key, not the message that it came with.
    changes: BTreeMap<Arc<[u8]>, Option<Decoded<V>>>,
    /// Of the rows of that state, the last that could not be decoded.
    undecodable: Option<Undecodable>,
}

impl<V> Decoder<V> {
    pub(super) fn new<E: Into<Box<dyn StdError + Send + Sync>>>(
        mut decode: impl FnMut(&[u8], &[u8]) -> Result<V, E> + Send + 'static,
    ) -> Decoder<V> {
        Decoder(Box::new(move |key, value| decode(key, value).map_err(Into::into)))
    }

    fn decode(&mut self, key: &[u8], value: &[u8], revision: Revision) -> Decoded<V> {
        match (self.0)(key, value) {
            Ok(value) => Ok(Arc::new(value)),
            Err(why) => Err(Undecodable::new(key, value, revision, why)),
        }
    }
}

impl<V> Shown<V> {
    /// What a cache begins with: the whole state. Whoever opens it decides whether to wait for a node that is interrupted,
    /// or for somebody who mends a value.
    pub(super) async fn first(
        events: &mut WatchStream,
        decoder: &mut Decoder<V>,
    ) -> Result<Shown<V>, CacheError> {
        let mut rows = Rows::default();
        loop {
            match next(events).await? {
                WatchEvent::Row(row) => {
                    let decoded = decoder.decode(&row.key, &row.value, row.revision)?;
                    rows.set(Arc::from(&row.key[..]), Ok(decoded));
                }
                WatchEvent::StateEnd(point) => {
                    return Ok(Shown {
                        rows,
                        point,
                        version: 0,
                        undecodable: None,
                        interrupted: None,
                        ended: None,
                    });
                }
                WatchEvent::StateAgain(_) => rows = Rows::default(),
                WatchEvent::Interrupted(error) => return Err(error.into()),
                WatchEvent::Change(_) | WatchEvent::Point(_) => {
                    let what = "it tells changes before the end of the state";
                    return Err(Error::protocol(Effect::None, what).into());
                }
            }
        }
    }
}

impl<V> Keeper<V> {
    pub(super) fn new(
        events: WatchStream,
        decoder: Decoder<V>,
        shown: Sender<Shown<V>>,
    ) -> Keeper<V> {
        let (again, changes) = (Rows::default(), BTreeMap::new());
        Keeper { events, decoder, shown, again, changes, undecodable: None }
    }

    pub(super) async fn run(mut self) {
        loop {
            let event = tokio::select! {
                biased;
                () = self.shown.closed() => return,
                event = next(&mut self.events) => event,
            };
            match event {
                Ok(event) => self.take(event),
                Err(error) => {
                    self.shown.send_modify(|shown| shown.ended = Some(error));
                    return;
                }
            }
        }
    }

    fn take(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::Row(row) => {
                let decoded = self.decoder.decode(&row.key, &row.value, row.revision);
                if let Err(undecodable) = &decoded {
                    self.undecodable = Some(undecodable.clone());
                }
                self.again.set(Arc::from(&row.key[..]), decoded);
            }
            WatchEvent::StateEnd(point) => self.swap(point),
            WatchEvent::StateAgain(_) => {
                self.again = Rows::default();
                self.changes.clear();
                self.undecodable = None;
            }
            WatchEvent::Change(Change { key, value, revision }) => {
                let decoded = value.map(|value| self.decoder.decode(&key, &value, revision));
                match self.changes.get_mut(&key[..]) {
                    Some(earlier) => *earlier = decoded,
                    None => {
                        self.changes.insert(Arc::from(&key[..]), decoded);
                    }
                }
            }
            WatchEvent::Point(point) => self.reach(point),
            WatchEvent::Interrupted(error) => {
                self.shown.send_modify(|shown| shown.interrupted = Some(error));
            }
        }
    }

    /// What is not in the new state does not exist any more. The old one is given back without the lock.
    fn swap(&mut self, point: WatchPoint) {
        let (mut rows, undecodable) = (mem::take(&mut self.again), self.undecodable.take());
        self.shown.send_modify(|shown| {
            mem::swap(&mut shown.rows, &mut rows);
            shown.changed(undecodable);
            shown.reach(point);
        });
    }

    fn reach(&mut self, point: WatchPoint) {
        let changes = mem::take(&mut self.changes);
        let mut failed = changes.values().filter_map(|decoded| decoded.as_ref()?.as_ref().err());
        let undecodable = failed.next_back().cloned();
        self.shown.send_modify(|shown| {
            if !changes.is_empty() {
                shown.changed(undecodable);
            }
            for (key, decoded) in changes {
                match decoded {
                    Some(decoded) => shown.rows.set(key, decoded),
                    None => shown.rows.remove(&key),
                }
            }
            shown.reach(point);
        });
    }
}

impl<V> Shown<V> {
    fn changed(&mut self, undecodable: Option<Undecodable>) {
        self.version += 1;
        if let Some(undecodable) = undecodable {
            self.undecodable = Some((self.version, undecodable));
        }
    }

    fn reach(&mut self, point: WatchPoint) {
        self.point = point;
        self.interrupted = None;
    }
}

async fn next(events: &mut WatchStream) -> Result<WatchEvent, Error> {
    events.next().await.expect("nobody asks a watch that has ended with an error")
}
