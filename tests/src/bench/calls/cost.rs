//! Several kinds of calls, a line each: how many there are in a second, and the CPU that one takes.

use std::time::Duration;

use anyhow::Result;
use tonic::transport::Channel;

use super::generator::Call;
use crate::bench::{float, median, per_second};
use crate::usage::Usage;

const CALLS: u64 = 32_000;
const CALLERS: u64 = 64;

/// A server, and what it has behind it.
#[derive(Clone)]
pub(in crate::bench) struct Server {
    pub(in crate::bench) channel: Channel,
    pub(in crate::bench) process: u32,
    /// The process of Kafka's broker; etcd keeps its log itself.
    pub(in crate::bench) broker: Option<u32>,
}

/// One kind of call, with what its turns have cost.
pub(in crate::bench) struct Line {
    name: &'static str,
    server: Server,
    call: Call,
    costs: Vec<Cost>,
}

struct Cost {
    calls_per_second: f64,
    server_us: f64,
    broker_us: f64,
}

impl Server {
    fn cpu(&self) -> Result<[Duration; 2]> {
        let broker = self.broker.map(Usage::of).transpose()?;
        Ok([Usage::of(self.process)?.cpu, broker.map_or(Duration::ZERO, |broker| broker.cpu)])
    }
}

impl Line {
    pub(in crate::bench) fn new(name: &'static str, server: &Server, call: Call) -> Line {
        Line { name, server: server.clone(), call, costs: Vec::new() }
    }

    pub(in crate::bench) async fn warm_up(&self) -> Result<()> {
        self.call.many(&self.server.channel, CALLS, CALLERS).await?;
        Ok(())
    }

    pub(in crate::bench) async fn turn(&mut self) -> Result<()> {
        let [server, broker] = self.server.cpu()?;
        let took = self.call.many(&self.server.channel, CALLS, CALLERS).await?;
        let [server_after, broker_after] = self.server.cpu()?;
        let per_call = |cpu: Duration| cpu.as_secs_f64() * 1e6 / float(CALLS);
        self.costs.push(Cost {
            calls_per_second: per_second(CALLS, took),
            server_us: per_call(server_after - server),
            broker_us: per_call(broker_after - broker),
        });
        Ok(())
    }

    pub(in crate::bench) fn name(&self) -> &'static str {
        self.name
    }

    /// The CPU of the server for one call, in microseconds.
    pub(in crate::bench) fn server_us(&self) -> f64 {
        self.median(|cost| cost.server_us)
    }

    fn median(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        median(self.costs.iter().map(of).collect())
    }

    /// How many times as much of the server's CPU this takes as `other`: the median of the rounds.
    pub(in crate::bench) fn to(&self, other: &Line) -> f64 {
        let pairs = self.costs.iter().zip(&other.costs);
        median(pairs.map(|(own, other)| own.server_us / other.server_us).collect())
    }
}

/// Prints the lines, with ratios of the turns of one round each. `lines` begin with ours, and those with the empty
/// call.
pub(super) fn print(lines: &[Line]) {
    println!(
        "{:<44} {:>10} {:>10} {:>10} {:>8}",
        format!("{CALLERS} callers on one connection"),
        "calls/s",
        "server us",
        "broker us",
        "to empty"
    );
    for line in lines {
        println!(
            "{:<44} {:>10.0} {:>10.1} {:>10.1} {:>8.2}",
            line.name,
            line.median(|cost| cost.calls_per_second),
            line.median(|cost| cost.server_us),
            line.median(|cost| cost.broker_us),
            line.to(&lines[0]),
        );
    }
}
