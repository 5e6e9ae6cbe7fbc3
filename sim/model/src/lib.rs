//! Kafka and a disk as deterministic machines behind core's vocabulary.

#![forbid(unsafe_code)]

pub mod log;
pub mod store;
