//! How each metric is recorded; `table` names them all.
//!
//! Names and labels are a contract with dashboards and alerts. Those of a store are labelled by
//! `store`; none is labelled by key or request. Without a metrics endpoint recording costs next to nothing.

mod compared;
mod kafka;
pub(super) mod latency;
mod node;
mod table;
mod watches;

use std::ops::Range;
use std::time::{Duration, Instant};

use ::metrics::{Counter, counter, gauge};
use outrigger_core::gate::Gate;
use outrigger_core::node::{Notice, Outcome, Status};
use outrigger_core::phase::{Cause, Phase, Refusal};
use outrigger_core::stall::StallKind;
use outrigger_core::time::Now;
use outrigger_proto::v1::{NodeStatus, Phase as SaidPhase, Reason, StoreStatus};

use self::latency::Waits;
use self::table::*;

pub use self::compared::{Compared, begin_compared, compared};
pub use self::kafka::{Brokers, Client, Statistics};
pub use self::latency::{DiskCalls, OpenCall};
pub use self::node::{Vitals, disk, in_use_bytes, process, store_bytes, vitals};
pub(super) use self::table::describe;
pub use self::watches::{OpenWatch, begin_watched};

/// The names of all metrics of ours.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|metric| metric.name)
}

/// Sets the bytes that what was set aside of a store takes.
pub fn set_aside(store: &str, bytes: u64) {
    gauge!(ASIDE_BYTES, "store" => store.to_owned()).set(float(bytes));
}

/// Sets how many keys are in the files that tell what the log of a store lost.
pub fn lost_rows(store: &str, rows: u64) {
    gauge!(LOST_ROWS, "store" => store.to_owned()).set(float(rows));
}

/// Counts bytes of a store's copy that came from a peer.
pub fn taken_from_peer(store: &str, bytes: usize) {
    let bytes = u64::try_from(bytes).expect("lengths fit 64 bits");
    counter!(PEER_TAKEN, "store" => store.to_owned()).increment(bytes);
}

/// Counts bytes of a store's copy that are on their way to a peer.
pub fn given_to_peers(store: &str, bytes: usize) {
    let bytes = u64::try_from(bytes).expect("lengths fit 64 bits");
    counter!(PEER_GIVEN, "store" => store.to_owned()).increment(bytes);
}

/// Counts somebody who asked for a copy and may have none.
pub fn refused_to_peer() {
    counter!(PEER_REFUSED).increment(1);
}

/// Counts a read of a store that peers were asked.
pub fn read_forwarded(store: &str, answered: bool) {
    let answered = if answered { "yes" } else { "no" };
    counter!(READS_FORWARDED, "store" => store.to_owned(), "answered" => answered).increment(1);
}

/// Sets whether the file of tokens cannot be used.
pub fn tokens_unfit(unfit: bool) {
    gauge!(TOKENS_UNFIT).set(one_if(unfit));
}

/// Sets whether a thread, or a store's oldest write, hangs.
pub fn hung(work: &str, hangs: bool) {
    gauge!(HUNG, "work" => work.to_owned()).set(one_if(hangs));
}

/// Sets how old everything is that the metrics say of stores.
pub fn state_age(age: Duration) {
    gauge!(STATE_AGE).set(age.as_secs_f64());
}

/// Sets from when to when what a setting of this node's own TLS names holds, in seconds since the Unix epoch.
pub fn tls_certificate(setting: &'static str, holds: Range<i64>) {
    gauge!(TLS_CERTIFICATE_START, "setting" => setting).set(since_1970(holds.start));
    gauge!(TLS_CERTIFICATE, "setting" => setting).set(since_1970(holds.end));
}

/// Sets whether the files of TLS of a listener are of no use.
pub fn tls_refused(listen: &'static str, refused: bool) {
    gauge!(TLS_REFUSED, "listen" => listen).set(one_if(refused));
}

/// Sets from when to when the certificate of a setting holds, in seconds since the Unix epoch.
pub fn certificate(setting: &'static str, holds: Range<i64>) {
    gauge!(CERTIFICATE_START, "setting" => setting).set(since_1970(holds.start));
    gauge!(CERTIFICATE, "setting" => setting).set(since_1970(holds.end));
}

/// What was before 1970 counts as 1970.
fn since_1970(seconds: i64) -> f64 {
    float(u64::try_from(seconds).unwrap_or_default())
}

/// Sets how many lines of the log were not written since the process began.
pub fn log_lines_dropped(lines: u64) {
    counter!(LOG_LINES_DROPPED).absolute(lines);
}

/// What became of the spans of traces.
#[derive(Clone, Debug)]
pub struct Spans {
    pub sent: Counter,
    /// Too many waited to be sent.
    pub dropped: Counter,
    pub failed: Counter,
}

impl Spans {
    /// Makes them, at 0. It is called after the recorder is installed.
    pub fn begin() -> Spans {
        let outcome = |outcome: &'static str| {
            let counter = counter!(TRACE_SPANS, "outcome" => outcome);
            counter.increment(0);
            counter
        };
        Spans { sent: outcome("sent"), dropped: outcome("dropped"), failed: outcome("failed") }
    }
}

