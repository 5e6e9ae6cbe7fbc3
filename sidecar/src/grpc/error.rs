//! What each failure is called on the wire: the one place that turns the core's words into a `Reason`.
//!
//! Every text says what happened, with the facts, and what to do. "Did not happen" is said only where it is
//! proven; the core has the proof, and this file passes it on.

mod caller;
mod cursor;

use std::time::Duration;

use outrigger_core::gate::Rejection;
use outrigger_core::log::KafkaError;
use outrigger_core::offset::Partition;
use outrigger_core::phase::{Phase, Refusal};
use outrigger_core::stall::StallKind;
use outrigger_core::store::{StoreError, StoreErrorKind};
use outrigger_core::watch::point::Lost;
use outrigger_proto::limits::REQUEST_BYTES_MAX;
use outrigger_proto::v1::{ErrorDetail, Reason};
use tonic::{Code, Status};

use super::method::Method;
use super::room::WATCHES_MAX;
use super::walk::LargeRow;
use crate::escape::escape;
use crate::runtime::{Circumstances, Told};
use crate::telemetry::metrics;

pub(super) use self::caller::{not_allowed, not_let_in, token_revoked};
pub(super) use self::cursor::{cursor_name, of_cursor};

/// Counts the failure of an item that fails alone. A call that fails is counted where its answer leaves.
pub(super) fn counted(detail: ErrorDetail) -> ErrorDetail {
    metrics::failed(detail.reason());
    detail
}

pub(super) fn unknown_store(name: &str, known: &[&str]) -> ErrorDetail {
    let message = format!("no store {name:?} is configured on this node");
    advised(Reason::UnknownStore, message, format!("use one of: {}", known.join(", ")))
}

pub(super) fn store_not_named(known: &[&str]) -> ErrorDetail {
    let message = "the request names no store, and this node has several";
    advised(Reason::StoreNotNamed, message, format!("name one of: {}", known.join(", ")))
}

pub(super) fn key_too_large(bytes: usize, bytes_max: usize) -> ErrorDetail {
    let message = format!("the key has {bytes} bytes, and at most {bytes_max} are accepted");
    advised(Reason::KeyTooLarge, message, "use a shorter key, such as a hash of this one")
}

pub(super) fn value_too_large(bytes: usize, bytes_max: usize) -> ErrorDetail {
    let message = format!("the value has {bytes} bytes, and at most {bytes_max} are accepted");
    advised(Reason::ValueTooLarge, message, "split the value over several keys, or compress it")
}

pub(super) fn row_too_large(row: &LargeRow) -> ErrorDetail {
    let LargeRow { key, key_bytes, value_bytes, revision, bytes_max } = row;
    let key = escape(key);
    let message = format!(
        "the row of key {key} at revision {}:{} has a key of {key_bytes} and a value of {value_bytes} bytes, \
         and the caller takes {bytes_max}",
        revision.partition, revision.offset
    );
    advised(
        Reason::RowTooLarge,
        message,
        "give a greater row_bytes_max, and let the gRPC library receive 256 KiB more than that; \
         or scan with LARGE_ROWS_OMIT_VALUE",
    )
}

pub(super) fn invalid_range() -> ErrorDetail {
    let message = "the range ends before it starts";
    advised(
        Reason::InvalidRange,
        message,
        "exchange start and end; for descending order set reverse",
    )
}

pub(super) fn invalid_request(
    message: impl Into<String>,
    what_to_do: impl Into<String>,
) -> ErrorDetail {
    advised(Reason::InvalidRequest, message, what_to_do)
}

/// A request that could not be read from the wire, as tonic says it, or found no room on its way in: nothing was done.
pub(super) fn unreadable(status: &Status) -> ErrorDetail {
    ErrorDetail::from_status(status).unwrap_or_else(|| undecoded(status))
}

fn undecoded(status: &Status) -> ErrorDetail {
    match status.code() {
        Code::OutOfRange => advised(
            Reason::RequestTooLarge,
            format!(
                "the request message is larger than the {REQUEST_BYTES_MAX} bytes that are read"
            ),
            "send fewer items at once; a value that does not fit has to be split over several keys",
        ),
        Code::Unimplemented => advised(
            Reason::Unimplemented,
            match status.message() {
                "" => "the node does not know this service or method",
                compression => compression,
            },
            "send no compressed messages, and to a node that is older than its caller no newer calls",
        ),
        _ => advised(
            Reason::InvalidRequest,
            format!("the request cannot be decoded: {}", status.message()),
            "send the messages of outrigger.v1; reflection tells what this node knows of it",
        ),
    }
}

