//! Who reaches a node, and as whom: real processes, behind TLS and with rules.

mod access;
mod forward;
mod kubelet;
mod names;
mod peers;
mod probes;
mod revoked;
mod rules;
mod tls;
