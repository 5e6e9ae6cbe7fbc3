//! What an operator sees of a store: the core's status in the words of the protocol.

use std::num::NonZeroU64;
use std::time::Duration;

use outrigger_core::limits::Limits;
use outrigger_core::node::{PartitionStatus, PolicyWarning, Stall, Status};
use outrigger_core::phase::{Cause, Phase};
use outrigger_core::stall::StallKind;
use outrigger_core::time::Now;
use outrigger_proto::v1;
use outrigger_proto::v1::cause::Why;
use outrigger_proto::v1::{RestoreCause, StoreStatus};

use super::progress::{self, RestoreRate};
use super::stores::Store;
use super::{convert, error};
use crate::words::MURMUR2;

pub(super) fn of(store: &Store, now: Now) -> StoreStatus {
    store_status(
        &store.handle.status(),
        store.handle.topic(),
        store.handle.limits(),
        &store.rate,
        now,
    )
}

fn store_status(
    status: &Status,
    topic: &str,
    limits: &Limits,
    rate: &RestoreRate,
    now: Now,
) -> StoreStatus {
    let identity = status.identity.as_ref();
    let restore = restore(status, rate, now);
    StoreStatus {
        store: status.store.clone(),
        topic: topic.to_owned(),
        topic_id: identity.map(|identity| convert::topic_id(identity.topic)).unwrap_or_default(),
        cluster_id: identity.map(|identity| identity.cluster.clone()).unwrap_or_default(),
        phase: phase(&status.phase).into(),
        cause: cause(status),
        stalls: stalls(&status.stalls, now),
        generation: status.served.map(|generation| generation.0),
        live_generation: status.live.map(|generation| generation.0),
        partitions: (0_u32..).zip(&status.partitions).map(partition).collect(),
        exact: status.exact,
        lag_records: lag(status),
        confirmed_age_ms: confirmed_age_ms(status, now),
        writes_in_flight: u64::try_from(status.writes_in_flight).expect("lengths fit 64 bits"),
        reads_waiting: u64::try_from(status.awaits).expect("lengths fit 64 bits"),
        ignored_records: status.ignored,
        warnings: warnings(status, restore.as_ref(), limits),
        restore,
        digest: None,
    }
}

/// Offsets between the copy and the end of the log; unknown while nothing is read.
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

