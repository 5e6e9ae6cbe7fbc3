//! A limit of open files that a copy does not fit into.

use anyhow::{Result, ensure};
use outrigger_client::proto::v1::StallKind;
use outrigger_tests::kafka::TopicSpec;

use super::{MINUTE, Place, run, text};
use crate::e2e::has_stall;

/// Each partition has a file of its own on disk.
const PARTITIONS: u32 = 120;
const OPEN_FILES_MAX: u64 = 130;

#[test]
fn a_copy_with_more_files_than_may_be_open_is_named_and_kept() -> Result<()> {
    run(async {
        let spec = TopicSpec::store().partitions(PARTITIONS);
        let place = Place::new("descriptors", spec)?;
        let mut node = place.ready_node("one").await?;
        let filled = node.ask("fill", &["5000"])?;
        ensure!(filled.status.success(), "{}", text(&filled));
        ensure!(node.stop()?.success(), "{}", node.log());

        node.limit_open_files(Some(OPEN_FILES_MAX));
        node.start().await?;
        let failed = |status: &_| has_stall(status, StallKind::StoreFailed);
        let status = node.until("the limit's name", MINUTE, failed).await?;
        let told = format!("{:?}", status.stalls);
        ensure!(told.contains("Too many open files") && told.contains("ulimit -Hn"), "{told}");
        ensure!(node.stop()?.success(), "{}", node.log());

        node.limit_open_files(None);
        let plan = text(&node.look("plan")?);
        ensure!(plan.contains("RESUME g1") && !plan.contains("quarantined"), "{plan}");
        node.start().await?;
        node.until_ready().await?;
        ensure!(node.log().contains("cause=\"resume\""), "{}", node.log());
        Ok(())
    })
}
