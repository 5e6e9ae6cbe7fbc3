//! Cursors as Kafka keeps them: what consumer groups without members have committed.
//!
//! ```text
//!  calls ──> Asker (a thread, a client; from the first question on, until there is none for a while) ──> coordinators
//!    ^------------- oneshot ------------'
//! ```
//! A question is asked again while the group's coordinator is about to be another one.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outrigger_core::log::KafkaError;
use outrigger_core::offset::Partition;
use outrigger_core::watch::cursor::Committed;
use tokio::sync::oneshot;

use super::config::{KafkaConfig, KafkaStartError};
use super::raw::{Client, Code, Event, GroupAnswer, Queue, Timeout};
use super::renewal::Renewed;
use super::settings::{ADMIN_TIMEOUT, COORDINATED_WITHIN, COORDINATOR_AGAIN, GROUPS_IDLE_MAX};
use super::trouble::{Troubles, kafka_error};
use super::{Stop, Thread};
use crate::index::StoreIndex;
use crate::log::{Cursors, CursorsError, Kept};
use crate::vital::Work;

/// A clone is a reference.
#[derive(Clone)]
pub(super) struct KafkaCursors(Arc<Shared>);

struct Shared {
    config: KafkaConfig,
    /// Indexed by store.
    topics: Arc<[CString]>,
    renewed: Renewed,
    /// No other lock is taken while it is held.
    asker: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    asker: Option<Arc<Asker>>,
    /// When it was asked last.
    at: Option<Instant>,
    /// Whether somebody ends it when it has rested.
    is_looked_after: bool,
}

/// A client with its thread. Whoever asks it holds it until it is answered.
struct Asker {
    /// How often files of TLS had changed when it was made.
    renewed: u64,
    /// None only while it is dropped.
    thread: Option<Thread<ToAsker>>,
}

enum ToAsker {
    Ask {
        question: Question,
        answer: Answer,
    },
    /// Something arrived in the empty queue of answers.
    Answers,
    /// Something arrived in the empty queue of the client's events.
    Events,
    Stop,
}

type Answer = oneshot::Sender<Result<GroupAnswer, Code>>;

#[derive(Clone)]
enum Question {
    Commit { group: CString, topic: CString, committed: Vec<Committed> },
    Committed { group: CString },
    Groups { prefix: CString },
    Delete { group: CString, topic: CString, partitions: Vec<Partition> },
}

impl Question {
    /// A group that whoever asks it may describe.
    fn group(&self) -> &CString {
        match self {
            Question::Commit { group, .. }
            | Question::Committed { group }
            | Question::Groups { prefix: group }
            | Question::Delete { group, .. } => group,
        }
    }
}

impl Stop for ToAsker {
    const STOP: ToAsker = ToAsker::Stop;
}

impl KafkaCursors {
    pub(super) fn new(
        config: &KafkaConfig,
        topics: Arc<[CString]>,
        renewed: Renewed,
    ) -> KafkaCursors {
        let (config, asker) = (config.clone(), Mutex::default());
        KafkaCursors(Arc::new(Shared { config, topics, renewed, asker }))
    }

    async fn ask(self, question: Question) -> Result<GroupAnswer, Code> {
        let until = Instant::now() + COORDINATED_WITHIN;
        loop {
            let answered = self.ask_once(question.clone()).await;
            match answered {
                Err(code) if is_on_its_way(code) && Instant::now() < until => {
                    if code == Code::NOT_COORDINATOR {
                        // A client goes on with the one that it knows, as long as it is asked.
                        self.0.used().asker = None;
                    }
                    tokio::time::sleep(COORDINATOR_AGAIN).await;
                }
                answered => return answered,
            }
        }
    }

    async fn ask_once(&self, question: Question) -> Result<GroupAnswer, Code> {
        let asker = self.asker(question.group()).map_err(|error| {
            tracing::warn!(%error, "cannot ask Kafka about cursors");
            Code::FAIL
        })?;
        let (answer, answered) = oneshot::channel();
        asker.thread.as_ref().expect("it is not dropped").send(ToAsker::Ask { question, answer });
        answered.await.unwrap_or_else(|_no_client| {
            // The next question makes another.
            self.0.used().asker = None;
            Err(Code::DESTROY)
        })
    }

