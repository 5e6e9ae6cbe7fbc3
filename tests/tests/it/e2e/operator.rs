//! A running restore in an operator's hand.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_client::proto::v1::cause::Why;
use outrigger_client::proto::v1::{Phase, Reason, RestoreProgress};
use outrigger_client::{Level, StoreStatus};
use outrigger_core::offset::Partition;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::Node;
use outrigger_tests::writers::rows;

use super::{MINUTE, Place, durable, run};

const P0: Partition = Partition(0);

const POLL: Duration = Duration::from_millis(500);

const KEYS: u64 = 4_000;
const VALUE_BYTES: usize = 1_000;

/// At this rate a restore of what `fill` writes takes 16 s.
const RATE: &str = "256KiB";
const RATE_BYTES: u64 = 256 << 10;

/// Writes 4 MB in as many records as keys.
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

fn position(status: &StoreStatus) -> u64 {
    status.partitions.first().map_or(0, |partition| partition.position)
}

fn cancelled(status: &StoreStatus) -> bool {
    let why = status.cause.as_ref().and_then(|cause| cause.why);
    status.phase() == Phase::Refused && why == Some(Why::Refusal(Reason::RefusedCancelled.into()))
}

/// The position from which a node reads on: the first that it tells of a restore, held there by a throttle.
async fn reads_on_from(node: &Node) -> Result<u64> {
    let restoring = |status: &StoreStatus| progress(status).is_some() && position(status) > 0;
    Ok(position(&node.until("restoring again", MINUTE, restoring).await?))
}

/// A node whose restore, cancelled somewhere in its middle, has put this much on disk.
async fn cancelled_restore(place: &Place) -> Result<(Node, u64)> {
    let mut node = place.node("one")?.with_args(&["--restore-rate", RATE]);
    node.start().await?;
    let some = |status: &StoreStatus| progress(status).is_some() && durable(status) > 0;
    let flushed = durable(&node.until("a flush", MINUTE, some).await?);
    let answer = node.ask("cancel", &[])?;
    ensure!(answer.status.success(), "{answer:?}");
    let status = node.until("cancelled", MINUTE, cancelled).await?;
    let cause = status.cause.context("a refusal has a cause")?;
    ensure!(cause.what_to_do.contains("outrigger continue"), "{cause:?}");
    ensure!(flushed < KEYS, "cancelled in its middle");
    Ok((node, flushed))
}

#[test]
fn a_cancelled_restore_stands_still_and_goes_on_from_what_was_flushed() -> Result<()> {
    run(async {
        let place = Place::new("cancelled", TopicSpec::store())?;
        tokio::task::block_in_place(|| fill(&place))?;
        let (node, flushed) = cancelled_restore(&place).await?;
        let again = node.ask("cancel", &[])?;
        ensure!(again.status.success(), "cancelled twice is cancelled: {again:?}");
        let put = node.store().await?.put("k", "v").await;
        ensure!(put.is_err_and(|error| error.reason() == Some(Reason::RefusedCancelled)));

        let answer = node.ask("continue", &[])?;
        ensure!(answer.status.success(), "{answer:?}");
        let from = reads_on_from(&node).await?;
        ensure!(from >= flushed, "reads from {from}, and {flushed} were on disk");
        node.ask("throttle", &["off"])?;
        node.until_ready().await?;
        ensure!(u64::try_from(rows(&node).await?.len())? == KEYS);

        for command in ["cancel", "continue"] {
            let refused = node.ask(command, &[])?;
            ensure!(refused.status.code() == Some(65), "{command} of a READY store: {refused:?}");
        }
        Ok(())
    })
}

#[test]
fn a_cancelled_restore_goes_on_when_its_process_was_killed_and_started_again() -> Result<()> {
    run(async {
        let place = Place::new("cancelled-and-killed", TopicSpec::store())?;
        tokio::task::block_in_place(|| fill(&place))?;
        let (mut node, flushed) = cancelled_restore(&place).await?;
        node.kill()?;
        node.start().await?;
        let from = reads_on_from(&node).await?;
        ensure!(from >= flushed, "reads from {from}, and {flushed} were on disk");
        node.ask("throttle", &["off"])?;
        node.until_ready().await?;
        ensure!(u64::try_from(rows(&node).await?.len())? == KEYS);
        Ok(())
    })
}

/// Waits until a start would rebuild.
pub(super) fn past_horizon(node: &Node) -> Result<()> {
    let deadline = Instant::now() + MINUTE;
    loop {
        let plan = String::from_utf8(node.look("plan")?.stdout)?;
        if plan.contains("past the tombstone horizon") {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{plan}");
        thread::sleep(POLL);
    }
}

/// The node is away for longer than tombstones live, so that it rebuilds beside its old copy.
#[test]
fn the_old_copy_answers_stale_reads_while_its_rebuild_is_cancelled() -> Result<()> {
    run(async {
        let spec = TopicSpec::store().set("delete.retention.ms", "20000");
        let place = Place::new("cancelled-beside-old", spec)?;
        let mut node = place.ready_node("one").await?;
        let old = node.store().await?.put("old", "1").await?;
        node.until("on disk", MINUTE, |status| durable(status) > old.offset).await?;
        node.kill()?;
        tokio::task::block_in_place(|| fill(&place))?;
        tokio::task::block_in_place(|| past_horizon(&node))?;
        let mut node = node.with_args(&["--restore-rate", RATE]);
        node.start().await?;
        let beside = |status: &StoreStatus| progress(status).is_some() && position(status) > 0;
        node.until("a rebuild", MINUTE, beside).await?;
        ensure!(node.ask("cancel", &[])?.status.success());
        let served = |status: &StoreStatus| cancelled(status) && status.generation == Some(1);
        node.until("served beside", MINUTE, served).await?;
        let stale = node.store().await?.with_level(Level::Stale);
        ensure!(stale.get("old").await?.is_some(), "the old copy");
        let local = node.store().await?.with_level(Level::Local).get("old").await;
        ensure!(local.is_err_and(|error| error.reason() == Some(Reason::RefusedCancelled)));
        ensure!(node.ask("throttle", &["off"])?.status.success());
        ensure!(node.ask("continue", &[])?.status.success());
        node.until_ready().await?;
        Ok(())
    })
}
