//! A real Kafka for tests, from its published jars: brokers as child processes of the test, and raw access
//! to topics that knows nothing of Outrigger's own log adapter.
//!
//! It promises that nothing outlives the test process, however that ends, and that every wait has a deadline and says
//! what it waited for. It blocks: call it from a plain test or from `spawn_blocking`.
//!
//! A test that only needs topics takes [`Cluster::shared`]; one that breaks brokers starts its own cluster.

mod broker;
mod client;
mod cluster;
mod compaction;
mod groups;
pub(crate) mod java;
mod leash;
mod place;
mod ports;
mod read;
mod secured;
pub mod starter;
mod topic;
mod transaction;
mod write;

pub use cluster::Cluster;
pub use compaction::FILLER_KEYS;
pub use groups::GroupOffsets;
pub(crate) use ports::free as free_port;
pub use read::{Isolation, Record};
pub use secured::Way;
pub use topic::{Topic, TopicSpec};
pub use transaction::Transaction;