    /// It must be called on a tokio runtime.
    fn asker(&self, group: &CStr) -> Result<Arc<Asker>, KafkaStartError> {
        let renewed = self.0.renewed.times();
        let mut used = self.0.used();
        let there = used.asker.take().filter(|asker| asker.renewed == renewed);
        let asker = match there {
            Some(asker) => asker,
            None => Arc::new(Asker::start(&self.0.config, group, renewed)?),
        };
        if !std::mem::replace(&mut used.is_looked_after, true) {
            tokio::spawn(self.clone().end_when_idle());
        }
        used.asker = Some(Arc::clone(&asker));
        used.at = Some(Instant::now());
        Ok(asker)
    }

    async fn end_when_idle(self) {
        loop {
            tokio::time::sleep(GROUPS_IDLE_MAX).await;
            let mut used = self.0.used();
            if used.at.is_none_or(|at| at.elapsed() >= GROUPS_IDLE_MAX) {
                *used = Used::default();
                return;
            }
        }
    }
}

impl Shared {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.asker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the same question is soon answered otherwise: the group's coordinator is not there yet.
fn is_on_its_way(code: Code) -> bool {
    matches!(
        code,
        Code::COORDINATOR_LOAD_IN_PROGRESS
            | Code::COORDINATOR_NOT_AVAILABLE
            | Code::NOT_COORDINATOR
    )
}

impl Asker {
    fn start(config: &KafkaConfig, group: &CStr, renewed: u64) -> Result<Asker, KafkaStartError> {
        let (inbox, messages) = mpsc::channel();
        let (config, group, to_self) = (config.clone(), group.to_owned(), inbox.clone());
        let run = move |inbox: &Work<ToAsker>| match Asked::begin(&config, &group, &to_self) {
            Ok(asked) => asked.run(inbox),
            Err(error) => {
                tracing::warn!(%error, "cannot ask Kafka about cursors");
                // Whoever asks is told by the end of its question.
                while let Ok(ToAsker::Ask { .. } | ToAsker::Answers | ToAsker::Events) =
                    inbox.recv()
                {}
            }
        };
        let thread = Thread::start("kafka-cursors", inbox, messages, run)?;
        Ok(Asker { renewed, thread: Some(thread) })
    }
}

impl Drop for Asker {
    /// The client's own threads may hang in a name lookup; nobody waits for them.
    fn drop(&mut self) {
        let thread = self.thread.take();
        // Where there is no thread for it, it is waited for here.
        let _waits = std::thread::Builder::new().spawn(move || drop(thread));
    }
}

/// What the thread owns. Its fields are in the order in which they may go: queues before their client.
struct Asked {
    answers: Queue,
    events: Queue,
    client: Client,
    troubles: Troubles,
    /// By tag.
    open: BTreeMap<usize, Answer>,
    asked: usize,
}

impl Asked {
    fn begin(
        config: &KafkaConfig,
        group: &CStr,
        inbox: &Sender<ToAsker>,
    ) -> Result<Asked, KafkaStartError> {
        let client = config.groups(group)?;
        let (to_self, also) = (inbox.clone(), inbox.clone());
        // Both fail only when the thread has ended, which then has no use for answers.
        let answers = client.new_queue().wake_with(move || {
            to_self.send(ToAsker::Answers).ok();
        });
        let events = client.main_queue().wake_with(move || {
            also.send(ToAsker::Events).ok();
        });
        // No store waits for it: its troubles are logged, and told to whoever asked.
        let troubles = Troubles::of_a_while(Arc::new(|_, _| {}));
        Ok(Asked { answers, events, client, troubles, open: BTreeMap::new(), asked: 0 })
    }

    fn run(mut self, inbox: &Work<ToAsker>) {
        while let Ok(next) = inbox.recv() {
            match next {
                ToAsker::Ask { question, answer } => self.ask(question, answer),
                ToAsker::Answers => self.take_answers(),
                ToAsker::Events => {
                    let Asked { events, client, troubles, .. } = &mut self;
                    while events.poll(Duration::ZERO, |event| troubles.hear(&event, client)) {}
                }
                ToAsker::Stop => break,
            }
        }
    }

    fn ask(&mut self, question: Question, answer: Answer) {
        self.asked += 1;
        let (tag, timeout) = (self.asked, Timeout(ADMIN_TIMEOUT));
        self.open.insert(tag, answer);
        let Asked { client, answers, .. } = self;
        match question {
            Question::Commit { group, topic, committed } => {
                client.alter_group_offsets(&group, &topic, &committed, tag, timeout, answers);
            }
            Question::Committed { group } => {
                client.list_group_offsets(&group, tag, timeout, answers);
            }
            Question::Groups { prefix: _ } => client.list_groups(tag, timeout, answers),
            Question::Delete { group, topic, partitions } => {
                client.delete_group_offsets(&group, &topic, &partitions, tag, timeout, answers);
            }
        }
    }

