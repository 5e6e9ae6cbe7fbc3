//! What tests of several rooms have in common: the status of a store.

use std::time::Duration;

use outrigger_core::horizon::Horizon;
use outrigger_core::node::{PartitionStatus, Progress, Source, Status};
use outrigger_core::offset::{Epoch, Generation, Offset};
use outrigger_core::phase::{Cause, Phase};
use outrigger_core::time::Now;
use outrigger_core::topic::{Identity, TopicId};

pub(crate) const NOW: Now = Now { mono: Duration::from_secs(100), wall_ms: 1_000_000 };

/// The rest of it is the same for all.
pub(crate) fn partition(applied: u64, exact_from: u64) -> PartitionStatus {
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

/// A READY store of two partitions.
pub(crate) fn ready() -> Status {
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
        fed: Some(Generation(5)),
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
        horizon: Some(Horizon { left: Duration::from_secs(1_000), of: Duration::from_secs(2_000) }),
        writes_in_flight: 5,
        awaits: 8,
        pins: 0,
        ignored: 6,
        misplaced: 0,
        mono: NOW.mono,
    }
}
