//! Names for what passes core's seams: coverage marks, and lines of the trace.

use outrigger_core::batch::Batch;
use outrigger_core::gate::Rejection;
use outrigger_core::log::{LogCall, LogCallKind, LogEvent, Loss};
use outrigger_core::node::{Command, Effect, Event, Notice, Outcome, Reply};
use outrigger_core::peer::{PeerCall, PeerEvent};
use outrigger_core::phase::{Cause, Phase, Refusal};
use outrigger_core::stall::StallKind;
use outrigger_core::store::{
    Found, GenerationState, StoreCall, StoreCallKind, StoreErrorKind, StoreEvent,
};
use outrigger_core::watch::ring::RingNews;
use outrigger_model::log::LogChange;

/// Every mark that there is: what a summary's "never hit" is counted against.
pub const ALL: &[&str] = &[
    "command: await",
    "command: drain",
    "command: pin",
    "command: write",
    "event: damaged",
    "event: timer",
    "log call: append",
    "log call: assign",
    "log call: describe",
    "log call: ends",
    "log call: fetch",
    "log call: topic id",
    "log did: append",
    "log did: clean records away",
    "log did: log start moved",
    "log did: lose acknowledged records",
    "log did: lose unacknowledged records",
    "log did: recreated",
    "log: appended",
    "log: assigned",
    "log: describe failed",
    "log: diverged",
    "log: ends",
    "log: ends failed",
    "log: facts",
    "log: fetched",
    "log: fetched a gap",
    "log: fetched nothing but the end",
    "log: offset out of range",
    "log: partition count",
    "log: topic id",
    "log: topic id failed",
    "log: trouble",
    "notice: ignored records",
    "notice: log incomplete",
    "notice: peer failed",
    "notice: policy warning",
    "notice: position lost",
    "notice: quarantined",
    "peer call: cancel",
    "peer call: fetch",
    "peer: failed",
    "peer: fetched",
    "peer: progress",
    "phase: catching up",
    "phase: opening",
    "phase: ready",
    "phase: refused (identity)",
    "phase: refused (log incomplete)",
    "phase: refused (policy)",
    "phase: restoring (corrupt)",
    "phase: restoring (diverged)",
    "phase: restoring (empty)",
    "phase: restoring (past horizon)",
    "phase: restoring (resume)",
    "phase: restoring (truncated)",
    "phase: restoring (unfinished)",
    "phase: restoring (unknown format)",
    "phase: stopped",
    "read: a peer is silent",
    "read: forwarded",
    "reply: appended",
    "reply: did not happen",
    "reply: drained",
    "reply: pinned",
    "reply: reached",
    "reply: rejected (deadline)",
    "reply: rejected (draining)",
    "reply: rejected (not ready)",
    "reply: rejected (overloaded)",
    "reply: rejected (passed)",
    "reply: rejected (refused)",
    "reply: rejected (token beyond the log)",
    "reply: rejected (token of another history)",
    "reply: rejected (token of another topic)",
    "reply: unknown",
    "ring: applied",
    "ring: begun",
    "ring: retention",
    "stall ended",
    "stall: authorisation",
    "stall: inexact",
    "stall: leader unavailable",
    "stall: log unreachable",
    "stall: no progress",
    "stall: open transaction",
    "stall: peer silent",
    "stall: poison batch",
    "stall: stale leader",
    "stall: store failed",
    "stall: store full",
    "stall: store slow",
    "stall: topic gone",
    "store call: activate",
    "store call: adopt",
    "store call: apply",
    "store call: close",
    "store call: confirm",
    "store call: create",
    "store call: flush",
    "store call: look",
    "store call: open",
    "store call: pin",
    "store call: quarantine",
    "store call: remove",
    "store call: unpin",
    "store: a copy to be read meanwhile",
    "store: applied",
    "store: done",
    "store: failed (corrupt)",
    "store: failed (full)",
    "store: failed (io)",
    "store: found a copy",
    "store: found a corrupt generation",
    "store: found an unfinished rebuild",
    "store: found nothing",
    "store: found something foreign",
    "store: found an unknown format",
    "store: nothing to be read meanwhile",
    "store: pinned",
    "watch: again (history)",
    "watch: again (horizon)",
    "watch: again (snapshot)",
    "watch: again (topic)",
    "watch: changes",
    "watch: changes from the log",
    "watch: ended (compacted)",
    "watch: ended (rejected)",
    "watch: its reader gave way",
    "watch: progress",
    "watch: read from the log",
    "watch: resumed",
    "watch: seam",
    "watch: started (now)",
    "watch: started (state)",
    "watch: waited",
];