pub(super) fn token_invalid(message: impl Into<String>) -> ErrorDetail {
    advised(Reason::TokenInvalid, message, "pass a token on as a node gave it")
}

pub(super) fn draining() -> ErrorDetail {
    of_rejection(&Rejection::Draining)
}

pub(super) fn overloaded(what: &str) -> ErrorDetail {
    advised(Reason::Overloaded, format!("too many {what} are open"), "try again after a moment")
}

pub(super) fn too_many_watches() -> ErrorDetail {
    advised(
        Reason::Overloaded,
        format!("{WATCHES_MAX} watches are open at this address"),
        "end some of them, or watch several ranges of keys with one",
    )
}

/// The length of a request, which comes first, is too large: nothing of it was read.
pub(super) fn request_too_large(bytes: usize) -> ErrorDetail {
    let message = format!("the request has {bytes} bytes, and such a request has 1 MiB at most");
    advised(Reason::RequestTooLarge, message, "leave out what the call does not ask for")
}

/// A call's message began, and the rest of it did not come.
pub(super) fn unfinished(waited: Duration) -> ErrorDetail {
    let message = format!("the request did not come whole within {} seconds", waited.as_secs());
    advised(
        Reason::DeadlineExceeded,
        message,
        "send a message at once, and less in one where the way is slow",
    )
}

/// The call's own deadline has come.
pub(super) fn late(method: Method) -> ErrorDetail {
    let message = "the call's deadline came before its answer";
    match method {
        Method::Write | Method::Writes => advised(
            Reason::WriteUnknown,
            format!("{message}: the write may be in the log, or still get there"),
            "read the key before writing again, and allow writes more time: the log is waited for 10 s",
        ),
        Method::Cursor => {
            let what_to_do =
                "ask again: a cursor that was committed or deleted is not changed by that";
            let detail = advised(Reason::DeadlineExceeded, message, what_to_do);
            ErrorDetail { may_have_happened: true, ..detail }
        }
        Method::Operate => {
            let what_to_do = "look at Status: what was asked for may have happened";
            let detail = advised(Reason::DeadlineExceeded, message, what_to_do);
            ErrorDetail { may_have_happened: true, ..detail }
        }
        Method::Stream | Method::Watch | Method::Verify => advised(
            Reason::DeadlineExceeded,
            "the call's deadline came before its end",
            "allow more time; a scan can go on after the last key that came",
        ),
        Method::Read | Method::Probe | Method::Other => {
            advised(Reason::DeadlineExceeded, message, "allow more time, or ask another node")
        }
    }
}

/// The generation that is read was closed, and may be opened anew or replaced.
pub(super) fn closed() -> ErrorDetail {
    let message = "the node opened its copy anew while it was read";
    advised(
        Reason::NotReady,
        message,
        "read again, from a node that is READY; a scan can go on after the last key that came",
    )
}

/// Rows wait, and nobody takes them.
pub(super) fn scan_not_read(waited: Duration) -> ErrorDetail {
    let message = format!("no rows were taken for {} seconds", waited.as_secs());
    advised(
        Reason::DeadlineExceeded,
        message,
        "read a scan without long pauses: it keeps what is replaced meanwhile on the node's disk; go on after the last key that came",
    )
}

/// The same of the state that a watch begins with.
pub(super) fn state_not_read(waited: Duration) -> ErrorDetail {
    let message = format!("no rows of the state were taken for {} seconds", waited.as_secs());
    advised(
        Reason::DeadlineExceeded,
        message,
        "take the rows of a state without long pauses: it keeps what is replaced meanwhile on the node's disk; watch again",
    )
}

/// A watch has lost its place.
pub(super) fn compacted(lost: &Lost) -> ErrorDetail {
    advised(
        Reason::Compacted,
        format!("it cannot be proven that nothing is missing: {lost}"),
        "forget the rows that the watch has brought, and begin with the state",
    )
}

pub(super) fn not_pinned() -> ErrorDetail {
    let message = "the copy is not pinned any more: its time is over, or the node opened it anew";
    advised(Reason::NotReady, message, "begin again with a newer position")
}

pub(super) fn of_rejection(rejection: &Rejection) -> ErrorDetail {
    advised(reason_of_rejection(rejection), rejection.to_string(), what_to_do_about(rejection))
}