    fn take_answers(&mut self) {
        let open = &mut self.open;
        let mut take = |event: Event<'_>| {
            let Event::Group { tag, answer } = event else { return };
            if let Some(asked) = open.remove(&tag) {
                // Whoever asked may be gone.
                asked.send(answer).ok();
            }
        };
        while self.answers.poll(Duration::ZERO, &mut take) {}
    }
}

impl Cursors for KafkaCursors {
    fn commit(&self, store: StoreIndex, group: &str, committed: Vec<Committed>) -> Kept<()> {
        let (cursors, topic) = (self.clone(), self.0.topics[store.0].clone());
        let failure = Failure { group: group.to_owned(), right: "Read" };
        Box::pin(async move {
            let group = failure.name()?;
            let asked = cursors.ask(Question::Commit { group, topic, committed });
            asked.await.map(drop).map_err(|code| failure.of(code))
        })
    }

    fn committed(&self, store: StoreIndex, group: &str) -> Kept<Vec<Committed>> {
        let (cursors, topic) = (self.clone(), self.0.topics[store.0].clone());
        let failure = Failure { group: group.to_owned(), right: "Describe" };
        Box::pin(async move {
            let group = failure.name()?;
            match cursors.ask(Question::Committed { group }).await {
                Ok(GroupAnswer::Committed(all)) => {
                    let of_topic =
                        all.into_iter().filter(|(of, _)| of.as_bytes() == topic.as_bytes());
                    Ok(of_topic.map(|(_, committed)| committed).collect())
                }
                Ok(GroupAnswer::Done | GroupAnswer::Groups(_)) => Err(failure.of(Code::FAIL)),
                Err(Code::GROUP_ID_NOT_FOUND) => Ok(Vec::new()),
                Err(code) => Err(failure.of(code)),
            }
        })
    }

    fn groups(&self, prefix: &str) -> Kept<Vec<String>> {
        let (cursors, prefix) = (self.clone(), prefix.to_owned());
        let failure = Failure { group: format!("{prefix}*"), right: "Describe" };
        Box::pin(async move {
            let of = CString::new(prefix.as_str()).map_err(|_zero_byte| failure.of(Code::FAIL))?;
            match cursors.ask(Question::Groups { prefix: of }).await {
                Ok(GroupAnswer::Groups(mut groups)) => {
                    groups.retain(|group| group.starts_with(&prefix));
                    Ok(groups)
                }
                Ok(GroupAnswer::Done | GroupAnswer::Committed(_)) => Err(failure.of(Code::FAIL)),
                Err(code) => Err(failure.of(code)),
            }
        })
    }

    fn delete(&self, store: StoreIndex, group: &str, partitions: Vec<Partition>) -> Kept<()> {
        let (cursors, topic) = (self.clone(), self.0.topics[store.0].clone());
        let failure = Failure { group: group.to_owned(), right: "Delete" };
        Box::pin(async move {
            let group = failure.name()?;
            match cursors.ask(Question::Delete { group, topic, partitions }).await {
                Ok(_) | Err(Code::GROUP_ID_NOT_FOUND) => Ok(()),
                Err(code) => Err(failure.of(code)),
            }
        })
    }
}

/// What a question failed about, and the right that it needs on the group.
struct Failure {
    group: String,
    right: &'static str,
}

impl Failure {
    fn name(&self) -> Result<CString, CursorsError> {
        CString::new(self.group.as_str()).map_err(|_zero_byte| self.of(Code::FAIL))
    }

    fn of(&self, code: Code) -> CursorsError {
        let denied = |right, of| CursorsError::Denied { right, of, error: error(code) };
        let Failure { group, right } = self;
        match code {
            // A commit without a member is answered with the first two, where there are members.
            Code::UNKNOWN_MEMBER_ID
            | Code::REBALANCE_IN_PROGRESS
            | Code::NON_EMPTY_GROUP
            | Code::GROUP_SUBSCRIBED_TO_TOPIC => CursorsError::InUse { group: group.clone() },
            Code::GROUP_AUTHORIZATION_FAILED => denied(right, format!("the group {group}")),
            Code::TOPIC_AUTHORIZATION_FAILED => denied("Read", "the topic".to_owned()),
            code => CursorsError::Failed(error(code)),
        }
    }
}

fn error(code: Code) -> KafkaError {
    kafka_error(code, false)
}