pub(super) fn event(event: &Event) -> &'static str {
    match event {
        Event::Log(event) => log_event(event),
        Event::Store(event) => store_event(event),
        Event::Peer(PeerEvent::Progress(_)) => "peer: progress",
        Event::Peer(PeerEvent::Fetched { .. }) => "peer: fetched",
        Event::Peer(PeerEvent::Failed { .. }) => "peer: failed",
        Event::Command(_, Command::Write(_)) => "command: write",
        Event::Command(_, Command::Await { .. }) => "command: await",
        Event::Command(_, Command::Pin { .. }) => "command: pin",
        Event::Command(_, Command::Cancel) => "command: cancel",
        Event::Command(_, Command::Continue) => "command: continue",
        Event::Command(_, Command::Drain) => "command: drain",
        Event::Gone(_) | Event::Withdraw(_) | Event::Timer => "event: timer",
        Event::Damaged { .. } => "event: damaged",
        Event::RestoreRate(_) => "event: restore rate",
    }
}

fn log_event(event: &LogEvent) -> &'static str {
    match event {
        LogEvent::Facts(_) => "log: facts",
        LogEvent::Assigned { .. } => "log: assigned",
        LogEvent::Fetched(batch) if batch.gap => "log: fetched a gap",
        LogEvent::Fetched(batch) if batch.range.is_empty() => "log: fetched nothing but the end",
        LogEvent::Fetched(_) => "log: fetched",
        LogEvent::Lost { loss: Loss::Diverged, .. } => "log: diverged",
        LogEvent::Lost { loss: Loss::UnknownEpoch, .. } => "log: epoch unknown",
        LogEvent::Lost { loss: Loss::OutOfRange, .. } => "log: offset out of range",
        LogEvent::Leaderless { .. } => "log: topic without a leader",
        LogEvent::Ends(ends) if ends.iter().any(Result::is_err) => "log: ends without a leader",
        LogEvent::Ends(_) => "log: ends",
        LogEvent::TopicId(_) => "log: topic id",
        LogEvent::Appended { .. } => "log: appended",
        LogEvent::Failed { call: LogCallKind::Describe, .. } => "log: describe failed",
        LogEvent::Failed { call: LogCallKind::Ends, .. } => "log: ends failed",
        LogEvent::Failed { call: LogCallKind::TopicId, .. } => "log: topic id failed",
        LogEvent::PartitionCount(_) => "log: partition count",
        LogEvent::Trouble(_) => "log: trouble",
    }
}

fn store_event(event: &StoreEvent) -> &'static str {
    match event {
        StoreEvent::Looked(None) => "store: nothing to be read meanwhile",
        StoreEvent::Looked(Some(_)) => "store: a copy to be read meanwhile",
        StoreEvent::Found(Found::Nothing) => "store: found nothing",
        StoreEvent::Found(Found::Foreign { .. }) => "store: found something foreign",
        StoreEvent::Found(Found::Copy(copy)) => {
            let states = [&copy.current, &copy.building].into_iter().flatten();
            let states: Vec<_> = states.map(|found| &found.state).collect();
            match () {
                () if states.iter().any(|state| matches!(state, GenerationState::Corrupt(_))) => {
                    "store: found a corrupt generation"
                }
                () if states
                    .iter()
                    .any(|state| matches!(state, GenerationState::UnknownFormat(_))) =>
                {
                    "store: found an unknown format"
                }
                () if copy.building.is_some() => "store: found an unfinished rebuild",
                () => "store: found a copy",
            }
        }
        StoreEvent::Applied { .. } => "store: applied",
        StoreEvent::Pinned { .. } => "store: pinned",
        StoreEvent::Done { .. } => "store: done",
        StoreEvent::Failed { error, .. } => match error.kind {
            StoreErrorKind::Full => "store: failed (full)",
            StoreErrorKind::Io | StoreErrorKind::Held => "store: failed (io)",
            StoreErrorKind::Corrupt => "store: failed (corrupt)",
        },
    }
}

pub(super) fn ring(news: &RingNews) -> &'static str {
    match news {
        RingNews::Begun { .. } => "ring: begun",
        RingNews::Applied(_) => "ring: applied",
        RingNews::Retention { .. } => "ring: retention",
    }
}