/// Sets how many callers are connected through a listener.
pub fn connections(listener: &'static str, open: usize) {
    let open = u64::try_from(open).expect("a count fits 64 bits");
    gauge!(CONNECTIONS, "listener" => listener).set(float(open));
}

/// Counts a connection that this node has ended.
pub fn connection_closed(listener: &'static str, why: &'static str) {
    counter!(CONNECTIONS_CLOSED, "listener" => listener, "why" => why).increment(1);
}

/// Records the state of a store; to be called after changes and every second, for ages grow without one.
pub fn status(status: &Status, now: Now) {
    let store = &status.store;
    for phase in PHASES {
        gauge!(PHASE, "store" => store.clone(), "phase" => phase)
            .set(one_if(status.phase.name() == phase));
    }
    for kind in StallKind::ALL {
        let stalled = status.stalls.iter().any(|stall| stall.kind == kind);
        gauge!(STALL, "store" => store.clone(), "stall" => kind.name()).set(one_if(stalled));
    }
    for (number, partition) in status.partitions.iter().enumerate() {
        let labels = [("store", store.clone()), ("partition", number.to_string())];
        gauge!(POSITION, &labels).set(float(partition.applied.0));
        gauge!(DURABLE, &labels).set(float(partition.durable.0));
        gauge!(LOG_END, &labels).set(float(partition.high_watermark.0));
    }
    let behind = status.partitions.iter().map(|each| each.high_watermark.since(each.applied));
    // Nobody knows it while the log is not read.
    let lag = if status.partitions.is_empty() { f64::NAN } else { float(behind.sum()) };
    gauge!(LAG, "store" => store.clone()).set(lag);
    // 0 means never: an age since 1970 would only raise alarms. While there is no copy its age is unknown.
    let age = Duration::from_millis(now.wall_ms.saturating_sub(status.confirmed_at_ms));
    let age = if status.confirmed_at_ms > 0 { age.as_secs_f64() } else { f64::NAN };
    gauge!(AGE, "store" => store.clone()).set(age);
    gauge!(EXACT, "store" => store.clone()).set(one_if(status.exact));
    let in_flight = u64::try_from(status.writes_in_flight).expect("a count fits 64 bits");
    gauge!(IN_FLIGHT, "store" => store.clone()).set(float(in_flight));
    let waiting = u64::try_from(status.awaits).expect("a count fits 64 bits");
    gauge!(WAITING, "store" => store.clone()).set(float(waiting));
    let since = now.mono.saturating_sub(status.mono);
    let horizon = status.horizon.map(|horizon| [horizon.left.saturating_sub(since), horizon.of]);
    let [left, of] = horizon.map_or([f64::NAN; 2], |horizon| horizon.map(|of| of.as_secs_f64()));
    gauge!(HORIZON, "store" => store.clone()).set(left);
    gauge!(HORIZON_MAX, "store" => store.clone()).set(of);
    if let Some(progress) = &status.progress {
        gauge!(RESTORE_RECORDS, "store" => store.clone()).set(float(progress.records));
        gauge!(RESTORE_BYTES, "store" => store.clone()).set(float(progress.bytes));
    }
}

/// Records how far the restores of all stores are, as Status tells it.
pub fn restores(node: &NodeStatus) {
    for store in &node.stores {
        let (fraction, to_go) = restore(store);
        gauge!(RESTORE_FRACTION, "store" => store.store.clone()).set(fraction);
        gauge!(RESTORE_TO_GO, "store" => store.store.clone()).set(to_go);
    }
}

fn restore(store: &StoreStatus) -> (f64, f64) {
    match &store.restore {
        Some(restore) => {
            (restore.fraction.unwrap_or(f64::NAN), restore.eta_seconds.map_or(f64::NAN, float))
        }
        None if store.phase() == SaidPhase::Ready => (1.0, 0.0),
        None => (f64::NAN, f64::NAN),
    }
}

/// Makes what is counted of a store, at 0: a counter that begins with its first event shows no increase.
fn begin(store: &str) {
    let count = |name: &'static str| counter!(name, "store" => store.to_owned()).increment(0);
    for name in [MISPLACED, KEYLESS, QUARANTINED, POSITIONS_LOST, PEERS_FAILED] {
        count(name);
    }
    for kind in StallKind::ALL {
        counter!(STALLS, "store" => store.to_owned(), "stall" => kind.name()).increment(0);
    }
    for cause in CAUSES {
        counter!(RESTORES, "store" => store.to_owned(), "cause" => cause_label(cause)).increment(0);
    }
    for reason in REFUSALS_MADE {
        counter!(REFUSALS, "store" => store.to_owned(), "reason" => reason).increment(0);
    }
}

/// All reasons have smaller numbers; 0 is never sent.
const REASON_NUMBERS: i32 = 1_000;

/// Makes the failures of calls, at 0.
pub(super) fn begin_failures() {
    let reasons = (1..REASON_NUMBERS).filter_map(|number| Reason::try_from(number).ok());
    for reason in reasons {
        counter!(FAILURES, "reason" => reason_label(reason)).increment(0);
    }
}