fn cause(status: &Status) -> Option<v1::Cause> {
    match &status.phase {
        Phase::Opening | Phase::Ready | Phase::Stopped => None,
        Phase::Restoring(cause) => Some(restoring(*cause)),
        Phase::CatchingUp => status.progress.as_ref().map(|progress| restoring(progress.cause)),
        Phase::Refused(refusal) => Some(v1::Cause {
            why: Some(Why::Refusal(error::of_refusal(refusal).into())),
            detail: refusal.to_string(),
            what_to_do: refusal.what_to_do().to_owned(),
        }),
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

/// The longest first.
fn stalls(stalls: &[Stall], now: Now) -> Vec<v1::Stall> {
    let mut sorted: Vec<_> = stalls.iter().collect();
    sorted.sort_by_key(|stall| stall.since);
    sorted.into_iter().map(|each| stall(each, now)).collect()
}

fn stall(stall: &Stall, now: Now) -> v1::Stall {
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
    v1::Stall {
        kind: kind.into(),
        since_unix_ms: unix_ms(stall.since, now),
        detail: stall.detail.clone(),
        what_to_do: stall.kind.what_to_do().to_owned(),
    }
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

/// Of a restore that is over nothing is told: its phase is.
fn restore(status: &Status, rate: &RestoreRate, now: Now) -> Option<v1::RestoreProgress> {
    let running = progress::running(status)?;
    let progress = rate.progress(status, running, unix_ms(running.started, now));
    let bytes_per_second_max = status.restore_rate.map(NonZeroU64::get);
    Some(v1::RestoreProgress { bytes_per_second_max, ..progress })
}

fn warnings(
    status: &Status,
    restore: Option<&v1::RestoreProgress>,
    limits: &Limits,
) -> Vec<String> {
    let policy = status.policy.iter().flat_map(|policy| PolicyWarning::of(policy, limits));
    let partitions = (0_u32..).zip(&status.partitions);
    let deleted =
        partitions.filter(|(_, partition)| partition.log_start.0 > 0).map(|(number, partition)| {
            let start = partition.log_start;
            format!(
                "the records below offset {start} of partition {number} were deleted: \
             no copy can be rebuilt from this log"
            )
        });
    let late = restore.and_then(|restore| past_horizon(restore, status.horizon_in?));
    let misplaced = misplaced(status.misplaced);
    let policy = policy.map(|warning| warning.to_string());
    misplaced.into_iter().chain(policy).chain(deleted).chain(late).collect()
}

/// Somebody's writes have no effect, and nobody tells him.
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

/// A throttled restore takes longer than the tombstones live that it has to see: it would begin again.
fn past_horizon(restore: &v1::RestoreProgress, horizon_in: Duration) -> Option<String> {
    let (eta, horizon) = (restore.eta_seconds?, horizon_in.as_secs());
    (restore.bytes_per_second_max.is_some() && eta > horizon).then(|| {
        format!(
            "throttled, this restore takes {eta} s more, and the tombstones that it needs are safe for {horizon} s: \
             it will begin again unless the rate is raised"
        )
    })
}

/// The wall clock's time of a moment of the monotonic clock, as near as the two can be related.
fn unix_ms(mono: Duration, now: Now) -> u64 {
    let ago = now.mono.saturating_sub(mono).as_millis();
    now.wall_ms.saturating_sub(u64::try_from(ago).unwrap_or(u64::MAX))
}

#[cfg(test)]
pub(super) mod tests {
    use outrigger_core::node::{Progress, Source};
    use outrigger_core::offset::{Epoch, Generation, Offset};
    use outrigger_core::peer::Transfer;
    use outrigger_core::phase::{PolicyFault, Refusal};
    use outrigger_core::topic::{Identity, TopicId, TopicPolicy};
    use outrigger_proto::v1::Reason;

    use super::*;

    const NOW: Now = Now { mono: Duration::from_secs(100), wall_ms: 1_000_000 };

    fn partition(applied: u64, exact_from: u64) -> PartitionStatus {
        PartitionStatus {
            applied: Offset(applied),
            durable: Offset(applied / 2),
            target: Offset(80),
            log_start: Offset(0),
            high_watermark: Offset(100),
            exact_from: Offset(exact_from),
            epoch: Some(Epoch(3)),
        }
    }

    pub(in crate::grpc) fn ready() -> Status {
        let topic = TopicId([7; 16]);
        Status {
            store: "notes".to_owned(),
            phase: Phase::Ready,
            stalls: vec![],
            identity: Some(Identity {
                store: "notes".to_owned(),
                cluster: "c1".to_owned(),
                topic,
                partitions: 2,
            }),
            policy: None,
            served: Some(Generation(4)),
            live: Some(Generation(5)),
            exact: true,
            confirmed_at_ms: 999_250,
            partitions: vec![partition(90, 0), partition(70, 75)],
            progress: Some(Progress {
                cause: Cause::PastHorizon,
                started: Duration::from_secs(90),
                records: 100,
                bytes: 1_000,
                source: Source::Log,
            }),
            restore_rate: None,
            horizon_in: Some(Duration::from_secs(1_000)),
            writes_in_flight: 5,
            awaits: 8,
            pins: 0,
            ignored: 6,
            misplaced: 0,
            mono: NOW.mono,
        }
    }

    fn shown(status: &Status) -> StoreStatus {
        store_status(status, "topic", &Limits::PRODUCTION, &RestoreRate::default(), NOW)
    }

    #[test]
    fn a_ready_store_is_shown_whole_and_without_excuse() {
        let shown = shown(&ready());
        assert_eq!(
            (&shown.store[..], &shown.topic[..], &shown.cluster_id[..]),
            ("notes", "topic", "c1")
        );
        assert_eq!(&shown.topic_id[..], [7; 16]);
        assert_eq!(shown.phase(), v1::Phase::Ready);
        assert_eq!((&shown.cause, &shown.stalls[..], &shown.restore), (&None, &[][..], &None));
        assert_eq!((shown.lag_records, shown.confirmed_age_ms), (Some(40), Some(750)));
        assert_eq!(
            (shown.generation, shown.live_generation, shown.exact),
            (Some(4), Some(5), true)
        );
        assert_eq!((shown.writes_in_flight, shown.reads_waiting, shown.ignored_records), (5, 8, 6));
        let [first, second] = &shown.partitions[..] else { panic!("two partitions") };
        assert_eq!((first.partition, first.position, first.durable), (0, 90, 45));
        assert_eq!(
            (first.target, first.log_start, first.log_end, first.leader_epoch),
            (80, 0, 100, Some(3))
        );
        assert_eq!((second.partition, second.exact_from), (1, 75));
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let unknown = Status {
            phase: Phase::Opening,
            identity: None,
            served: None,
            live: None,
            confirmed_at_ms: 0,
            partitions: vec![],
            progress: None,
            ..ready()
        };
        let shown = shown(&unknown);
        assert_eq!(shown.phase(), v1::Phase::Opening);
        assert_eq!((shown.lag_records, shown.confirmed_age_ms), (None, None));
        assert_eq!((shown.generation, shown.live_generation), (None, None));
        assert!(
            shown.topic_id.is_empty() && shown.cluster_id.is_empty() && shown.partitions.is_empty()
        );
    }

    #[test]
    fn a_restore_says_why_and_how_far() {
        let shown = shown(&Status { phase: Phase::Restoring(Cause::PastHorizon), ..ready() });
        let cause = shown.cause.expect("a cause");
        assert_eq!(cause.why, Some(Why::Restore(RestoreCause::PastHorizon.into())));
        let restore = shown.restore.expect("progress");
        assert_eq!((restore.started_unix_ms, restore.fraction), (990_000, None));
        assert_eq!((restore.records_per_second, restore.eta_seconds), (10, None));
    }

    #[test]
    fn a_throttled_restore_that_would_pass_the_horizon_is_warned_about() {
        let restoring = Status { phase: Phase::Restoring(Cause::Empty), ..ready() };
        let throttled = Status { restore_rate: NonZeroU64::new(100), ..restoring };
        assert_eq!(shown(&throttled).restore.unwrap().bytes_per_second_max, Some(100));
        let late = |eta_seconds, bytes_per_second_max| {
            let restore = v1::RestoreProgress {
                eta_seconds,
                bytes_per_second_max,
                ..v1::RestoreProgress::default()
            };
            past_horizon(&restore, Duration::from_secs(29))
        };
        assert_eq!(
            (late(Some(29), Some(1)), late(None, Some(1)), late(Some(30), None)),
            (None, None, None)
        );
        let warning = late(Some(30), Some(1)).expect("a warning");
        assert!(warning.contains("30 s more") && warning.contains("29 s"), "{warning}");
    }

    #[test]
    fn catching_up_has_the_cause_of_its_restore() {
        let cause = shown(&Status { phase: Phase::CatchingUp, exact: false, ..ready() })
            .cause
            .expect("a cause");
        assert_eq!(cause.why, Some(Why::Restore(RestoreCause::PastHorizon.into())));
    }

    #[test]
    fn a_refusal_has_the_name_that_calls_get_and_says_what_to_do() {
        let refusal = Refusal::Policy(PolicyFault::Cleanup("delete".to_owned()));
        let shown = shown(&Status { phase: Phase::Refused(refusal), ..ready() });
        let cause = shown.cause.expect("a cause");
        assert_eq!(cause.why, Some(Why::Refusal(Reason::RefusedTopicPolicy.into())));
        assert!(cause.detail.contains("delete") && !cause.what_to_do.is_empty(), "{cause:?}");
    }

    #[test]
    fn a_node_that_refuses_shows_only_a_copy_that_a_peer_gives() {
        let refusal = Refusal::Policy(PolicyFault::Cleanup("delete".to_owned()));
        let refused = |source| {
            let progress = ready().progress.map(|progress| Progress { source, ..progress });
            shown(&Status { phase: Phase::Refused(refusal.clone()), progress, ..ready() }).restore
        };
        assert_eq!((refused(Source::Log), refused(Source::Peer(None))), (None, None));
        let transfer = Transfer { peer: "http://b:1".to_owned(), bytes: 1, bytes_total: 4 };
        let restore = refused(Source::Peer(Some(transfer))).expect("it comes");
        assert_eq!(restore.from_peer.expect("from a peer").bytes_total, 4);
    }

    #[test]
    fn the_longest_stall_comes_first() {
        let stall = |kind, seconds| Stall {
            kind,
            detail: "partition 0".to_owned(),
            since: Duration::from_secs(seconds),
        };
        let stalls =
            vec![stall(StallKind::LogUnreachable, 99), stall(StallKind::OpenTransaction, 98)];
        let shown = shown(&Status { stalls, ..ready() }).stalls;
        let kinds: Vec<_> = shown.iter().map(|stall| (stall.kind(), stall.since_unix_ms)).collect();
        let (open, log) = (v1::StallKind::OpenTransaction, v1::StallKind::LogUnreachable);
        assert_eq!(kinds, [(open, 998_000), (log, 999_000)]);
        assert!(
            shown.iter().all(|stall| stall.detail == "partition 0" && !stall.what_to_do.is_empty())
        );
    }

    #[test]
    fn an_unsafe_but_legal_topic_is_warned_about() {
        let policy = TopicPolicy {
            cleanup: "compact".to_owned(),
            delete_retention_ms: 1,
            min_compaction_lag_ms: 0,
            log_append_time: true,
            min_insync_replicas: 2,
            replication: 1,
            unclean_election: false,
            message_bytes_max: 10_000_000,
        };
        let mut partitions = ready().partitions;
        partitions[1].log_start = Offset(9);
        let warnings = shown(&Status { policy: Some(policy), partitions, ..ready() }).warnings;
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(
            warnings[0].contains("1 replica") && warnings[1].contains("partition 1"),
            "{warnings:?}"
        );
    }
}
