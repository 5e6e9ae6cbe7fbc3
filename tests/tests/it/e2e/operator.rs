//! A running restore in an operator's hand.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_client::StoreStatus;
use outrigger_client::proto::v1::{Phase, RestoreProgress};
use outrigger_core::offset::Partition;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::load::rows;

use super::{MINUTE, Place, run};

const P0: Partition = Partition(0);

const KEYS: u64 = 4_000;
const VALUE_BYTES: usize = 1_000;

/// A restore of what `fill` writes takes 16 s with it.
const RATE: &str = "256KiB";
const RATE_BYTES: u64 = 256 << 10;

/// 4 MB in as many records as keys.
fn fill(place: &Place) -> Result<()> {
    let keys: Vec<_> = (0..KEYS).map(|number| format!("{number:06}")).collect();
    let value = [b'v'; VALUE_BYTES];
    place.topic.put_all(keys.iter().map(|key| (P0, key.as_bytes(), Some(&value[..]))))?;
    Ok(())
}

fn progress(status: &StoreStatus) -> Option<&RestoreProgress> {
    status.restore.as_ref().filter(|_| status.phase() == Phase::Restoring)
}

fn has_read(status: &StoreStatus, bytes: u64) -> bool {
    progress(status).is_some_and(|progress| progress.bytes_read >= bytes)
}

#[test]
fn a_throttled_restore_reads_no_faster_than_it_may_until_the_throttle_is_taken_off() -> Result<()> {
    run(async {
        let place = Place::new("throttled", TopicSpec::store())?;
        tokio::task::block_in_place(|| fill(&place))?;
        let mut node = place.node("one")?.with_args(&["--restore-rate", RATE]);
        let began = Instant::now();
        node.start().await?;
        let restoring = node.until("a second's", MINUTE, |status| has_read(status, RATE_BYTES));
        let restoring = restoring.await?;
        let progress = progress(&restoring).context("it restores")?;
        // What was read last is paid for afterwards.
        let paid = progress.bytes_read.saturating_sub(RATE_BYTES / 5);
        let may = began.elapsed().as_secs_f64() * 262_144.0;
        ensure!(f64::from(u32::try_from(paid)?) <= may, "{may} bytes at most: {progress:?}");
        ensure!(progress.bytes_per_second_max == Some(RATE_BYTES), "{progress:?}");
        ensure!(restoring.stalls.is_empty(), "a throttle is no stall: {restoring:?}");

        let refused = node.ask("throttle", &["0MiB"])?;
        ensure!(refused.status.code() == Some(64), "{refused:?}");
        let slower = node.ask("throttle", &["64KiB"])?;
        ensure!(slower.status.success(), "{slower:?}");
        let throttled = |status: &StoreStatus| {
            status.restore.as_ref().and_then(|restore| restore.bytes_per_second_max)
                == Some(64 << 10)
        };
        node.until("another rate", MINUTE, throttled).await?;
        let off = node.ask("throttle", &["off"])?;
        ensure!(off.status.success(), "{off:?}");
        node.until_ready().await?;
        ensure!(u64::try_from(rows(&node).await?.len())? == KEYS);
        Ok(())
    })
}
