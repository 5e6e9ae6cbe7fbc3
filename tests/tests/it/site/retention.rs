//! Topics whose tombstones live for moments only: refused by name, and not copied again and again.

use std::time::Instant;

use anyhow::{Result, ensure};
use outrigger_client::StoreStatus;
use outrigger_client::proto::v1::Phase;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, STORE};

use super::{MINUTE, POLL, Place, run, text};

fn retention(ms: &str) -> TopicSpec {
    TopicSpec::store().set("delete.retention.ms", ms)
}

#[test]
fn a_retention_shorter_than_a_copy_is_confirmed_is_refused_with_the_least_that_will_do()
-> Result<()> {
    run(async {
        for ms in ["100", "150", "500", "1000", "1500"] {
            let mut place = Place::new(&format!("retention-{ms}"), retention(ms))?;
            let mut node = place.node("one")?;
            node.start().await?;
            let refused = |status: &StoreStatus| status.phase() == Phase::Refused;
            node.until("the refusal", MINUTE, refused).await?;
            let told = text(&node.ask("status", &[])?);
            let reason = format!("delete.retention.ms is {ms}, it must be above 1500");
            ensure!(told.contains(&reason), "{told}");
            let doctor = node.look("doctor")?;
            ensure!(
                text(&doctor).contains(&reason) && doctor.status.code() == Some(1),
                "{doctor:?}"
            );
            place.topic.alter("delete.retention.ms", "604800000")?;
            node.until_ready().await?;
            ensure!(!node.log().contains("past the tombstone horizon"), "{ms}:\n{}", node.log());
        }
        Ok(())
    })
}

#[test]
fn a_short_retention_that_is_taken_costs_no_copy_while_the_node_keeps_up() -> Result<()> {
    run(async {
        let place = Place::new("retention-short", retention("4000"))?;
        let node = place.ready_node("one").await?;
        let rows = ["100", "--rate", "10", "--store", STORE];
        let filled = node.ask("fill", &rows)?;
        ensure!(filled.status.success(), "{}", text(&filled));
        until_confirmed(&node, 10).await?;
        ensure!(!node.log().contains("past the tombstone horizon"), "{}", node.log());
        Ok(())
    })
}

/// Waits until the copy of an idle node was confirmed this many times.
async fn until_confirmed(node: &Node, times: usize) -> Result<()> {
    let deadline = Instant::now() + MINUTE;
    let (mut confirmed, mut before) = (0, 0);
    while confirmed < times {
        ensure!(Instant::now() < deadline, "confirmed only {confirmed} times");
        let age = node.status().await?.confirmed_age_ms();
        confirmed += usize::from(age < before);
        before = age;
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
