//! Figures of the main job against raw clients, side by side in one run. `./x bench`; the README quotes it.

use anyhow::Result;
use outrigger_tests::bench::{calls, restore, writes};
use outrigger_tests::kafka::Cluster;

/// As in the sidecar: librdkafka and RocksDB allocate through it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<()> {
    let cluster = Cluster::start(1, &[])?;
    let runtime = tokio::runtime::Runtime::new()?;
    println!(
        "one broker, its clients and one node on {} cores",
        std::thread::available_parallelism()?
    );
    runtime.block_on(async {
        restore::run(&cluster).await?;
        writes::run(&cluster).await?;
        calls::run(&cluster).await
    })
}
