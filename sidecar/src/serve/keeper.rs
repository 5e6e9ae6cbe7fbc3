//! Keeps cursors alive that nobody commits: Kafka forgets, after a while, what a group without members has committed.
//!
//! Each node does it, and that does no harm: what is committed is what was read a moment ago.

use std::time::Duration;

use crate::runtime::{CursorFailure, StoreHandle, clock};

/// How often cursors are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

pub(super) async fn run(stores: Vec<StoreHandle>) {
    // Nodes that were started together do not look together.
    tokio::time::sleep(part_of(LOOK_EVERY)).await;
    loop {
        for store in &stores {
            look_after(store).await;
        }
        tokio::time::sleep(LOOK_EVERY / 2 + part_of(LOOK_EVERY)).await;
    }
}

async fn look_after(store: &StoreHandle) {
    match store.keep_cursors(clock::now().wall_ms).await {
        Ok(0) => {}
        Ok(cursors) => {
            tracing::debug!(store = store.name(), cursors, "cursors were committed anew");
        }
        // Another node, or the next look, does it.
        Err(CursorFailure::Rejected(_)) => {}
        Err(failure) => {
            tracing::warn!(store = store.name(), ?failure, "cursors cannot be kept alive");
        }
    }
}

/// Returns some part of it, another each time.
fn part_of(whole: Duration) -> Duration {
    let mut byte = [0];
    openssl::rand::rand_bytes(&mut byte).expect("the system has random bytes");
    whole * u32::from(byte[0]) / 256
}
