//! What an operator sees of a store: the core's status in the words of the protocol.

use std::num::NonZeroU64;
use std::time::Duration;

use outrigger_core::limits::Limits;
use outrigger_core::node::{PartitionStatus, PolicyWarning, Source, Stall, Status};
use outrigger_core::peer::Transfer;
use outrigger_core::phase::{Cause, Phase};
use outrigger_core::stall::StallKind;
use outrigger_core::time::Now;
use outrigger_proto::v1;
use outrigger_proto::v1::cause::Why;
use outrigger_proto::v1::{RestoreCause, StoreStatus};

use super::stores::Store;
use super::{compare, convert, error};
use crate::restore_time::{self, Estimate, RestoreTime};
use crate::runtime::{Circumstances, DiskShown, Told};
use crate::words::MURMUR2;

pub(super) fn of(store: &Store, now: Now) -> StoreStatus {
    let handle = &store.handle;
    let place = Place {
        topic: handle.topic(),
        limits: handle.limits(),
        circumstances: handle.circumstances(),
        disk: handle.disk(),
    };
    store_status(&handle.status(), &place, &store.restore_time, now)
}

/// What the core's status does not say.
struct Place<'a> {
    topic: &'a str,
    limits: &'a Limits,
    circumstances: &'a Circumstances,
    disk: DiskShown,
}

fn store_status(status: &Status, place: &Place<'_>, time: &RestoreTime, now: Now) -> StoreStatus {
    let Place { topic, limits, circumstances, disk } = *place;
    let identity = status.identity.as_ref();
    let restore = restore(status, time, now);
    StoreStatus {
        store: status.store.clone(),
        topic: topic.to_owned(),
        topic_id: identity.map(|identity| convert::topic_id(identity.topic)).unwrap_or_default(),
        cluster_id: identity.map(|identity| identity.cluster.clone()).unwrap_or_default(),
        phase: phase(&status.phase).into(),
        cause: cause(status, circumstances),
        stalls: stalls(&status.stalls, circumstances, now),
        generation: status.served.map(|generation| generation.0),
        fed_generation: status.fed.map(|generation| generation.0),
        partitions: (0_u32..).zip(&status.partitions).map(partition).collect(),
        exact: status.exact,
        lag_records: lag(status),
        confirmed_age_ms: confirmed_age_ms(status, now),
        horizon_ms: horizon_ms(status, now),
        writes_in_flight: u64::try_from(status.writes_in_flight).expect("lengths fit 64 bits"),
        reads_waiting: u64::try_from(status.awaits).expect("lengths fit 64 bits"),
        ignored_records: status.ignored,
        warnings: warnings(status, restore.as_ref(), limits, circumstances),
        restore,
        digest: None,
        disk: Some(disk_times(disk)),
    }
}

fn disk_times(disk: DiskShown) -> v1::DiskTimes {
    let whole = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
    v1::DiskTimes {
        oldest_open_ms: disk.open.map(|open| whole(open.as_millis())),
        apply_us_max: disk.apply_max.map(|longest| whole(longest.as_micros())),
        flush_us_max: disk.flush_max.map(|longest| whole(longest.as_micros())),
    }
}

/// Returns the offsets between the copy and the end of the log; none while nothing is read.
pub(super) fn lag(status: &Status) -> Option<u64> {
    let lag = |partition: &PartitionStatus| partition.high_watermark.since(partition.applied);
    (!status.partitions.is_empty()).then(|| status.partitions.iter().map(lag).sum())
}

fn phase(phase: &Phase) -> v1::Phase {
    match phase {
        Phase::Opening => v1::Phase::Opening,
        Phase::Restoring(_) => v1::Phase::Restoring,
        Phase::CatchingUp => v1::Phase::CatchingUp,
        Phase::Ready => v1::Phase::Ready,
        Phase::Refused(_) => v1::Phase::Refused,
        Phase::Stopped => v1::Phase::Stopped,
    }
}

