//! A write after its call has handed it over: until the log answers, and on until reads of this node show it.
//!
//! Both ends are known to the core thread alone, so what is open goes with the write and stays there.

use std::collections::BTreeMap;
use std::time::SystemTime;

use opentelemetry::trace::{Span as _, SpanBuilder, SpanContext, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span as SdkSpan;
use outrigger_core::gate::Gate;
use outrigger_core::node::{Outcome, Reply};
use outrigger_core::offset::{Offset, Partition, Revision};

use super::step::{self, of_store};
use super::table::{APPEND, APPLY, CHANGES, ERROR_TYPE, OFFSET, PARTITION};
use super::{TRACER, current};

/// Writes of a store that are watched at the same time until reads show them. More have no span of it.
const WATCHED_MAX: usize = 64;

/// A write that the core has. By default it is one of a call without a trace.
#[derive(Default)]
pub(crate) struct Append(Option<Box<SdkSpan>>);

/// The writes of a store that the log has and reads do not show yet. The core thread has it.
pub(crate) struct Applies {
    store: String,
    watched: Vec<Apply>,
}

/// Its span is made when it has ended, for one that is given up is none.
struct Apply {
    append: SpanContext,
    began: SystemTime,
    written: Written,
}

struct Written {
    last: Revision,
    /// The last offset of each partition: reads have to show all of them.
    ends: BTreeMap<Partition, Offset>,
}

impl Append {
    /// This many changes are handed to the core.
    pub(crate) fn begin(store: &str, changes: usize) -> Append {
        Append(current().map(|(tracer, call)| {
            let mut span = step::begin(tracer, &call, APPEND, store);
            let changes = i64::try_from(changes).expect("a count fits 63 bits");
            span.set_attribute(KeyValue::new(CHANGES, changes));
            Box::new(span)
        }))
    }
}

impl Applies {
    pub(crate) fn of(store: &str) -> Applies {
        Applies { store: store.to_owned(), watched: Vec::new() }
    }

    /// The log has answered, or the core itself.
    pub(crate) fn answered(&mut self, append: Append, reply: &Reply) {
        let Append(Some(mut span)) = append else { return };
        let (written, failure) = match reply {
            Reply::Written { outcomes, .. } => (Written::of(outcomes), failure(outcomes)),
            Reply::Rejected(_) => (None, Some("rejected")),
            Reply::Reached { .. } | Reply::Pinned | Reply::Drained | Reply::Done => {
                unreachable!("a write is answered as one")
            }
        };
        if let Some(written) = &written {
            span.set_attributes(of_revision(written.last));
        }
        if let Some(failure) = failure {
            span.set_attribute(KeyValue::new(ERROR_TYPE, failure.to_owned()));
            span.set_status(Status::error(""));
        }
        let (append, began) = (span.span_context().clone(), SystemTime::now());
        span.end_with_timestamp(began);
        if self.watched.len() < WATCHED_MAX {
            self.watched.extend(written.map(|written| Apply { append, began, written }));
        }
    }

    /// Reads see this from now on.
    pub(crate) fn shown(&mut self, gate: &Gate) {
        if self.watched.is_empty() {
            return;
        }
        if !gate.fed {
            // They are shown when a restore ends, whenever that is.
            self.watched.clear();
            return;
        }
        for shown in self.watched.extract_if(.., |apply| apply.written.is_shown(gate)) {
            shown.end(&self.store);
        }
    }
}

impl Apply {
    fn end(self, store: &str) {
        let Apply { append, began, written } = self;
        let Some(tracer) = TRACER.get() else { return };
        let [partition, offset] = of_revision(written.last);
        let span = SpanBuilder::from_name(APPLY).with_start_time(began).with_attributes([
            of_store(store),
            partition,
            offset,
        ]);
        let append = Context::new().with_remote_span_context(append);
        tracer.build_with_context(span, &append).end();
    }
}

impl Written {
    /// None: nothing was.
    fn of(outcomes: &[Outcome]) -> Option<Written> {
        let revisions = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Appended(revision) => Some(*revision),
            Outcome::DidNotHappen(_) | Outcome::Unknown(_) => None,
        });
        let last = revisions.clone().next_back()?;
        // A later one of a partition takes the place of those before it.
        let ends = revisions.map(|revision| (revision.partition, revision.offset)).collect();
        Some(Written { last, ends })
    }

    fn is_shown(&self, gate: &Gate) -> bool {
        self.ends.iter().all(|(partition, end)| {
            gate.positions.get(partition.index()).is_some_and(|position| position > end)
        })
    }
}

/// Returns Kafka's name for why the first change failed that did.
fn failure(outcomes: &[Outcome]) -> Option<&str> {
    outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Appended(_) => None,
        Outcome::DidNotHappen(error) | Outcome::Unknown(error) => Some(error.name.as_str()),
    })
}

fn of_revision(revision: Revision) -> [KeyValue; 2] {
    let offset = i64::try_from(revision.offset.0).expect("Kafka counts offsets in 63 bits");
    let partition = i64::from(revision.partition.0);
    [KeyValue::new(PARTITION, partition), KeyValue::new(OFFSET, offset)]
}
