//! What reads the log for watches that are behind the ring: a few readers in a process, each with clients of its own.
//!
//! A client of the log hears of a partition's leaders one after the other, and core counts on that (`core::watch::behind`): so
//! one that was in trouble is given up for another, and core is told that it failed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_core::log::{LogEvent, Loss};
use outrigger_core::watch::reader::{Answer, LogReader, Missed, Turn, Wanted};
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::index::StoreIndex;
use crate::log::{Log, LogSink, OpenBeside};

/// Readers of a process at the same time. Each fetches some MiB ahead; one more waits.
const READERS_MAX: usize = 4;

/// How long the log may take for a batch: who waits for a leader that is away leaves its place to others.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How long a watch whose caller takes nothing keeps its place.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// How long a watch keeps its place while others wait for one.
const TURN_MAX: Duration = Duration::from_secs(10);

/// How long after it has failed a question is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Where a log that is opened beside another has its one store.
const ITS_STORE: StoreIndex = StoreIndex(0);

#[derive(Clone)]
pub(super) struct Beside {
    open: Option<OpenBeside>,
    places: Arc<Places>,
}

struct Places {
    free: Arc<Semaphore>,
    /// Whoever waits for a place has this as well.
    waiting: Arc<()>,
}

/// The reader of one watch. Dropping it ends its clients.
pub struct LogBeside {
    wanted: Sender<Wanted>,
    answers: Receiver<Answer>,
    _task: AbortOnDropHandle<()>,
}

struct Client {
    /// None only while it is dropped, as its place.
    log: Option<Box<dyn Log>>,
    place: Option<OwnedSemaphorePermit>,
    since: Instant,
    /// Answers to calls that it made. They are few, as the calls are.
    events: UnboundedReceiver<LogEvent>,
    reader: LogReader,
}

impl Beside {
    pub(super) fn new(open: Option<OpenBeside>) -> Beside {
        let free = Arc::new(Semaphore::new(READERS_MAX));
        Beside { open, places: Arc::new(Places { free, waiting: Arc::default() }) }
    }

    /// It must be called on a tokio runtime.
    pub(super) fn reader(&self, store: StoreIndex) -> LogBeside {
        let (wanted, asked) = mpsc::channel(1);
        let (given, answers) = mpsc::channel(1);
        let task = tokio::spawn(self.clone().serve(store, asked, given));
        LogBeside { wanted, answers, _task: AbortOnDropHandle::new(task) }
    }

    async fn serve(self, store: StoreIndex, mut asked: Receiver<Wanted>, given: Sender<Answer>) {
        let (mut client, mut gave_way) = (None, false);
        loop {
            let wanted = match timeout(IDLE_MAX, asked.recv()).await {
                Ok(wanted) => wanted,
                Err(_idle) => {
                    gave_way |= client.take().is_some();
                    asked.recv().await
                }
            };
            let Some(wanted) = wanted else { return };
            let has_won = wanted.is_for_records();
            // The next client may have heard of fewer leaders than the last, which core must know.
            let answer = if std::mem::take(&mut gave_way) {
                Err(Missed::Failed)
            } else {
                self.read(&mut client, store, wanted).await
            };
            if answer == Err(Missed::Failed) {
                client = None;
            }
            // After giving way, who leads must be proven anew: so it gives way only after it was asked for records.
            if has_won
                && self.places.are_waited_for()
                && client.as_ref().is_some_and(|client| client.since.elapsed() >= TURN_MAX)
            {
                (client, gave_way) = (None, true);
            }
            if given.send(answer).await.is_err() {
                return;
            }
        }
    }

    async fn read(&self, client: &mut Option<Client>, store: StoreIndex, wanted: Wanted) -> Answer {
        // Where the engine opens no second client, the watch is sent the state.
        let open = self.open.clone().ok_or(Missed::Lost(Loss::OutOfRange))?;
        let client = match client {
            Some(client) => client,
            None => client.insert(self.client(open, store).await.ok_or(Missed::Failed)?),
        };
        timeout(ANSWER_MAX, client.read(wanted)).await.unwrap_or(Err(Missed::Failed))
    }

    async fn client(&self, open: OpenBeside, store: StoreIndex) -> Option<Client> {
        let place = self.places.take().await?;
        let (told, events) = mpsc::unbounded_channel();
        let sink: LogSink = Arc::new(move |_, event| {
            // Whoever wanted it may be gone.
            let _gone = told.send(event);
        });
        // The place goes with whatever takes it: this may be given up while a client is opened.
        let opening = spawn_blocking(move || Some((open(store, sink)?, place)));
        let (log, place) = opening.await.ok()??;
        let reader = LogReader::default();
        Some(Client { log: Some(log), place: Some(place), since: Instant::now(), events, reader })
    }
}

impl Places {
    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        let _waits = Arc::clone(&self.waiting);
        self.free.clone().acquire_owned().await.ok()
    }

    fn are_waited_for(&self) -> bool {
        Arc::strong_count(&self.waiting) > 1
    }
}

impl LogBeside {
    /// Asks for a batch. What was asked for before has been answered.
    pub fn read(&self, wanted: Wanted) {
        // Where it has ended, `answer` says so.
        let _ended = self.wanted.try_send(wanted);
    }

    /// Waits for the answer; where nothing was asked for, for ever.
    pub async fn answer(&mut self) -> Answer {
        self.answers.recv().await.unwrap_or(Err(Missed::Failed))
    }
}

impl Client {
    async fn read(&mut self, wanted: Wanted) -> Answer {
        let mut call = self.reader.read(wanted);
        loop {
            self.log.as_ref().expect("it is not dropped").call(ITS_STORE, call);
            call = loop {
                match self.events.recv().await {
                    // A client that knows of nobody any more begins anew, and forgets which leaders it has heard of.
                    Some(LogEvent::Trouble(trouble)) if !trouble.is_all_brokers_down() => {}
                    None | Some(LogEvent::Trouble(_)) => return Err(Missed::Failed),
                    Some(event) => match self.reader.on_event(event) {
                        Turn::Call(call) => break call,
                        Turn::Again(call) => {
                            sleep(AGAIN_AFTER).await;
                            break call;
                        }
                        Turn::Answer(answer) => return answer,
                        Turn::Nothing => {}
                    },
                }
            };
        }
    }
}

impl Drop for Client {
    /// Its threads are waited for elsewhere, and its place is free when they have ended.
    fn drop(&mut self) {
        let (log, place) = (self.log.take(), self.place.take());
        std::thread::spawn(move || {
            drop(log);
            drop(place);
        });
    }
}
