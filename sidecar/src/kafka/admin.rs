//! Questions to the cluster: one thread that asks asynchronously and puts the answers together.
//!
//! Any number of stores' questions are under way at the same time; each request ends within its
//! timeout. A question whose parts did not all succeed has failed, with the first error; but a leader that does not answer
//! costs its partition's answer only. What an answer says of the topic's limit goes to its producer, too.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use outrigger_core::log::{LogCallKind, LogEvent};
use outrigger_core::offset::Partition;

use super::PartitionCounts;
use super::appends::Limit;
use super::config::KafkaConfig;
use super::facts::Findings;
use super::leaders::Leaders;
use super::raw::{Client, ClientError, Code, Configured, Event, OffsetSpec, Queue, Timeout};
use super::settings::ADMIN_TIMEOUT;
use super::trouble::{Right, Troubles, kafka_error};
use crate::index::StoreIndex;
use crate::log::LogSink;
use crate::vital::Work;

pub(super) enum ToAdmin {
    Ask {
        store: StoreIndex,
        kind: LogCallKind,
    },
    /// What the topic takes; only its producer is told.
    AskLimit {
        store: StoreIndex,
    },
    /// Something arrived in the empty queue of answers.
    Answers,
    /// Something arrived in the empty queue of the client's events.
    Events,
    /// Files of TLS were renewed.
    Renew,
    Stop,
}

pub(super) struct Admin {
    asking: Asking,
    /// Clients from before files of TLS were renewed, each with the last question that it was asked.
    ending: Vec<(Asking, usize)>,
    config: KafkaConfig,
    inbox: Sender<ToAdmin>,
    topics: Arc<[CString]>,
    counts: PartitionCounts,
    /// Indexed by store; empty in a log that only reads.
    limits: Vec<Limit>,
    /// Indexed by store.
    leaders: Vec<Leaders>,
    questions: BTreeMap<usize, Question>,
    asked: usize,
    sink: LogSink,
    troubles: Troubles,
}

/// A client. Its fields are in the order in which they may go: queues before their client.
struct Asking {
    answers: Queue,
    events: Queue,
    client: Client,
}

impl Asking {
    fn begin(config: &KafkaConfig, inbox: &Sender<ToAdmin>) -> Result<Asking, ClientError> {
        let client = config.admin()?;
        let (to_self, also) = (inbox.clone(), inbox.clone());
        // Both fail only when the thread has ended, which then has no use for answers.
        let answers = client.new_queue().wake_with(move || {
            to_self.send(ToAdmin::Answers).ok();
        });
        let events = client.main_queue().wake_with(move || {
            also.send(ToAdmin::Events).ok();
        });
        Ok(Asking { answers, events, client })
    }
}

struct Question {
    store: StoreIndex,
    purpose: Purpose,
    unanswered: usize,
    /// Partitions whose leaders are asked.
    partitions: Vec<Partition>,
    /// Partitions whose leaders are not asked, and what those said last.
    left_out: BTreeMap<Partition, Code>,
    findings: Findings,
    error: Option<(Code, Right)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Call(LogCallKind),
    /// What the topic takes, for its producer.
    Limit,
    /// Whether the partition's leader answers again.
    Leader(Partition),
}

/// An event's tag: the question, and which of its two offset requests this is.
#[derive(Clone, Copy)]
struct Tag {
    question: usize,
    spec: OffsetSpec,
}

impl Tag {
    fn packed(self) -> usize {
        self.question << 1 | usize::from(self.spec == OffsetSpec::LogStart)
    }

    fn unpacked(tag: usize) -> Tag {
        let spec = if tag & 1 == 1 { OffsetSpec::LogStart } else { OffsetSpec::HighWatermark };
        Tag { question: tag >> 1, spec }
    }
}

impl Admin {
    pub(super) fn new(
        config: &KafkaConfig,
        topics: Arc<[CString]>,
        counts: PartitionCounts,
        limits: Vec<Limit>,
        inbox: Sender<ToAdmin>,
        sink: LogSink,
        troubles: Troubles,
    ) -> Result<Admin, ClientError> {
        let asking = Asking::begin(config, &inbox)?;
        let (questions, asked) = (BTreeMap::new(), 0);
        let leaders = topics.iter().map(|_| Leaders::default()).collect();
        Ok(Admin {
            asking,
            ending: Vec::new(),
            config: config.clone(),
            inbox,
            topics,
            counts,
            limits,
            leaders,
            questions,
            asked,
            sink,
            troubles,
        })
    }