pub(super) fn effect(effect: &Effect) -> &'static str {
    match effect {
        Effect::Log(LogCall::Describe) => "log call: describe",
        Effect::Log(LogCall::Assign { .. }) => "log call: assign",
        Effect::Log(LogCall::Fetch { .. }) => "log call: fetch",
        Effect::Log(LogCall::Ends) => "log call: ends",
        Effect::Log(LogCall::TopicId) => "log call: topic id",
        Effect::Log(LogCall::Append { .. }) => "log call: append",
        Effect::Log(LogCall::Withdraw { .. }) => "log call: withdraw",
        Effect::Store(call) => store_call(call),
        Effect::Peer(PeerCall::Fetch { .. }) => "peer call: fetch",
        Effect::Peer(PeerCall::Cancel) => "peer call: cancel",
        Effect::Ring(news) => ring(news),
        Effect::Reply(_, reply) => self::reply(reply),
        Effect::Notice(notice) => self::notice(notice),
    }
}

fn store_call(call: &StoreCall) -> &'static str {
    match call.kind() {
        StoreCallKind::Open => "store call: open",
        StoreCallKind::Look => "store call: look",
        StoreCallKind::Create => "store call: create",
        StoreCallKind::Adopt => "store call: adopt",
        StoreCallKind::Apply => "store call: apply",
        StoreCallKind::Confirm => "store call: confirm",
        StoreCallKind::Flush => "store call: flush",
        StoreCallKind::Activate => "store call: activate",
        StoreCallKind::Quarantine => "store call: quarantine",
        StoreCallKind::Remove => "store call: remove",
        StoreCallKind::Close => "store call: close",
        StoreCallKind::Pin => "store call: pin",
        StoreCallKind::Unpin => "store call: unpin",
    }
}

fn reply(reply: &Reply) -> &'static str {
    match reply {
        Reply::Written { outcomes, .. } => match outcomes.first() {
            Some(Outcome::DidNotHappen(_)) => "reply: did not happen",
            Some(Outcome::Unknown(_)) => "reply: unknown",
            Some(Outcome::Appended(_)) | None => "reply: appended",
        },
        Reply::Reached { .. } => "reply: reached",
        Reply::Pinned => "reply: pinned",
        Reply::Drained => "reply: drained",
        Reply::Done => "reply: done",
        Reply::Rejected(rejection) => self::rejection(rejection),
    }
}

pub(crate) fn rejection(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::NotReady(_) | Rejection::TooStale { .. } | Rejection::TokenMalformed { .. } => {
            "reply: rejected (not ready)"
        }
        Rejection::Refused(_) => "reply: rejected (refused)",
        Rejection::Draining => "reply: rejected (draining)",
        Rejection::TokenOfAnotherTopic { .. } => "reply: rejected (token of another topic)",
        Rejection::TokenOfAnotherHistory => "reply: rejected (token of another history)",
        Rejection::TokenBeyondLog { .. } => "reply: rejected (token beyond the log)",
        Rejection::Passed { .. } => "reply: rejected (passed)",
        Rejection::NoRestore(_) | Rejection::NotCancelled(_) => "reply: rejected (wrong phase)",
        Rejection::Overloaded => "reply: rejected (overloaded)",
        Rejection::Deadline { .. } => "reply: rejected (deadline)",
        Rejection::Leaderless { .. } => "reply: rejected (leaderless)",
    }
}

fn notice(notice: &Notice) -> &'static str {
    match notice {
        Notice::Phase(phase) => self::phase(phase),
        Notice::StallBegan { kind, .. } => stall(*kind),
        Notice::StallEnded { .. } => "stall ended",
        Notice::Ignored { .. } => "notice: ignored records",
        Notice::LogIncomplete { .. } => "notice: log incomplete",
        Notice::Quarantined { .. } => "notice: quarantined",
        Notice::PositionLost { .. } => "notice: position lost",
        Notice::Policy(_) => "notice: policy warning",
        Notice::PeerFailed { .. } => "notice: peer failed",
    }
}

