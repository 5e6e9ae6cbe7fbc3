//! Topics that take small records only: what leaves together is no larger than they allow.

use std::time::Instant;

use anyhow::{Result, ensure};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::STORE;

use super::{MINUTE, Place, run, text};

const ROWS: [&str; 5] = ["10000", "--value-bytes", "1000", "--store", STORE];

fn incompressible(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let byte = || {
        // Knuth's generator for 64 bits.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(byte).take(bytes).collect()
}

#[test]
fn small_records_are_acknowledged_whatever_the_topic_takes() -> Result<()> {
    run(async {
        for limit in ["65536", "262144", "900000"] {
            let spec = TopicSpec::store().set("max.message.bytes", limit);
            let place = Place::new(&format!("limit-{limit}"), spec)?;
            let node = place.ready_node("one").await?;
            let filled = node.ask("fill", &ROWS)?;
            ensure!(filled.status.success(), "{limit}: {}", text(&filled));
            ensure!(text(&filled).contains("10000 writes acknowledged"), "{}", text(&filled));

            let too_large = incompressible(limit.parse::<usize>()? + 1);
            let refused = node.store().await?.put("large", too_large).await;
            let refused = refused.err().map(|error| (error.may_have_happened(), error.to_string()));
            let Some((false, told)) = refused else { anyhow::bail!("{limit}: {refused:?}") };
            ensure!(told.contains("max.message.bytes"), "{told}");
        }
        Ok(())
    })
}

/// What is on its way when the limit is lowered is refused; that tells the node, at the latest.
#[test]
fn a_limit_that_is_lowered_under_a_running_node_is_kept_to_after_one_refusal() -> Result<()> {
    run(async {
        let mut place = Place::new("limit-lowered", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        let filled = node.ask("fill", &ROWS)?;
        ensure!(filled.status.success(), "{}", text(&filled));
        for limit in ["65536", "1048588", "32768"] {
            place.topic.alter("max.message.bytes", limit)?;
            let deadline = Instant::now() + MINUTE;
            loop {
                let filled = node.ask("fill", &ROWS)?;
                if filled.status.success() {
                    break;
                }
                let told = text(&filled);
                ensure!(told.contains("MSG_SIZE_TOO_LARGE"), "{limit}: {told}");
                ensure!(Instant::now() < deadline, "{limit}: {told}");
            }
        }
        Ok(())
    })
}
