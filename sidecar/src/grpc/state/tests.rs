//! What an operator is shown of a store, and what not.

use outrigger_core::node::{Progress, Source};
use outrigger_core::offset::Offset;
use outrigger_core::peer::Transfer;
use outrigger_core::phase::{PolicyFault, Refusal};
use outrigger_core::topic::TopicPolicy;
use outrigger_proto::v1::Reason;

use super::*;
use crate::fixtures::{NOW, ready};
use crate::runtime::{LogHome, TopicNews};

const DISK: DiskShown = DiskShown {
    open: Some(Duration::from_millis(1_250)),
    apply_max: Some(Duration::from_micros(900)),
    flush_max: None,
};

fn shown(status: &Status) -> StoreStatus {
    let news = TopicNews::default();
    let circumstances =
        Circumstances::new("notes".to_owned(), "/d".into(), news, LogHome::Brokers, false);
    let place = Place {
        topic: "topic",
        limits: &Limits::PRODUCTION,
        circumstances: &circumstances,
        disk: DISK,
    };
    store_status(status, &place, &RestoreTime::default(), NOW)
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
    assert_eq!(shown.horizon_ms, Some(1_000_000));
    assert_eq!((shown.generation, shown.fed_generation, shown.exact), (Some(4), Some(5), true));
    assert_eq!((shown.writes_in_flight, shown.reads_waiting, shown.ignored_records), (5, 8, 6));
    let disk = shown.disk.expect("it is told");
    assert_eq!((disk.oldest_open_ms, disk.apply_us_max), (Some(1_250), Some(900)));
    assert_eq!(disk.flush_us_max, None);
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
        fed: None,
        confirmed_at_ms: 0,
        partitions: vec![],
        progress: None,
        horizon: None,
        ..ready()
    };
    let shown = shown(&unknown);
    assert_eq!(shown.horizon_ms, None);
    assert_eq!(shown.phase(), v1::Phase::Opening);
    assert_eq!((shown.lag_records, shown.confirmed_age_ms), (None, None));
    assert_eq!((shown.generation, shown.fed_generation), (None, None));
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
    let stalls = vec![stall(StallKind::LogUnreachable, 99), stall(StallKind::OpenTransaction, 98)];
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
    let policy =
        TopicPolicy { replication: 1, message_bytes_max: 10_000_000, ..TopicPolicy::safe(3) };
    let mut partitions = ready().partitions;
    partitions[1].log_start = Offset(9);
    let warnings = shown(&Status { policy: Some(policy), partitions, ..ready() }).warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("1 replica") && warnings[1].contains("partition 1"),
        "{warnings:?}"
    );
}