fn phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Opening => "phase: opening",
        Phase::Restoring(Cause::Resume) => "phase: restoring (resume)",
        Phase::Restoring(Cause::Unfinished) => "phase: restoring (unfinished)",
        Phase::Restoring(Cause::Empty) => "phase: restoring (empty)",
        Phase::Restoring(Cause::PastHorizon) => "phase: restoring (past horizon)",
        Phase::Restoring(Cause::Truncated) => "phase: restoring (truncated)",
        Phase::Restoring(Cause::Diverged) => "phase: restoring (diverged)",
        Phase::Restoring(Cause::Corrupt) => "phase: restoring (corrupt)",
        Phase::Restoring(Cause::UnknownFormat) => "phase: restoring (unknown format)",
        Phase::CatchingUp => "phase: catching up",
        Phase::Ready => "phase: ready",
        Phase::Refused(Refusal::Identity { .. }) => "phase: refused (identity)",
        Phase::Refused(Refusal::Policy(_)) => "phase: refused (policy)",
        Phase::Refused(Refusal::LogIncomplete { .. }) => "phase: refused (log incomplete)",
        Phase::Refused(Refusal::Cancelled) => "phase: refused (cancelled)",
        Phase::Stopped => "phase: stopped",
    }
}

fn stall(kind: StallKind) -> &'static str {
    match kind {
        StallKind::LogUnreachable => "stall: log unreachable",
        StallKind::LeaderUnavailable => "stall: leader unavailable",
        StallKind::Authorisation => "stall: authorisation",
        StallKind::TopicGone => "stall: topic gone",
        StallKind::StaleLeader => "stall: stale leader",
        StallKind::OpenTransaction => "stall: open transaction",
        StallKind::PoisonBatch => "stall: poison batch",
        StallKind::StoreFull => "stall: store full",
        StallKind::StoreFailed => "stall: store failed",
        StallKind::NoProgress => "stall: no progress",
        StallKind::PeerSilent => "stall: peer silent",
        StallKind::StoreSlow => "stall: store slow",
        StallKind::Inexact => "stall: inexact",
    }
}

pub(super) fn log_change(change: &LogChange) -> &'static str {
    match change {
        LogChange::Appended { .. } => "log did: append",
        LogChange::Truncated(lost) if lost.acknowledged => "log did: lose acknowledged records",
        LogChange::Truncated(_) => "log did: lose unacknowledged records",
        LogChange::Recreated { .. } => "log did: recreated",
        LogChange::StartMoved { .. } => "log did: log start moved",
        LogChange::Cleaned(_) => "log did: clean records away",
    }
}

pub(super) fn show_event(event: &Event) -> String {
    match event {
        Event::Log(LogEvent::Fetched(batch)) => format!("Fetched {}", show_batch(batch)),
        Event::Log(event) => format!("{event:?}"),
        Event::Store(event) => format!("{event:?}"),
        Event::Peer(event) => format!("{event:?}"),
        Event::Command(id, command) => format!("{id:?} {command:?}"),
        Event::Gone(id) => format!("{id:?} is gone"),
        Event::Withdraw(id) => format!("{id:?} is withdrawn"),
        Event::Damaged { .. } | Event::RestoreRate(_) | Event::Timer => format!("{event:?}"),
    }
}

pub(super) fn show_effect(effect: &Effect) -> String {
    match effect {
        Effect::Log(call) => format!("{call:?}"),
        Effect::Store(call) => show_store_call(call),
        Effect::Peer(call) => format!("{call:?}"),
        Effect::Ring(news) => format!("{news:?}"),
        Effect::Reply(id, reply) => format!("{id:?} {reply:?}"),
        Effect::Notice(notice) => format!("{notice:?}"),
    }
}

pub(super) fn show_store_call(call: &StoreCall) -> String {
    match call {
        StoreCall::Apply { generation, batch, .. } => {
            format!("Apply {} to generation {generation}", show_batch(batch))
        }
        StoreCall::Open { .. }
        | StoreCall::Look { .. }
        | StoreCall::Create { .. }
        | StoreCall::Adopt { .. }
        | StoreCall::Confirm { .. }
        | StoreCall::Flush { .. }
        | StoreCall::Activate { .. }
        | StoreCall::Quarantine { .. }
        | StoreCall::Remove { .. }
        | StoreCall::Close { .. }
        | StoreCall::Pin { .. }
        | StoreCall::Unpin { .. } => format!("{call:?}"),
    }
}

fn show_batch(batch: &Batch) -> String {
    let Batch { partition, range, gap, at_end, .. } = batch;
    let records = batch.records().map(|record| {
        let key = String::from_utf8_lossy(record.key);
        match record.value {
            Some(value) => format!("{}:{key}={}", record.offset, String::from_utf8_lossy(value)),
            None => format!("{}:{key} deleted", record.offset),
        }
    });
    let records: Vec<_> = records.collect();
    let gap = if *gap { ", a gap" } else { "" };
    let end = if *at_end { ", the end" } else { "" };
    format!("p{partition} {}..{}{gap}{end} [{}]", range.start, range.end, records.join(" "))
}
