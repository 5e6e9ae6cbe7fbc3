//! The stream of a watch: it goes on by itself where the node, or the way to it, did not.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use outrigger_proto::v1::change::What;
use outrigger_proto::v1::watch_response::Part;
use outrigger_proto::v1::{
    self, Changes, ErrorDetail, Reason, Revision, Tombstone, WatchResponse, WatchStarted,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;

use super::{Change, From, Watch, WatchEvent, WatchPoint};
use crate::error::{Effect, Error, ErrorKind};
use crate::read::{CopyState, Level};
use crate::scan::Row;
use crate::store::Store;

/// The first pause before another attempt; each one after it is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a watch tells, in order. Dropping it ends the watch.
#[derive(Debug)]
pub struct WatchStream {
    store: Store,
    /// From where it is to be opened again.
    watch: Watch,
    copy: CopyState,
    answers: Answers,
    told: Told,
    events: VecDeque<WatchEvent>,
    /// Before the next attempt.
    pause: Duration,
}

/// Where what is told comes from.
#[derive(Debug)]
enum Answers {
    Open(Box<Streaming<WatchResponse>>),
    /// It is opened again: by a task, because whoever waits for an event may stop that at any moment and begin anew.
    Opening(JoinSet<Result<Begun, Error>>),
    /// It is to be opened again then.
    Broken {
        again_at: Instant,
    },
    /// It has ended with an error.
    Over,
}

type Begun = (WatchStarted, Streaming<WatchResponse>);

/// How far the caller has been told.
#[derive(Debug, Default)]
struct Told {
    /// Behind the changes that were told since the last point: the first offset that was not, by partition.
    since: BTreeMap<u32, u64>,
    /// There are rows of a state without its end.
    halfway: bool,
}

impl WatchStream {
    pub(crate) async fn open(store: Store, watch: Watch) -> Result<WatchStream, Error> {
        let (started, answers) = store.begin_watch(&watch).await?;
        let mut stream = WatchStream {
            copy: store.observe(started.copy)?,
            store,
            watch,
            answers: Answers::Open(Box::new(answers)),
            told: Told::default(),
            events: VecDeque::new(),
            pause: PAUSE_MIN,
        };
        if let Some(at) = started.point {
            let from_now = matches!(stream.watch.from, From::Now);
            let at = stream.reach(Some(at))?;
            stream.events.extend(from_now.then_some(WatchEvent::Point(at)));
        }
        Ok(stream)
    }

    /// The copy that the watch began with.
    pub fn copy(&self) -> &CopyState {
        &self.copy
    }

    /// What is told next; waits for it as long as nothing happens. `None` after an error. It may be dropped while it
    /// waits: nothing is lost.
    ///
    /// # Errors
    ///
    /// What trying again does not mend: [`Compacted`](ErrorKind::Compacted) where the watch
    /// [asked for it](Watch::fail_when_lost), [`Refused`](ErrorKind::Refused) where this caller may not watch (a store that
    /// refuses may be mended by its operator meanwhile, and where a bearer token was taken away, the client's
    /// [newest](crate::Client::set_bearer_token) is tried), and
    /// [`Invalid`](ErrorKind::Invalid) with [`Reason::RowTooLarge`](crate::Reason::RowTooLarge) at a row above
    /// 127.75 MiB. Everything else is an [`Interrupted`](WatchEvent::Interrupted).
    pub async fn next(&mut self) -> Option<Result<WatchEvent, Error>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            if let Answers::Over = self.answers {
                return None;
            }
            let taken = match self.receive().await {
                Ok(part) => self.take(part),
                Err(error) => Err(error),
            };
            match taken {
                Ok(()) => {}
                Err(error) if mends_itself(&error, matches!(self.answers, Answers::Open(_))) => {
                    self.answers = Answers::Broken { again_at: Instant::now() + self.pause };
                    self.pause = (self.pause * 2).min(PAUSE_MAX);
                    return Some(Ok(WatchEvent::Interrupted(error)));
                }
                Err(error) => {
                    self.answers = Answers::Over;
                    return Some(Err(error));
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<Option<Part>, Error> {
        loop {
            match &mut self.answers {
                Answers::Open(answers) => {
                    let response = told_by(answers).await?;
                    self.pause = PAUSE_MIN;
                    return Ok(response.part);
                }
                Answers::Opening(opening) => {
                    let opened = opening.join_next().await.expect("it has one task");
                    let opened = opened.unwrap_or_else(|_| Err(runtime_stopped()));
                    self.go_on(opened?)?;
                    // What there is to tell of that comes first.
                    return Ok(None);
                }
                Answers::Broken { again_at } => {
                    sleep_until(*again_at).await;
                    self.answers = Answers::Opening(self.open_again());
                }
                Answers::Over => unreachable!("nobody asks a watch that is over"),
            }
        }
    }

    fn open_again(&self) -> JoinSet<Result<Begun, Error>> {
        // The point says what the copy must have; what else the session has seen may be of a lost history.
        let local = self.store.clone().with_level(Level::Local);
        let watch = self.watch.clone();
        let mut opening = JoinSet::new();
        opening.spawn(async move { local.begin_watch(&watch).await });
        opening
    }

    fn go_on(&mut self, (_started, answers): Begun) -> Result<(), Error> {
        self.answers = Answers::Open(Box::new(answers));
        // Of a point that is lost the node says so itself.
        if self.told.halfway && matches!(self.watch.from, From::State) {
            let why = "the state was broken off halfway";
            self.forget(ErrorDetail::new(Reason::Compacted, why))?;
        }
        Ok(())
    }

    fn forget(&mut self, why: ErrorDetail) -> Result<(), Error> {
        if self.watch.fails_when_lost {
            return Err(Error::compacted(why));
        }
        // Whatever the caller had: from here on it begins with the state.
        self.watch.from = From::State;
        self.told = Told { halfway: true, ..Told::default() };
        self.events.push_back(WatchEvent::StateAgain(why.message));
        Ok(())
    }

    fn take(&mut self, part: Option<Part>) -> Result<(), Error> {
        match part {
            Some(Part::Rows(rows)) => {
                self.told.halfway = true;
                for row in rows.rows {
                    self.events.push_back(WatchEvent::Row(Row::of(row)?));
                }
            }
            Some(Part::StateEnd(end)) => {
                let point = self.reach(end.point)?;
                self.events.push_back(WatchEvent::StateEnd(point));
            }
            Some(Part::Changes(changes)) => self.changed(changes)?,
            Some(Part::Progress(progress)) => {
                let point = self.reach(progress.point)?;
                self.events.push_back(WatchEvent::Point(point));
            }
            Some(Part::Again(again)) => {
                let unsaid = || ErrorDetail::new(Reason::Compacted, "the state is sent again");
                self.forget(again.why.unwrap_or_else(unsaid))?;
            }
            Some(Part::Started(_)) => {
                return Err(Error::protocol(Effect::None, "the watch begins twice"));
            }
            // A newer node may tell what this library does not know.
            None => {}
        }
        Ok(())
    }

    fn changed(&mut self, changes: Changes) -> Result<(), Error> {
        for change in changes.changes {
            let change = Change::of(change)?;
            let Revision { partition, offset } = change.revision;
            let next = self.told.since.entry(partition).or_default();
            // Told before the watch was interrupted, and after its last point.
            if offset < *next {
                continue;
            }
            *next = offset + 1;
            self.events.push_back(WatchEvent::Change(change));
        }
        if changes.point.is_some() {
            let point = self.reach(changes.point)?;
            self.events.push_back(WatchEvent::Point(point));
        }
        Ok(())
    }

    /// Everything up to `at` has been told, or is about to be. Reads in this session see it.
    fn reach(&mut self, at: Option<v1::WatchPoint>) -> Result<WatchPoint, Error> {
        let at = point(at)?;
        self.store.has_seen(at.token())?;
        self.watch.from = From::Point(at.clone());
        self.told = Told::default();
        Ok(at)
    }
}

impl Change {
    fn of(change: v1::Change) -> Result<Change, Error> {
        let lacks = |what: &str| Error::protocol(Effect::None, &format!("a change has no {what}"));
        let value = match change.what.ok_or_else(|| lacks("value"))? {
            What::Put(value) => Some(value),
            What::Delete(Tombstone {}) => None,
        };
        let revision = change.revision.ok_or_else(|| lacks("revision"))?;
        Ok(Change { key: change.key, value, revision })
    }
}

async fn told_by(answers: &mut Streaming<WatchResponse>) -> Result<WatchResponse, Error> {
    match answers.message().await {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Err(Error::protocol(Effect::None, "the watch ended without a reason")),
        Err(status) => Err(Error::of_call(Effect::None, status)),
    }
}

fn runtime_stopped() -> Error {
    Error::protocol(Effect::None, "the runtime stopped under the watch")
}

fn point(at: Option<v1::WatchPoint>) -> Result<WatchPoint, Error> {
    let at = at.ok_or_else(|| Error::protocol(Effect::None, "it has no point"))?;
    WatchPoint::try_from(at).map_err(|invalid| Error::protocol(Effect::None, &invalid.to_string()))
}

/// Whether it is worth to try again without anybody's help, with a watch that had begun or did not.
fn mends_itself(error: &Error, had_begun: bool) -> bool {
    match error.kind() {
        ErrorKind::Unreachable
        | ErrorKind::Unavailable
        | ErrorKind::Overloaded
        | ErrorKind::Deadline
        | ErrorKind::Broken => true,
        ErrorKind::Refused => match error.reason() {
            // It is the store that refuses, and its operator may help.
            Some(
                Reason::RefusedIdentity
                | Reason::RefusedTopicPolicy
                | Reason::RefusedLogIncomplete
                | Reason::RefusedCancelled,
            ) => true,
            // The token that it began with was taken away. Whether the client has a good one by now, the node will say.
            Some(Reason::Unauthenticated) => had_begun,
            Some(_) | None => false,
        },
        ErrorKind::Address
        | ErrorKind::Invalid
        | ErrorKind::SessionLost
        | ErrorKind::Compacted
        | ErrorKind::NotWritten
        | ErrorKind::Unknown => false,
    }
}
