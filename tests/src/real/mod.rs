//! Simulated plans on the real thing: real processes, three real brokers, and the simulator's history oracles.
//!
//! [`script`] takes from a plan what reality can do and says what it leaves out; [`play`] does it on a [`bed`] and
//! judges what callers saw and what every copy holds in the end. This module knows plans and the history oracles of the
//! simulator, and nothing of its world or its models.

pub mod bed;
mod book;
pub mod brokers;
mod callers;
mod failure;
pub mod network;
mod nodes;
mod others;
pub mod play;
pub mod report;
pub mod script;
pub mod suite;
mod verdict;
