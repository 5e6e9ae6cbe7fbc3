//! The threads of all proxies of this process: a test that blocks its own runtime must not stop the network.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

const THREADS: usize = 2;

pub(super) fn runtime() -> &'static Runtime {
    static AIR: OnceLock<Runtime> = OnceLock::new();
    AIR.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        let built = builder.worker_threads(THREADS).thread_name("weather").enable_all().build();
        built.expect("a runtime needs two threads and a few file descriptors only")
    })
}
