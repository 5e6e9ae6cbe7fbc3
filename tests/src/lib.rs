//! What the integration tests and benches share.

pub mod kafka;
