//! The new topic: asked, judged, written and read through the log's own engine.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use outrigger_core::decide::policy_fault;
use outrigger_core::limits::Limits;
use outrigger_core::log::{KafkaError, LogCall, LogEvent};
use outrigger_core::offset::Partition;
use outrigger_core::stall::StallKind;
use outrigger_core::topic::LogFacts;

use super::{ReseedError, positions};
use crate::index::StoreIndex;
use crate::kafka::{KafkaConfig, KafkaLog, KafkaStartError};
use crate::log::Log as _;
use crate::rocks::{Progress, Source};
use crate::survey::{ANSWERED_MAX, unanswered};

/// The only topic of this engine.
const TOPIC: StoreIndex = StoreIndex(0);

/// How long a topic that was just created may be unknown to some broker.
const KNOWN_MAX: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Bytes that a record takes beside key and value in a batch of its own: headers, lengths, offsets.
const RECORD_BYTES: usize = 256;

pub(super) struct Target {
    log: KafkaLog,
    events: Receiver<LogEvent>,
}

impl Target {
    pub(super) fn open(kafka: &KafkaConfig, topic: &str) -> Result<Target, KafkaStartError> {
        let (sender, events) = mpsc::channel();
        let sink = Arc::new(move |_: StoreIndex, event: LogEvent| {
            // Nobody listens when this ends.
            sender.send(event).ok();
        });
        Ok(Target { log: KafkaLog::start(kafka, &[topic.to_owned()], sink)?, events })
    }

    pub(super) fn call(&self, call: LogCall) {
        self.log.call(TOPIC, call);
    }

    /// Returns the next answer; none when there is none within [`ANSWERED_MAX`]. Troubles of the client end by
    /// themselves, or show in an answer.
    pub(super) fn answer(&self) -> Option<LogEvent> {
        let until = Instant::now() + ANSWERED_MAX;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left).ok()? {
                LogEvent::Trouble(_) | LogEvent::PartitionCount(_) => {}
                answer => return Some(answer),
            }
        }
    }

    /// Returns what the log says of the topic. It may be asked only while nothing else is under way.
    pub(super) fn describe(&self) -> Result<LogFacts, KafkaError> {
        self.call(LogCall::Describe);
        match self.answer() {
            Some(LogEvent::Facts(facts)) => Ok(facts),
            Some(LogEvent::Failed { error, .. } | LogEvent::Leaderless { error, .. }) => Err(error),
            None => Err(unanswered()),
            Some(other) => unreachable!("nothing else was asked: {other:?}"),
        }
    }

    /// Returns what the log says of a topic that was just created.
    pub(super) fn describe_new(&self) -> Result<LogFacts, KafkaError> {
        let until = Instant::now() + KNOWN_MAX;
        loop {
            match self.describe() {
                Err(error) if Instant::now() < until && is_young(&error) => {
                    std::thread::sleep(ASK_AGAIN);
                }
                described => return described,
            }
        }
    }
}

pub(super) fn is_missing(error: &KafkaError) -> bool {
    StallKind::of(error) == StallKind::TopicGone
}

fn is_young(error: &KafkaError) -> bool {
    matches!(StallKind::of(error), StallKind::TopicGone | StallKind::LeaderUnavailable)
}

/// Whether the copy may be written there. `progress`: that of an earlier run into this very topic.
pub(super) fn check(
    facts: &LogFacts,
    source: &Source,
    largest_bytes: usize,
    progress: Option<&Progress>,
) -> Result<(), ReseedError> {
    if facts.topic == source.identity.topic {
        return Err(ReseedError::OwnTopic);
    }
    if let Some(fault) = policy_fault(&facts.policy, &Limits::PRODUCTION) {
        return Err(ReseedError::Policy(fault));
    }
    let needed = u64::try_from(largest_bytes + RECORD_BYTES).expect("a row fits the memory");
    if needed > facts.policy.message_bytes_max {
        let max = facts.policy.message_bytes_max;
        return Err(ReseedError::TooSmall { largest: largest_bytes, max });
    }
    match progress {
        None => check_empty(facts),
        Some(begun) => {
            let now = source.generation;
            if begun.generation != now || begun.positions != positions(source) {
                return Err(ReseedError::AnotherCopy { begun: begun.generation, now });
            }
            check_complete(facts)
        }
    }
}

fn check_empty(facts: &LogFacts) -> Result<(), ReseedError> {
    let mut partitions = (0..).map(Partition).zip(&facts.partitions);
    match partitions.find(|(_, facts)| facts.high_watermark.0 > 0) {
        None => Ok(()),
        Some((partition, facts)) => {
            let (log_start, end) = (facts.log_start, facts.high_watermark);
            Err(ReseedError::NotEmpty { partition, log_start, end })
        }
    }
}

/// Refuses a topic of which somebody has deleted records.
pub(super) fn check_complete(facts: &LogFacts) -> Result<(), ReseedError> {
    let mut partitions = (0..).map(Partition).zip(&facts.partitions);
    match partitions.find(|(_, facts)| facts.log_start.0 > 0) {
        None => Ok(()),
        Some((partition, facts)) => {
            Err(ReseedError::Deleted { partition, log_start: facts.log_start })
        }
    }
}
