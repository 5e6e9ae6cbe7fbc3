//! How a process shares its memory out: what follows the setting `memory`, and what it takes beside that at most.
//!
//! | of `memory` | for |
//! |---|---|
//! | 4 eighths | blocks of files |
//! | 3 eighths | what restores gather before it is on disk |
//! | 1 eighth | what librdkafka fetches ahead |
//!
//! | MiB beside it | for |
//! |---|---|
//! | 64 | rows of all stores that are not flushed yet (`Limits::flush_bytes_max`) |
//! | 32 | batches between the log and the stores (`Limits::unapplied_bytes_max`) |
//! | 64 | writes that wait for the log, here and in librdkafka (`WRITE_BYTES_MAX`) |
//! | 128 | calls, requests and unsent answers, through two addresses (`grpc::room`) |
//! | 64 | what HTTP/2 takes before anybody reads it, likewise (`grpc::connection`) |
//! | 48 | batches of scans (`grpc::scan`) |
//! | 64 | what the copies of all stores applied last, for watches (`Limits::ring_bytes_max`) |
//! | 48 | the program, its threads and buffers, spans (`telemetry::trace`), and what the allocator has not given back |
//!
//! A topic of more than a hundred partitions takes a few hundred KiB more for each, and a watch that nobody reads up to
//! 1.5 MiB (`grpc::watch`).

use outrigger_core::limits::Limits;

use crate::rocks::Resources;

#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) resources: Resources,
    /// The limits of each store.
    pub(crate) limits: Limits,
    /// Bytes of all partitions together.
    pub(crate) prefetch_bytes: usize,
}

impl Memory {
    /// Shares out the memory of a process with this many stores.
    pub(crate) fn shared(memory_bytes: usize, stores: usize) -> Memory {
        let (load_bytes, prefetch_bytes) = (memory_bytes / 8 * 3, memory_bytes / 8);
        let block_cache_bytes = memory_bytes - load_bytes - prefetch_bytes;
        Memory {
            resources: Resources { block_cache_bytes, load_bytes, background_threads: 2 },
            limits: Limits::PRODUCTION.of_each(stores),
            prefetch_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_is_given_away_twice() {
        for memory_bytes in [64 << 20, 256 << 20, (1 << 30) + 5] {
            let Memory { resources, prefetch_bytes, limits } = Memory::shared(memory_bytes, 2);
            let Resources { block_cache_bytes, load_bytes, .. } = resources;
            assert_eq!(block_cache_bytes + load_bytes + prefetch_bytes, memory_bytes);
            assert_eq!(limits, Limits::PRODUCTION.of_each(2));
        }
    }
}