fn cause(status: &Status, circumstances: &Circumstances) -> Option<v1::Cause> {
    match &status.phase {
        Phase::Opening | Phase::Ready | Phase::Stopped => None,
        Phase::Restoring(cause) => Some(restoring(*cause)),
        Phase::CatchingUp => status.progress.as_ref().map(|progress| restoring(progress.cause)),
        Phase::Refused(refusal) => {
            let Told { detail, what_to_do } = circumstances.refusal(refusal);
            let why = Some(Why::Refusal(error::of_refusal(refusal).into()));
            Some(v1::Cause { why, detail, what_to_do })
        }
    }
}

fn restoring(cause: Cause) -> v1::Cause {
    let restore = match cause {
        Cause::Resume => RestoreCause::Resume,
        Cause::Unfinished => RestoreCause::Unfinished,
        Cause::Empty => RestoreCause::Empty,
        Cause::PastHorizon => RestoreCause::PastHorizon,
        Cause::Truncated => RestoreCause::Truncated,
        Cause::Diverged => RestoreCause::Diverged,
        Cause::Corrupt => RestoreCause::Corrupt,
        Cause::UnknownFormat => RestoreCause::UnknownFormat,
    };
    v1::Cause {
        why: Some(Why::Restore(restore.into())),
        detail: cause.name().to_owned(),
        what_to_do: String::new(),
    }
}

/// Returns the stalls, the longest first.
fn stalls(stalls: &[Stall], circumstances: &Circumstances, now: Now) -> Vec<v1::Stall> {
    let mut sorted: Vec<_> = stalls.iter().collect();
    sorted.sort_by_key(|stall| stall.since);
    sorted.into_iter().map(|each| stall(each, circumstances, now)).collect()
}

fn stall(stall: &Stall, circumstances: &Circumstances, now: Now) -> v1::Stall {
    let kind = match stall.kind {
        StallKind::LogUnreachable => v1::StallKind::LogUnreachable,
        StallKind::LeaderUnavailable => v1::StallKind::LeaderUnavailable,
        StallKind::Authorisation => v1::StallKind::Authorisation,
        StallKind::TopicGone => v1::StallKind::TopicGone,
        StallKind::StaleLeader => v1::StallKind::StaleLeader,
        StallKind::OpenTransaction => v1::StallKind::OpenTransaction,
        StallKind::PoisonBatch => v1::StallKind::PoisonBatch,
        StallKind::StoreFull => v1::StallKind::StoreFull,
        StallKind::StoreFailed => v1::StallKind::StoreFailed,
        StallKind::NoProgress => v1::StallKind::NoProgress,
        StallKind::PeerSilent => v1::StallKind::PeerSilent,
        StallKind::StoreSlow => v1::StallKind::StoreSlow,
        StallKind::Inexact => v1::StallKind::Inexact,
    };
    let Told { detail, what_to_do } = circumstances.stall(stall.kind, &stall.detail);
    let since_unix_ms = unix_ms(stall.since, now);
    v1::Stall { kind: kind.into(), since_unix_ms, detail, what_to_do }
}

fn partition((partition, status): (u32, &PartitionStatus)) -> v1::PartitionStatus {
    v1::PartitionStatus {
        partition,
        position: status.applied.0,
        durable: status.durable.0,
        target: status.target.0,
        log_start: status.log_start.0,
        log_end: status.high_watermark.0,
        exact_from: status.exact_from.0,
        leader_epoch: status.epoch.map(|epoch| epoch.0),
    }
}

fn confirmed_age_ms(status: &Status, now: Now) -> Option<u64> {
    (status.confirmed_at_ms > 0).then(|| now.wall_ms.saturating_sub(status.confirmed_at_ms))
}