    pub(super) fn run(mut self, inbox: &Work<ToAdmin>) {
        while let Ok(next) = inbox.recv() {
            match next {
                ToAdmin::Ask { store, kind } => self.ask(store, Purpose::Call(kind)),
                ToAdmin::AskLimit { store } => self.ask(store, Purpose::Limit),
                ToAdmin::Answers => self.take_answers(),
                ToAdmin::Events => {
                    let Admin { asking, troubles, .. } = &mut self;
                    let Asking { events, client, .. } = asking;
                    while events.poll(Duration::ZERO, |event| troubles.hear(&event, client)) {}
                }
                ToAdmin::Renew => self.renew(),
                ToAdmin::Stop => break,
            }
        }
    }

    /// From now on questions are asked by a client that has read the files of TLS as they are now.
    fn renew(&mut self) {
        match Asking::begin(&self.config, &self.inbox) {
            Ok(asking) => {
                let before = std::mem::replace(&mut self.asking, asking);
                self.ending.push((before, self.asked));
                self.end_answered();
            }
            Err(error) => {
                tracing::warn!(%error, "questions go on with the files of TLS that there were");
            }
        }
    }

    /// Ends the replaced clients whose questions are answered: each question is, within its timeout.
    fn end_answered(&mut self) {
        let first = self.questions.keys().next().copied();
        let is_over = |(_, last): &mut (Asking, usize)| first.is_none_or(|first| first > *last);
        for over in self.ending.extract_if(.., is_over) {
            // Its own threads may hang in a name lookup; nobody waits for them.
            std::thread::spawn(move || drop(over));
        }
    }

    fn ask(&mut self, store: StoreIndex, purpose: Purpose) {
        self.asked += 1;
        let number = self.asked;
        let mut question = Question {
            store,
            purpose,
            unanswered: 0,
            partitions: Vec::new(),
            left_out: BTreeMap::new(),
            findings: Findings::default(),
            error: None,
        };
        let tag = Tag { question: number, spec: OffsetSpec::HighWatermark };
        let (name, timeout) = (&self.topics[store.0], Timeout(ADMIN_TIMEOUT));
        let Asking { client, answers, .. } = &self.asking;
        match purpose {
            Purpose::Limit => {
                question.unanswered = 1;
                let topic = Configured::Topic(name);
                client.describe_configs(topic, tag.packed(), timeout, answers);
            }
            Purpose::Leader(partition) => {
                question.partitions.push(partition);
                self.list_offsets(tag, &mut question);
            }
            Purpose::Call(LogCallKind::Describe) => {
                question.unanswered = 2;
                client.describe_topic(name, tag.packed(), timeout, answers);
                let topic = Configured::Topic(name);
                client.describe_configs(topic, tag.packed(), timeout, answers);
            }
            Purpose::Call(LogCallKind::TopicId) => {
                question.unanswered = 1;
                client.describe_topic(name, tag.packed(), timeout, answers);
            }
            Purpose::Call(LogCallKind::Ends) => {
                match self.counts[store.0].load(Ordering::Acquire) {
                    0 => {
                        question.unanswered = 1;
                        client.describe_topic(name, tag.packed(), timeout, answers);
                    }
                    count => {
                        self.ask_leaders(tag, &mut question, count, &[OffsetSpec::HighWatermark])
                    }
                }
            }
        }
        self.questions.insert(number, question);
    }

    /// Asks the leaders that answered the last time together, and each of the others alone.
    fn ask_leaders(&mut self, tag: Tag, question: &mut Question, count: u32, specs: &[OffsetSpec]) {
        let leaders = &self.leaders[question.store.0];
        question.partitions = leaders.together(count);
        question.left_out = leaders.left_out(count);
        for spec in specs {
            self.list_offsets(Tag { spec: *spec, ..tag }, question);
        }
        self.ask_silent(question.store, count);
    }

    fn ask_silent(&mut self, store: StoreIndex, count: u32) {
        for partition in self.leaders[store.0].alone(count) {
            self.ask(store, Purpose::Leader(partition));
        }
    }

    fn list_offsets(&self, tag: Tag, question: &mut Question) {
        question.unanswered += 1;
        let (name, partitions) = (&self.topics[question.store.0], &question.partitions);
        let timeout = Timeout(ADMIN_TIMEOUT);
        let Asking { client, answers, .. } = &self.asking;
        client.list_offsets(name, partitions, tag.spec, tag.packed(), timeout, answers);
    }