/// Records what a node noticed.
pub fn notice(store: &str, notice: &Notice) {
    let store = store.to_owned();
    match notice {
        Notice::Phase(Phase::Restoring(cause)) => {
            counter!(RESTORES, "store" => store, "cause" => cause_label(*cause)).increment(1);
        }
        Notice::Phase(Phase::Refused(refusal)) => {
            counter!(REFUSALS, "store" => store, "reason" => refusal_label(refusal)).increment(1);
        }
        Notice::StallBegan { kind, .. } => {
            counter!(STALLS, "store" => store, "stall" => kind.name()).increment(1);
        }
        Notice::Ignored { misplaced, keyless, .. } => {
            counter!(MISPLACED, "store" => store.clone()).increment(u64::from(*misplaced));
            counter!(KEYLESS, "store" => store).increment(u64::from(*keyless));
        }
        Notice::Quarantined { .. } => counter!(QUARANTINED, "store" => store).increment(1),
        Notice::PositionLost { .. } => counter!(POSITIONS_LOST, "store" => store).increment(1),
        Notice::PeerFailed { .. } => counter!(PEERS_FAILED, "store" => store).increment(1),
        Notice::Phase(Phase::Opening | Phase::CatchingUp | Phase::Ready | Phase::Stopped)
        | Notice::StallEnded { .. }
        | Notice::LogIncomplete { .. }
        | Notice::Policy(_) => {}
    }
}

/// What became of the writes that a store accepted. It is found by name once: a write costs too little for a search
/// each time.
pub struct Writes {
    appended: Counter,
    did_not_happen: Counter,
    unknown: Counter,
    waits: Waits,
}

impl Writes {
    /// Finds the counters of a store. It is called after the recorder is installed.
    pub fn of(store: &str) -> Writes {
        begin(store);
        let outcome = |outcome: &'static str| counter!(WRITES, "store" => store.to_owned(), "outcome" => outcome);
        Writes {
            appended: outcome("appended"),
            did_not_happen: outcome("did_not_happen"),
            unknown: outcome("unknown"),
            waits: Waits::of(store),
        }
    }

    /// The writes of a call, which was accepted at `began`, are answered.
    pub fn answered(&mut self, outcomes: &[Outcome], began: Instant) {
        for outcome in outcomes {
            match outcome {
                Outcome::Appended(_) => self.appended.increment(1),
                Outcome::DidNotHappen(_) => self.did_not_happen.increment(1),
                Outcome::Unknown(_) => self.unknown.increment(1),
            }
        }
        self.waits.answered(outcomes, began);
    }

    /// Reads see this from now on.
    pub fn shown(&mut self, gate: &Gate) {
        self.waits.shown(gate);
    }
}

/// Counts a call, or an item of a stream, that is answered with an error. The store is not a label: its name may be
/// anything.
pub fn failed(reason: Reason) {
    counter!(FAILURES, "reason" => reason_label(reason)).increment(1);
}

fn reason_label(reason: Reason) -> String {
    reason.as_str_name().trim_start_matches("REASON_").to_ascii_lowercase()
}

/// The names of every phase, as `Phase::name` gives them.
const PHASES: [&str; 6] = ["OPENING", "RESTORING", "CATCHING_UP", "READY", "REFUSED", "STOPPED"];

const CAUSES: [Cause; 8] = [
    Cause::Resume,
    Cause::Unfinished,
    Cause::Empty,
    Cause::PastHorizon,
    Cause::Truncated,
    Cause::Diverged,
    Cause::Corrupt,
    Cause::UnknownFormat,
];

/// The names of every refusal, as `refusal_label` gives them.
const REFUSALS_MADE: [&str; 4] = ["identity", "policy", "log_incomplete", "cancelled"];

fn cause_label(cause: Cause) -> &'static str {
    match cause {
        Cause::Resume => "resume",
        Cause::Unfinished => "unfinished",
        Cause::Empty => "empty",
        Cause::PastHorizon => "past_horizon",
        Cause::Truncated => "truncated",
        Cause::Diverged => "diverged",
        Cause::Corrupt => "corrupt",
        Cause::UnknownFormat => "unknown_format",
    }
}

fn refusal_label(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Identity { .. } => "identity",
        Refusal::Policy(_) => "policy",
        Refusal::LogIncomplete { .. } => "log_incomplete",
        Refusal::Cancelled => "cancelled",
    }
}

fn one_if(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

/// Returns the nearest float: exact below 2^53, which no log reaches. It is made of halves, for `From` is lossless
/// only.
fn float(number: u64) -> f64 {
    const HALF: f64 = 4_294_967_296.0;
    let halves = [number >> 32, number & 0xffff_ffff]
        .map(|half| u32::try_from(half).expect("32 bits of 64"));
    f64::from(halves[0]) * HALF + f64::from(halves[1])
}

#[cfg(test)]
mod documented_tests;
#[cfg(test)]
mod tests;