/// Says the same with what is known of the store that turned the call away.
pub(super) fn turned_away(circumstances: &Circumstances, rejection: &Rejection) -> ErrorDetail {
    let general = of_rejection(rejection);
    match rejection {
        Rejection::NotReady(Phase::Refused(refusal)) | Rejection::Refused(refusal) => {
            let Told { detail, what_to_do } = circumstances.refusal(refusal);
            let message = general.message.replace(&refusal.to_string(), &detail);
            ErrorDetail { message, what_to_do, ..general }
        }
        Rejection::Deadline { stall: Some(kind) } => {
            ErrorDetail { what_to_do: circumstances.stall(*kind, "").what_to_do, ..general }
        }
        Rejection::NotReady(Phase::Opening) => match circumstances.absence() {
            Some(Told { detail, what_to_do }) => {
                let message = format!("{}: {detail}", general.message);
                ErrorDetail { message, what_to_do, ..general }
            }
            None => general,
        },
        Rejection::NotReady(
            Phase::Restoring(_) | Phase::CatchingUp | Phase::Ready | Phase::Stopped,
        )
        | Rejection::Draining
        | Rejection::TooStale { .. }
        | Rejection::TokenOfAnotherTopic { .. }
        | Rejection::TokenMalformed { .. }
        | Rejection::TokenOfAnotherHistory
        | Rejection::TokenBeyondLog { .. }
        | Rejection::Passed { .. }
        | Rejection::NoRestore(_)
        | Rejection::NotCancelled(_)
        | Rejection::Overloaded
        | Rejection::Leaderless { .. }
        | Rejection::Deadline { stall: None } => general,
    }
}

pub(super) fn of_refusal(refusal: &Refusal) -> Reason {
    match refusal {
        Refusal::Identity { .. } => Reason::RefusedIdentity,
        Refusal::Policy(_) => Reason::RefusedTopicPolicy,
        Refusal::LogIncomplete { .. } => Reason::RefusedLogIncomplete,
        Refusal::Cancelled => Reason::RefusedCancelled,
    }
}

pub(super) fn of_store_error(error: &StoreError) -> ErrorDetail {
    let what_to_do = match error.kind {
        StoreErrorKind::Full => "free disk space on the node",
        StoreErrorKind::Io | StoreErrorKind::Held => {
            "check the node's disk; another node can answer meanwhile"
        }
        StoreErrorKind::Corrupt => {
            "ask another node meanwhile: this one rebuilds its copy by itself"
        }
    };
    advised(Reason::StoreFailed, error.to_string(), what_to_do)
}

/// The write is in no log, and never will be.
pub(super) fn write_did_not_happen(error: &KafkaError) -> ErrorDetail {
    let detail = match StallKind::of(error) {
        _ if error.is_queue_full() => advised(
            Reason::Overloaded,
            "too many writes wait for the log",
            "try again after a moment",
        ),
        _ if error.is_record_too_large() => advised(
            Reason::WriteDidNotHappen,
            "the log refused the record as too large",
            "raise the topic's max.message.bytes, or write smaller values",
        ),
        kind @ StallKind::Authorisation => advised(
            Reason::Authorisation,
            "Kafka does not allow this node to write",
            kind.what_to_do(),
        ),
        kind => advised(
            Reason::WriteDidNotHappen,
            "the log has not taken the write and never will",
            format!("it is safe to write again; {}", kind.what_to_do()),
        ),
    };
    named(detail, error)
}

/// The write may be in the log, or may still get there.
pub(super) fn write_unknown(error: &KafkaError) -> ErrorDetail {
    let message = "it is not known whether the log has taken the write, and it may still appear";
    let detail = advised(Reason::WriteUnknown, message, "read the key before writing again");
    ErrorDetail { may_have_happened: true, ..named(detail, error) }
}

/// Adds the partition, whose leader and replicas are to be looked after.
pub(super) fn of_partition(detail: ErrorDetail, partition: Partition) -> ErrorDetail {
    ErrorDetail { message: format!("partition {partition}: {}", detail.message), ..detail }
}

/// The log's answer did not come in the time that the caller gives.
pub(super) fn write_overdue(wait: Duration) -> ErrorDetail {
    let wait_ms = wait.as_millis();
    let message =
        format!("the log has not answered for {wait_ms} ms, and the write may still appear");
    let detail = advised(Reason::WriteUnknown, message, "read the key before writing again");
    ErrorDetail { may_have_happened: true, ..detail }
}

