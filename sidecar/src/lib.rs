//! The sidecar: everything that core must not know. `main.rs` is a thin door to this.

// What calls C says so, with the reason, where its module is declared.
#![deny(unsafe_code)]

pub mod access;
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
#[cfg(test)]
mod fixtures;
pub mod forward;
pub mod giver;
pub mod grpc;
pub mod index;
pub mod kafka;
pub mod log;
#[cfg(test)]
mod mutation;
pub mod peer;
pub mod plan;
pub mod probes;
pub mod release;
pub mod reseed;
pub mod restore_time;
pub mod rocks;
pub mod runtime;
mod scratch;
mod seldom;
pub mod serve;
mod shown;
mod survey;
pub mod telemetry;
pub mod tls;
mod vital;
pub mod watchdog;
mod words;
mod workload;
