//! Ports for brokers, below the range from which the system takes ports of outgoing connections: a broker
//! that was killed must find its port free when it returns.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// Test processes that run side by side start their search this far apart.
const PER_PROCESS: u32 = 97;

/// Rows begin below this port, so that they end below 2^16.
const ROWS_END: u16 = 60_000;

static TRIED: AtomicU32 = AtomicU32::new(0);

/// A free port that this process has not handed out before.
pub(crate) fn free() -> Result<u16> {
    for _ in 0..COUNT {
        let step = TRIED.fetch_add(1, Ordering::Relaxed);
        let place = (process::id() % COUNT * PER_PROCESS + step) % COUNT;
        let port = u16::try_from(FIRST + place).expect("the range ends below 2^16");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 in {FIRST}..{}", FIRST + COUNT)
}

/// Finds `count` free ports in a row and gives the first one. It looks from `first` upward in steps of a hundred, so
/// that whoever runs a second Kafka can guess where it is.
pub(super) fn row(first: u16, count: u16) -> Result<u16> {
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let mut rows = (first..ROWS_END).step_by(100);
    let row = rows.find(|row| (*row..row + count).all(is_free));
    row.with_context(|| {
        format!("no {count} free ports in a row on 127.0.0.1 in {first}..{ROWS_END}")
    })
}

const _: () = assert!(FIRST + COUNT <= 32_768, "where Linux begins to take ports for connections");
