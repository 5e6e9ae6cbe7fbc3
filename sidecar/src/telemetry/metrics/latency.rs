//! How long calls take, and how long writes wait for the log and to be seen.
//!
//! These are on the way of every call: a call finds its histograms once, by number.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use outrigger_core::gate::Gate;
use outrigger_core::node::Outcome;
use outrigger_core::offset::Revision;
use outrigger_core::store::StoreCallKind;
use outrigger_proto::Rpc;
use tonic::Code;

use super::table::{ACKNOWLEDGED, ALL, CALLS, Kind, STORE_CALLS, VISIBLE};
use crate::telemetry::histogram::Histogram;

const INFALLIBLE: &str = "a String takes every text";

/// The names of all codes, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

type ByCode = [Histogram; CODES.len()];

static OF_CALLS: [ByCode; Rpc::ALL.len()] =
    [const { [const { Histogram::new() }; CODES.len()] }; Rpc::ALL.len()];

/// By store. The lock is held while a store begins and while somebody looks, with no other lock under it.
static OF_STORES: Mutex<BTreeMap<String, Arc<OfStore>>> = Mutex::new(BTreeMap::new());

struct OfStore {
    acknowledged: Histogram,
    visible: Histogram,
    /// By the number of the call.
    calls: [Histogram; STORE_CALLS_MADE.len()],
}

/// Every call to a store, and its label.
const STORE_CALLS_MADE: [(StoreCallKind, &str); 13] = [
    (StoreCallKind::Apply, "apply"),
    (StoreCallKind::Flush, "flush"),
    (StoreCallKind::Confirm, "confirm"),
    (StoreCallKind::Open, "open"),
    (StoreCallKind::Look, "look"),
    (StoreCallKind::Create, "create"),
    (StoreCallKind::Adopt, "adopt"),
    (StoreCallKind::Activate, "activate"),
    (StoreCallKind::Quarantine, "quarantine"),
    (StoreCallKind::Remove, "remove"),
    (StoreCallKind::Close, "close"),
    (StoreCallKind::Pin, "pin"),
    (StoreCallKind::Unpin, "unpin"),
];

/// How long the calls of a store take. Its disk thread has it.
pub struct DiskCalls {
    of_store: Arc<OfStore>,
}

impl DiskCalls {
    pub fn of(store: &str) -> DiskCalls {
        DiskCalls { of_store: OfStore::of(store) }
    }

    pub fn took(&self, kind: StoreCallKind, took: Duration) {
        let number = STORE_CALLS_MADE.iter().position(|(each, _)| *each == kind);
        self.of_store.calls[number.expect("it is one of all")].record(took);
    }
}

impl OfStore {
    fn of(store: &str) -> Arc<OfStore> {
        let mut stores = OF_STORES.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(OfStore {
                acknowledged: Histogram::new(),
                visible: Histogram::new(),
                calls: [const { Histogram::new() }; STORE_CALLS_MADE.len()],
            })
        };
        stores.entry(store.to_owned()).or_insert_with(new).clone()
    }
}

/// A call that is open. It is counted when this is dropped; where nobody has told how it ended, its caller has left.
pub struct OpenCall {
    began: Instant,
    code: Code,
    histograms: &'static ByCode,
}

impl OpenCall {
    pub fn begin(rpc: Rpc) -> OpenCall {
        let number = Rpc::ALL.iter().position(|each| *each == rpc).expect("it is one of all");
        OpenCall { began: Instant::now(), code: Code::Cancelled, histograms: &OF_CALLS[number] }
    }

    pub fn ended(&mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let code = usize::try_from(i32::from(self.code)).expect("codes are not negative");
        self.histograms[code].record(self.began.elapsed());
    }
}

/// How long the writes of a store take. The core thread has it.
pub(super) struct Waits {
    of_store: Arc<OfStore>,
    /// A write that the log has and reads do not show yet, and when it was accepted. One at a time is watched, which costs
    /// nothing.
    watched: Option<(Revision, Instant)>,
}

impl Waits {
    pub(super) fn of(store: &str) -> Waits {
        Waits { of_store: OfStore::of(store), watched: None }
    }

    /// A call's writes, accepted at `began`, are answered. How long a write takes that fails is a limit of ours, and says
    /// nothing of the log.
    pub(super) fn answered(&mut self, outcomes: &[Outcome], began: Instant) {
        if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Appended(_))) {
            self.of_store.acknowledged.record(began.elapsed());
        }
        if let (None, Some(Outcome::Appended(revision))) = (&self.watched, outcomes.last()) {
            self.watched = Some((*revision, began));
        }
    }

    /// Reads see this from now on.
    pub(super) fn shown(&mut self, gate: &Gate) {
        let Some((revision, began)) = self.watched else { return };
        if !gate.fed {
            // It is shown when a restore ends, which has its own metrics.
            self.watched = None;
            return;
        }
        let position = gate.positions.get(revision.partition.index());
        if position.is_some_and(|position| *position > revision.offset) {
            self.of_store.visible.record(began.elapsed());
            self.watched = None;
        }
    }
}

