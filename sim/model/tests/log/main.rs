//! The log model: the suite that the real Kafka passes too, its own rules, and what folds must agree.

#![forbid(unsafe_code)]

mod appends;
mod brokers;
mod chaos;
mod cleaning;
mod conformance;
mod folds;
mod leaders;
mod replicas;
mod world;
