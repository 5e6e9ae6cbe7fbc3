//! One call after another and nobody else: what an application waits for.

use anyhow::Result;
use outrigger_core::offset::Partition;
use std::time::Instant;

use super::cost::Server;
use super::generator::{key, value};
use super::{EMPTY, GET_LOCAL, PUT};
use crate::bench::median;
use crate::kafka::Topic;

const CALLS: u64 = 2_000;

/// Measures our calls and a raw producer in turns; the producer hands the same record to the same
/// broker.
pub(super) async fn run(ours: &Server, raw_topic: &Topic) -> Result<()> {
    let (mut raw, mut put, mut get, mut empty) = (vec![], vec![], vec![], vec![]);
    for number in 0..CALLS {
        let began = Instant::now();
        let produce = || raw_topic.put(Partition(0), &key(number), Some(&value()));
        tokio::task::block_in_place(produce)?;
        raw.push(began.elapsed());
        for (call, times) in [(PUT, &mut put), (GET_LOCAL, &mut get), (EMPTY, &mut empty)] {
            times.push(call.once(&ours.channel, number).await?);
        }
    }
    let [raw, put, get, empty] = [raw, put, get, empty]
        .map(|times| median(times.into_iter().map(|took| took.as_secs_f64() * 1e6).collect()));
    println!("one call after another, median:");
    println!("  raw acknowledged produce {raw:>6.0} us");
    println!(
        "  Put                      {put:>6.0} us, {:.2} of raw, {:.0} us more",
        put / raw,
        put - raw
    );
    println!("  Get LOCAL                {get:>6.0} us, {:.2} of the empty call", get / empty);
    println!("  empty call               {empty:>6.0} us");
    Ok(())
}
