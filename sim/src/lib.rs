//! Virtual-time worlds of nodes, logs and disks, and the oracles that judge them.
//!
//! [`world`] runs the production core byte for byte over the models; [`history`] and [`reference`] say what a
//! copy may hold. Knows no network, no runtime and not the sidecar.

pub mod history;
pub mod reference;
pub mod world;
