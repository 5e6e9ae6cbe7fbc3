//! Kafka and a disk as deterministic machines behind core's vocabulary.

pub mod log;
pub mod store;
