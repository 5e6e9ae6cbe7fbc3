//! What every engine behind a seam must do, as named cases that each engine's tests run.
//!
//! A model that passes may stand in for the production engine in the simulator.

pub mod log;
pub mod store;
