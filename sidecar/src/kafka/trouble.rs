//! What the clients report of their own accord: named to the stores, without repeating itself.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::CStr;
use std::ops::Range;
use std::time::{Duration, Instant};

use outrigger_core::log::{KafkaError, LogEvent};

use super::raw::{Client, Code, Event};
use super::settings::{TROUBLE_EVERY, TROUBLE_LOGGED_EVERY};
use crate::index::StoreIndex;
use crate::log::LogSink;
use crate::telemetry::metrics::{self, Brokers};

pub(super) fn kafka_error(code: Code, not_persisted: bool) -> KafkaError {
    KafkaError { code: code.0, name: code.name(), not_persisted }
}

/// What this node must be allowed to do on a topic, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    Read,
    Describe,
    DescribeConfigs,
    Create,
}

impl Right {
    fn name(self) -> &'static str {
        match self {
            Right::Read => "Read",
            Right::Describe => "Describe",
            Right::DescribeConfigs => "DescribeConfigs",
            Right::Create => "Create",
        }
    }

    /// The error of what needs this right. Kafka says which topic was denied, not which right was missing.
    pub(super) fn error(self, code: Code) -> KafkaError {
        let mut error = kafka_error(code, false);
        if code == Code::TOPIC_AUTHORIZATION_FAILED {
            error.name += ": the right ";
            error.name += self.name();
            error.name += " is missing";
        }
        error
    }
}

/// Each thread has one: it tells each trouble at most once in a while, to one store or to all, and writes it into the
/// log less often still.
pub(super) struct Troubles {
    sink: LogSink,
    /// The stores that its client works for.
    stores: Range<usize>,
    told: Recent,
    logged: Recent,
    /// None: it is not in the metrics.
    statistics: Option<metrics::Client>,
}

impl Troubles {
    /// `client`: its name in the metrics.
    pub(super) fn new(client: &'static str, sink: LogSink, stores: usize) -> Troubles {
        Troubles::of(Some(metrics::Client::new(client, None)), sink, 0..stores)
    }

    /// Of a client that is there for a while, and for this store alone.
    pub(super) fn of_a_while(sink: LogSink) -> Troubles {
        Troubles::of(None, sink, 0..1)
    }

    /// Of a client that works for this store alone.
    pub(super) fn of_one(
        client: &'static str,
        sink: LogSink,
        store: StoreIndex,
        topic: &CStr,
    ) -> Troubles {
        let topic = topic.to_string_lossy().into_owned();
        let statistics = metrics::Client::new(client, Some(topic));
        Troubles::of(Some(statistics), sink, store.0..store.0 + 1)
    }

    fn of(statistics: Option<metrics::Client>, sink: LogSink, stores: Range<usize>) -> Troubles {
        Troubles {
            statistics,
            sink,
            stores,
            told: Recent::new(TROUBLE_EVERY),
            logged: Recent::new(TROUBLE_LOGGED_EVERY),
        }
    }

    pub(super) fn of_client(&mut self, code: Code, text: &str) {
        if self.logged.admits((None, code)) {
            tracing::warn!(code = code.0, name = code.name(), "kafka client: {text}");
        }
        if self.told.admits((None, code)) {
            for store in self.stores.clone().map(StoreIndex) {
                (self.sink)(store, LogEvent::Trouble(kafka_error(code, false)));
            }
        }
    }

    /// As [`Troubles::of_store`], where `right` is needed.
    pub(super) fn of_right(&mut self, store: StoreIndex, right: Right, code: Code, text: &str) {
        self.of_error(store, right.error(code), code, text);
    }

    pub(super) fn of_store(&mut self, store: StoreIndex, code: Code, text: &str) {
        self.of_error(store, kafka_error(code, false), code, text);
    }

    fn of_error(&mut self, store: StoreIndex, error: KafkaError, code: Code, text: &str) {
        if self.logged.admits((Some(store), code)) {
            tracing::warn!(%store, code = code.0, name = error.name, "kafka partition: {text}");
        }
        if self.told.admits((Some(store), code)) {
            (self.sink)(store, LogEvent::Trouble(error));
        }
    }

    /// The part of a client's events that is the same for every client. `client` is the one that tells.
    pub(super) fn hear(&mut self, event: &Event<'_>, client: &Client) {
        match event {
            Event::Error { code, text } => self.of_client(*code, text),
            // Whatever matters comes as an error too; the log of librdkafka repeats itself.
            Event::Log { level, facility, text } => {
                tracing::debug!(target: "librdkafka", level, facility, "{text}");
            }
            Event::Statistics(json) => {
                let told = self.statistics.as_mut().map(|statistics| statistics.tell(json));
                if told == Some(Brokers::None) {
                    tracing::warn!(
                        "kafka client: it knows of no broker any more, and begins again with `bootstrap`"
                    );
                    client.begin_again();
                }
            }
            Event::Deliveries(_)
            | Event::Topic { .. }
            | Event::Configs { .. }
            | Event::Offsets { .. }
            | Event::Created { .. }
            | Event::Group { .. } => {}
        }
    }
}

type Subject = (Option<StoreIndex>, Code);

/// Admits each subject once in `every`.
struct Recent {
    every: Duration,
    admitted: BTreeMap<Subject, Instant>,
}

impl Recent {
    fn new(every: Duration) -> Recent {
        Recent { every, admitted: BTreeMap::new() }
    }

    fn admits(&mut self, subject: Subject) -> bool {
        let now = Instant::now();
        self.admitted.retain(|_, at| now.duration_since(*at) < self.every);
        match self.admitted.entry(subject) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(now);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn only_a_denial_names_the_right() {
        let denied = Right::DescribeConfigs.error(Code::TOPIC_AUTHORIZATION_FAILED).name;
        assert_eq!(denied, "TOPIC_AUTHORIZATION_FAILED: the right DescribeConfigs is missing");
        assert_eq!(Right::Read.error(Code::TIMED_OUT).name, Code::TIMED_OUT.name());
    }

    #[test]
    fn a_trouble_that_repeats_itself_is_told_once_and_to_each_store() {
        let (sender, told) = mpsc::channel();
        let sender = std::sync::Mutex::new(sender);
        let sink = move |store, event| sender.lock().unwrap().send((store, event)).unwrap();
        let mut troubles = Troubles::new("consumer", std::sync::Arc::new(sink), 2);
        let down = Code(-187);
        for _ in 0..5 {
            troubles.of_client(down, "all brokers are down");
            troubles.of_store(StoreIndex(1), down, "of one store");
        }
        drop(troubles);
        let stores: Vec<usize> = told.iter().map(|(store, _)| store.0).collect();
        assert_eq!(stores, [0, 1, 1]);
    }
}