/// Writes all of them as Prometheus reads them.
pub(in crate::telemetry) fn write(text: &mut String) {
    head(CALLS, text);
    for (rpc, by_code) in Rpc::ALL.iter().zip(&OF_CALLS) {
        for (code, histogram) in CODES.iter().zip(by_code) {
            // Whoever looks for failures finds calls that did not fail.
            if *code == CODES[0] || !histogram.is_empty() {
                histogram.write(CALLS, &format!("rpc=\"{rpc:?}\",code=\"{code}\""), text);
            }
        }
    }
    write_stores(ACKNOWLEDGED, |of_store| &of_store.acknowledged, text);
    write_stores(VISIBLE, |of_store| &of_store.visible, text);
    head(STORE_CALLS, text);
    for (store, of_store) in OF_STORES.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        for ((_, call), histogram) in STORE_CALLS_MADE.iter().zip(&of_store.calls) {
            if !histogram.is_empty() {
                let labels = format!("store=\"{store}\",call=\"{call}\"");
                histogram.write(STORE_CALLS, &labels, text);
            }
        }
    }
}

fn write_stores(name: &str, histogram: fn(&OfStore) -> &Histogram, text: &mut String) {
    head(name, text);
    for (store, of_store) in OF_STORES.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        histogram(of_store).write(name, &format!("store=\"{store}\""), text);
    }
}

fn head(name: &str, text: &mut String) {
    let metric = ALL.iter().find(|metric| metric.name == name).expect("it is in the table");
    assert_eq!(metric.kind, Kind::Histogram, "{name}");
    writeln!(text, "# HELP {name} {}\n# TYPE {name} histogram", metric.description)
        .expect(INFALLIBLE);
}

#[cfg(test)]
mod tests {
    use outrigger_core::log::KafkaError;
    use outrigger_core::offset::{Offset, Partition};

    use super::*;

    fn counted(name: &str, labels: &str) -> u64 {
        let mut text = String::new();
        write(&mut text);
        let start = format!("{name}_count{{{labels}}} ");
        let count = text.lines().find_map(|line| line.strip_prefix(&start));
        count.map_or(0, |count| count.parse().unwrap())
    }

    #[test]
    fn a_call_is_counted_once_by_how_it_ended() {
        let ok = || counted(CALLS, "rpc=\"Checkpoint\",code=\"OK\"");
        let left = || counted(CALLS, "rpc=\"Checkpoint\",code=\"CANCELLED\"");
        let before = (ok(), left());
        let mut call = OpenCall::begin(Rpc::Checkpoint);
        call.ended(Code::Ok);
        assert_eq!(ok(), before.0, "it is open");
        drop(call);
        drop(OpenCall::begin(Rpc::Checkpoint));
        assert_eq!((ok(), left()), (before.0 + 1, before.1 + 1));
    }

    #[test]
    fn every_code_has_its_name() {
        for (number, name) in (0..).zip(CODES) {
            let words = format!("{:?}", Code::from_i32(number)).to_ascii_uppercase();
            assert_eq!(name.replace('_', ""), words);
        }
    }

    #[test]
    fn one_write_at_a_time_is_watched_until_reads_show_it() {
        let mut waits = Waits::of("waits");
        let revision = |offset| Revision { partition: Partition(0), offset: Offset(offset) };
        let gate =
            |position, fed| Gate { positions: vec![Offset(position)], fed, ..Gate::closed() };
        let visible = || counted(VISIBLE, "store=\"waits\"");
        waits.answered(&[Outcome::Appended(revision(7))], Instant::now());
        waits.answered(&[Outcome::Appended(revision(9))], Instant::now());
        assert_eq!(counted(ACKNOWLEDGED, "store=\"waits\""), 2);
        waits.shown(&gate(7, true));
        assert_eq!(visible(), 0);
        waits.shown(&gate(8, true));
        waits.shown(&gate(10, true));
        assert_eq!(visible(), 1, "the second was not watched");
        waits.answered(&[Outcome::Appended(revision(10))], Instant::now());
        waits.shown(&gate(11, false));
        waits.shown(&gate(11, true));
        assert_eq!(visible(), 1, "a restore came between");
    }

    #[test]
    fn only_what_the_log_took_whole_is_an_acknowledgement() {
        let mut waits = Waits::of("fails");
        let appended = Outcome::Appended(Revision { partition: Partition(0), offset: Offset(7) });
        let error =
            KafkaError { code: -192, name: "_MSG_TIMED_OUT".to_owned(), not_persisted: true };
        let acknowledged = || counted(ACKNOWLEDGED, "store=\"fails\"");
        waits.answered(&[appended.clone(), Outcome::Unknown(error.clone())], Instant::now());
        waits.answered(&[Outcome::DidNotHappen(error)], Instant::now());
        assert_eq!(acknowledged(), 0);
        waits.answered(&[appended], Instant::now());
        assert_eq!(acknowledged(), 1);
    }

    #[test]
    fn a_call_of_a_store_is_counted_by_its_kind() {
        let calls = DiskCalls::of("disk");
        for (kind, label) in STORE_CALLS_MADE {
            calls.took(kind, Duration::from_millis(3));
            let labels = format!("store=\"disk\",call=\"{label}\"");
            assert_eq!(counted(STORE_CALLS, &labels), 1, "{kind:?}");
        }
    }
}
