//! The sidecar: everything that core must not know. `main.rs` is a thin door to this.

mod advice;
pub mod cli;
pub mod config;
pub mod demo;
pub mod dev;
pub mod doctor;
#[cfg(test)]
mod documented;
pub mod embedded;
mod escape;
pub mod exit;
pub mod grpc;
pub mod index;
pub mod kafka;
#[cfg(test)]
mod mutation;
pub mod peer;
pub mod plan;
pub mod profile;
pub mod reseed;
pub mod rocks;
pub mod runtime;
mod scratch;
pub mod serve;
pub mod telemetry;
mod vital;
pub mod watchdog;
mod words;
mod workload;