/// Returns how long the copy may still be without a confirmation.
fn horizon_ms(status: &Status, now: Now) -> Option<u64> {
    let left = status.horizon?.left.saturating_sub(now.mono.saturating_sub(status.mono));
    Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

/// Returns the progress of a restore that runs. Nothing is told of one that is over: its phase is.
fn restore(status: &Status, time: &RestoreTime, now: Now) -> Option<v1::RestoreProgress> {
    let progress = restore_time::running(status)?;
    let Estimate { records_per_second, fraction, seconds_to_go } = time.estimate(status, progress);
    Some(v1::RestoreProgress {
        started_unix_ms: unix_ms(progress.started, now),
        records_read: progress.records,
        bytes_read: progress.bytes,
        records_per_second,
        fraction,
        eta_seconds: seconds_to_go,
        bytes_per_second_max: status.restore_rate.map(NonZeroU64::get),
        from_peer: from_peer(&progress.source),
    })
}

fn from_peer(source: &Source) -> Option<v1::PeerTransfer> {
    match source {
        Source::Peer(Some(Transfer { peer, bytes, bytes_total })) => {
            Some(v1::PeerTransfer { peer: peer.clone(), bytes: *bytes, bytes_total: *bytes_total })
        }
        Source::Peer(None) | Source::Log => None,
    }
}

fn warnings(
    status: &Status,
    restore: Option<&v1::RestoreProgress>,
    limits: &Limits,
    circumstances: &Circumstances,
) -> Vec<String> {
    let policy = status.policy.iter().flat_map(|policy| PolicyWarning::of(policy, limits));
    let policy = policy.filter(|warning| circumstances.warns(warning));
    let partitions = (0_u32..).zip(&status.partitions);
    let deleted =
        partitions.filter(|(_, partition)| partition.log_start.0 > 0).map(|(number, partition)| {
            let start = partition.log_start;
            format!(
                "the records below offset {start} of partition {number} were deleted: \
             no copy can be rebuilt from this log"
            )
        });
    let late = restore.and_then(|restore| past_horizon(restore, status.horizon?.left));
    let misplaced = misplaced(status.misplaced);
    let alone = restore.and_then(|restore| without_peer(restore, circumstances));
    let policy = policy.map(|warning| warning.to_string());
    let differ = differ(&circumstances.differ());
    differ
        .into_iter()
        .chain(misplaced)
        .chain(policy)
        .chain(deleted)
        .chain(late)
        .chain(alone)
        .collect()
}

/// Warns of a restore that reads the log although there are peers.
fn without_peer(restore: &v1::RestoreProgress, circumstances: &Circumstances) -> Option<String> {
    let why = circumstances.peers_failed().filter(|_| restore.from_peer.is_none())?;
    Some(format!("no peer gave a copy, so the log is read: {why}"))
}

/// Warns that one of two copies is wrong.
fn differ(peers: &[String]) -> Option<String> {
    (!peers.is_empty()).then(|| {
        let peers = peers.join(", ");
        format!("bad: the copy was not the same as that of {peers}: {}", compare::WHAT_TO_DO)
    })
}

/// Warns that somebody's writes have no effect, which their writer is not told.
fn misplaced(records: u64) -> Option<String> {
    (records > 0).then(|| {
        format!(
            "bad: {} missing on every node: another tool wrote to another partition than the key's: {MURMUR2}",
            match records {
                1 => "1 record is".to_owned(),
                records => format!("{records} records are"),
            }
        )
    })
}

/// Warns of a throttled restore that takes longer than the tombstones live that it has to see: it would begin again.
fn past_horizon(restore: &v1::RestoreProgress, horizon_in: Duration) -> Option<String> {
    let (eta, horizon) = (restore.eta_seconds?, horizon_in.as_secs());
    (restore.bytes_per_second_max.is_some() && eta > horizon).then(|| {
        format!(
            "throttled, this restore takes {eta} s more, and the tombstones that it needs are safe for {horizon} s: \
             it will begin again unless the rate is raised"
        )
    })
}

/// Returns the wall clock's time of a moment of the monotonic clock, as near as the two can be related.
fn unix_ms(mono: Duration, now: Now) -> u64 {
    let ago = now.mono.saturating_sub(mono).as_millis();
    now.wall_ms.saturating_sub(u64::try_from(ago).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
