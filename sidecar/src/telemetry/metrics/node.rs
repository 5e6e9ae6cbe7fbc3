//! What the node's machine, its disk and its databases have left.

use ::metrics::gauge;

use super::table::{
    CACHE, CACHE_MAX, DELAYED, DISK_FREE, DISK_SIZE, LEVEL_0, PENDING, STOPPED, STORE_BYTES,
    STORE_IN_USE_BYTES,
};
use super::{float, one_if};

/// How the open databases of a store are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// The most of any partition: a read may have to look into each.
    pub level_0_files: u64,
    pub pending_compaction_bytes: u64,
    /// Whether RocksDB takes no writes.
    pub is_stopped: bool,
    /// The rate to which it slows writes down; 0: it does not.
    pub delayed_bytes_per_second: u64,
    /// Of the cache that all stores share.
    pub cache_bytes: u64,
    pub cache_bytes_max: u64,
}

/// Sets the room on the file system of the data directory.
pub fn disk(free: u64, size: u64) {
    gauge!(DISK_FREE).set(float(free));
    gauge!(DISK_SIZE).set(float(size));
}

/// Sets what a store takes on disk.
pub fn store_bytes(store: &str, bytes: u64) {
    gauge!(STORE_BYTES, "store" => store.to_owned()).set(float(bytes));
}

/// Sets what the copy in use of a store takes on disk; none: there is none.
pub fn in_use_bytes(store: &str, bytes: Option<u64>) {
    let bytes = bytes.map_or(f64::NAN, float);
    gauge!(STORE_IN_USE_BYTES, "store" => store.to_owned()).set(bytes);
}

/// Sets how the open databases of a store are.
pub fn vitals(store: &str, vitals: &Vitals) {
    let of_store = |name: &'static str| gauge!(name, "store" => store.to_owned());
    of_store(LEVEL_0).set(float(vitals.level_0_files));
    of_store(PENDING).set(float(vitals.pending_compaction_bytes));
    of_store(STOPPED).set(one_if(vitals.is_stopped));
    of_store(DELAYED).set(float(vitals.delayed_bytes_per_second));
    // Where no database of this store is open, another store knows.
    if vitals.cache_bytes_max > 0 {
        gauge!(CACHE).set(float(vitals.cache_bytes));
        gauge!(CACHE_MAX).set(float(vitals.cache_bytes_max));
    }
}

/// Sets what the process takes of its machine, by the names that all programs use.
pub fn process() {
    metrics_process::Collector::default().collect();
}
