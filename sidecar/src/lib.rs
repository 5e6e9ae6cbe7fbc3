//! The sidecar: everything that core must not know. `main.rs` is a thin door to this.

pub mod embedded;
pub mod index;
pub mod kafka;
pub mod rocks;
pub mod cli;
pub mod config;
pub mod exit;
pub mod grpc;
pub mod telemetry;
pub mod runtime;
pub mod serve;
