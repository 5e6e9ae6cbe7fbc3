//! What the clients report of their own accord: named to the stores, without repeating itself.

use std::collections::BTreeMap;
use std::time::Instant;

use outrigger_core::log::{KafkaError, LogEvent};

use super::LogSink;
use super::raw::{Code, Event};
use super::settings::TROUBLE_EVERY;
use crate::index::StoreIndex;

pub(super) fn kafka_error(code: Code, not_persisted: bool) -> KafkaError {
    KafkaError { code: code.0, name: code.name(), not_persisted }
}

/// One per thread: says each trouble at most once in a while, to one store or to all.
pub(super) struct Troubles {
    sink: LogSink,
    stores: usize,
    told: BTreeMap<(Option<StoreIndex>, Code), Instant>,
}

impl Troubles {
    pub(super) fn new(sink: LogSink, stores: usize) -> Troubles {
        Troubles { sink, stores, told: BTreeMap::new() }
    }

    pub(super) fn of_client(&mut self, code: Code, text: &str) {
        if self.due(None, code) {
            tracing::warn!(code = code.0, name = code.name(), "kafka client: {text}");
            for store in (0..self.stores).map(StoreIndex) {
                (self.sink)(store, LogEvent::Trouble(kafka_error(code, false)));
            }
        }
    }

    pub(super) fn of_store(&mut self, store: StoreIndex, code: Code, text: &str) {
        if self.due(Some(store), code) {
            tracing::warn!(%store, code = code.0, name = code.name(), "kafka partition: {text}");
            (self.sink)(store, LogEvent::Trouble(kafka_error(code, false)));
        }
    }

    /// The part of a client's events that is the same for every client.
    pub(super) fn hear(&mut self, event: &Event<'_>) {
        match event {
            Event::Error { code, text } => self.of_client(*code, text),
            // Whatever matters comes as an error too; the log of librdkafka repeats itself.
            Event::Log { level, facility, text } => {
                tracing::debug!(target: "librdkafka", level, facility, "{text}");
            }
            Event::Deliveries(_)
            | Event::Topic { .. }
            | Event::Cluster { .. }
            | Event::Configs { .. }
            | Event::Offsets { .. }
            | Event::Created { .. } => {}
        }
    }

    fn due(&mut self, store: Option<StoreIndex>, code: Code) -> bool {
        let now = Instant::now();
        self.told.retain(|_, at| now.duration_since(*at) < TROUBLE_EVERY);
        let due = !self.told.contains_key(&(store, code));
        if due {
            self.told.insert((store, code), now);
        }
        due
    }
}
