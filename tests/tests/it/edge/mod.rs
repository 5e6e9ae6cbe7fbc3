//! Who reaches a node, and as whom: real processes behind TLS.

mod peers;
mod probes;
mod tls;