fn reason_of_rejection(rejection: &Rejection) -> Reason {
    match rejection {
        Rejection::NotReady(phase) => match phase {
            Phase::Restoring(_) | Phase::CatchingUp => Reason::Restoring,
            Phase::Opening | Phase::Ready => Reason::NotReady,
            // A read at STALE found no copy: trying again is as useless as for others.
            Phase::Refused(refusal) => of_refusal(refusal),
            Phase::Stopped => Reason::Draining,
        },
        Rejection::Refused(refusal) => of_refusal(refusal),
        Rejection::Draining => Reason::Draining,
        Rejection::TooStale { .. } => Reason::TooStale,
        Rejection::TokenOfAnotherTopic { .. } => Reason::TokenOfAnotherTopic,
        Rejection::TokenMalformed { .. } => Reason::TokenInvalid,
        Rejection::TokenOfAnotherHistory => Reason::TokenOfAnotherHistory,
        Rejection::TokenBeyondLog { .. } => Reason::TokenBeyondLog,
        Rejection::Passed { .. } => Reason::PositionPassed,
        Rejection::NoRestore(_) | Rejection::NotCancelled(_) => Reason::WrongPhase,
        Rejection::Overloaded => Reason::Overloaded,
        Rejection::Deadline { stall } => reason_of_deadline(*stall),
        Rejection::Leaderless { .. } => Reason::LogUnavailable,
    }
}

/// A wait that ended for a known reason has that reason's name: it tells more than that time ran out.
fn reason_of_deadline(stall: Option<StallKind>) -> Reason {
    match stall {
        Some(StallKind::LogUnreachable | StallKind::LeaderUnavailable | StallKind::TopicGone) => {
            Reason::LogUnavailable
        }
        Some(StallKind::Authorisation) => Reason::Authorisation,
        Some(
            StallKind::StaleLeader
            | StallKind::OpenTransaction
            | StallKind::PoisonBatch
            | StallKind::StoreFull
            | StallKind::StoreFailed
            | StallKind::StoreSlow
            | StallKind::Inexact
            | StallKind::NoProgress
            | StallKind::PeerSilent,
        )
        | None => Reason::DeadlineExceeded,
    }
}

fn what_to_do_about(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::NotReady(Phase::Refused(refusal)) | Rejection::Refused(refusal) => {
            refusal.what_to_do()
        }
        Rejection::NotReady(Phase::Restoring(_) | Phase::CatchingUp) => {
            "wait until the store is READY, or ask another node; Status tells how far it is"
        }
        Rejection::NotReady(Phase::Opening | Phase::Ready) => {
            "try again after a moment, or ask another node; Status tells what the store waits for"
        }
        Rejection::NotReady(Phase::Stopped) | Rejection::Draining => {
            "use another node, or this one after its restart"
        }
        Rejection::TooStale { .. } => "ask another node, or accept an older copy",
        Rejection::TokenOfAnotherTopic { .. }
        | Rejection::TokenOfAnotherHistory
        | Rejection::TokenBeyondLog { .. } => {
            "begin a new session: what this one saw is not in the log any more"
        }
        Rejection::TokenMalformed { .. } => "pass a token on as a node gave it",
        Rejection::Passed { .. } => "take a newer position and try again",
        Rejection::NoRestore(_) => {
            "a store that is READY keeps up with the log: stop the node to stop that"
        }
        Rejection::NotCancelled(_) => {
            "see Status for what the store does: it needs no order to go on"
        }
        Rejection::Overloaded => "try again after a moment",
        Rejection::Deadline { stall: Some(kind) } => kind.what_to_do(),
        Rejection::Leaderless { .. } => {
            "check the brokers that have the partition; LEVEL_LOCAL answers without its leader, and LATEST for keys of \
             other partitions"
        }
        Rejection::Deadline { stall: None } => "allow more time, or ask another node",
    }
}

fn advised(
    reason: Reason,
    message: impl Into<String>,
    what_to_do: impl Into<String>,
) -> ErrorDetail {
    ErrorDetail { what_to_do: what_to_do.into(), ..ErrorDetail::new(reason, message) }
}

fn named(detail: ErrorDetail, error: &KafkaError) -> ErrorDetail {
    ErrorDetail { kafka_error: error.name.clone(), ..detail }
}

#[cfg(test)]
mod tests;