    /// Begins the second round of a question whose first round told how many partitions there are.
    fn ask_for_offsets(&mut self, tag: Tag, question: &mut Question) {
        let specs: &[OffsetSpec] = match question.purpose {
            Purpose::Call(LogCallKind::Describe) => {
                &[OffsetSpec::LogStart, OffsetSpec::HighWatermark]
            }
            Purpose::Call(LogCallKind::Ends) => &[OffsetSpec::HighWatermark],
            Purpose::Call(LogCallKind::TopicId) | Purpose::Limit | Purpose::Leader(_) => return,
        };
        let count = question.findings.partitions();
        self.counts[question.store.0].store(count, Ordering::Release);
        self.ask_leaders(tag, question, count, specs);
    }

    /// Notes which leaders answer, before the next question is asked.
    fn hear_leaders(&mut self, question: &Question, answer: &Answer) {
        let Answer::Offsets(answer) = answer else { return };
        let Question { store, purpose, partitions, .. } = question;
        let leaders = &mut self.leaders[store.0];
        match purpose {
            Purpose::Leader(partition) => leaders.hear_alone(*partition, answer),
            Purpose::Call(_) | Purpose::Limit => {
                leaders.hear(partitions, answer);
                self.ask_silent(*store, self.counts[store.0].load(Ordering::Acquire));
            }
        }
    }

    fn take_answers(&mut self) {
        let mut answers = Vec::new();
        let mut take = |event: Event<'_>| answers.extend(Answer::of(event));
        for asking in self.ending.iter().map(|(ending, _)| ending).chain([&self.asking]) {
            while asking.answers.poll(Duration::ZERO, &mut take) {}
        }
        for (tag, answer) in answers {
            self.take_answer(Tag::unpacked(tag), answer);
        }
        self.end_answered();
    }

    fn take_answer(&mut self, tag: Tag, answer: Answer) {
        let mut question = self.questions.remove(&tag.question).expect("an open question");
        question.unanswered -= 1;
        let described = matches!(answer, Answer::Topic(Ok(_)));
        let right = answer.right();
        self.hear_leaders(&question, &answer);
        if let Err(code) = question.findings.add(tag.spec, answer) {
            question.error.get_or_insert((code, right));
        }
        if described {
            // The same answer told it: librdkafka keeps it for whoever asks.
            question.findings.add_cluster(self.asking.client.cluster_id());
            self.ask_for_offsets(tag, &mut question);
        }
        if question.unanswered > 0 {
            self.questions.insert(tag.question, question);
            return;
        }
        let Question { store, purpose, findings, left_out, error, .. } = question;
        // The producer is told before the node hears of the topic: what the node writes then goes into batches that the
        // topic takes.
        if let Some(bytes) = findings.message_bytes_max() {
            self.limits.get(store.0).inspect(|limit| limit.tell(bytes));
        }
        let Purpose::Call(kind) = purpose else { return };
        let (counted, told) = (findings.partitions(), self.counts[store.0].load(Ordering::Acquire));
        if kind == LogCallKind::TopicId && ![0, told].contains(&counted) {
            (self.sink)(store, LogEvent::PartitionCount(counted));
        }
        let failed = |error| LogEvent::Failed { call: kind, error };
        let event = match error {
            Some((code, right)) => failed(right.error(code)),
            None => {
                let answer = findings.into_event(kind, &left_out);
                answer.unwrap_or_else(|code| failed(kafka_error(code, false)))
            }
        };
        (self.sink)(store, event);
    }
}

/// One of the answers that make up the answer to a question.
pub(super) enum Answer {
    Topic(Result<super::raw::TopicDescription, Code>),
    Configs(Result<BTreeMap<String, String>, Code>),
    Offsets(Result<Vec<super::raw::ListedOffset>, Code>),
}

impl Answer {
    /// Which right the question needs.
    fn right(&self) -> Right {
        match self {
            Answer::Configs(_) => Right::DescribeConfigs,
            Answer::Topic(_) | Answer::Offsets(_) => Right::Describe,
        }
    }

    fn of(event: Event<'_>) -> Option<(usize, Answer)> {
        match event {
            Event::Topic { tag, answer } => Some((tag, Answer::Topic(answer))),
            Event::Configs { tag, answer } => Some((tag, Answer::Configs(answer))),
            Event::Offsets { tag, answer } => {
                // librdkafka's word for it would be taken for a topic that is gone.
                let named =
                    |code| if code == Code::NOENT { Code::LEADER_NOT_AVAILABLE } else { code };
                Some((tag, Answer::Offsets(answer.map_err(named))))
            }
            Event::Deliveries(_)
            | Event::Error { .. }
            | Event::Log { .. }
            | Event::Statistics(_)
            | Event::Created { .. }
            | Event::Group { .. } => None,
        }
    }
}
