//! What the integration tests and benches share.

pub mod authority;
pub mod bench;
pub mod confine;
pub mod disk;
pub mod follower;
pub mod halt;
pub mod host;
pub mod kafka;
pub mod left_out;
pub mod node;
pub mod process;
pub mod real;
pub mod soak;
pub mod synced;
pub mod usage;
pub mod weather;
pub mod writers;
