//! The deterministic simulator: production nodes over models of Kafka and of disks, in virtual time.
//!
//! A [`plan`] is expanded from a seed; [`run`] plays it in a [`world`]; the [`oracle`]s judge what they see inside,
//! [`history`] what callers saw. A failing plan is shrunk, explained and drawn. A run is a pure function of its plan.
//! Nothing here knows a network, a runtime or the sidecar.

#![forbid(unsafe_code)]

mod cache;
pub mod canaries;
pub mod cli;
mod columns;
pub mod dice;
pub mod failures;
pub mod history;
pub mod marks;
pub mod mutants;
pub mod oracle;
pub mod plan;
pub mod reference;
pub mod run;
pub mod shrink;
pub mod swarm;
pub mod timeline;
pub mod trace;
pub mod world;
