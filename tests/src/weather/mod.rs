//! Weather between two ends of TCP connections: a proxy that delays, throttles, loses, resets and refuses, as networks,
//! firewalls and balancers do.
//!
//! It stands between nodes and brokers ([`crate::kafka::Cluster::start_behind_proxies`]), between callers and a node,
//! or between peers, and knows nothing of what is said through it. Its weather changes while connections run.

mod air;
mod connection;
mod proxy;
mod requests;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use proxy::Proxy;

/// What happens to the connections through one proxy.
///
/// TCP knows no holes: a direction of a connection that has lost a byte carries nothing any more, whatever the weather
/// becomes, and its end is told to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything arrives at once.
    Clear,
    /// Every byte arrives this much later, in both directions.
    Delay(Duration),
    /// This many bytes pass in a second, in each direction of each connection.
    Throttle { bytes_per_second: u32 },
    /// Packets are lost and sent again: nothing arrives now, and everything when this is over.
    Hold,
    /// Bytes vanish and connections stay; new ones are accepted, as by a balancer whose servers are away.
    Vanish,
    /// What callers ask arrives, what they are answered vanishes.
    LoseAnswers,
    /// Connections that are there end for the server, and their callers are never told. New ones are clear.
    HalfOpen,
    /// Connections are reset, also new ones.
    Reset,
    /// Connections are closed and new ones refused, as of a process that has ended.
    Refuse,
    /// Each connection loses what comes after its first bytes, those of both directions together.
    Blackhole { after_bytes: u64 },
    /// A connection without a byte for this long is forgotten, as by a firewall: what comes later vanishes.
    Forget { idle: Duration },
}
