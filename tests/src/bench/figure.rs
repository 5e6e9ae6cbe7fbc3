//! Which figures there are, and which of them are asked for.

use anyhow::{Context, Result, bail, ensure};

use super::{
    calls, catch_up, eta, growth, idle, peer, propagation, restart, restore, stores, tls, watch,
    writes,
};
use crate::kafka::Cluster;

pub const USAGE: &str = "Usage: ./x bench [FIGURE ...] [--large] [--records N]
  restore       an empty node against a raw client, Kafka Streams, KCache and RocksDB alone
  peer          an empty node beside a READY one against Kafka Streams and the copying of the same files
  writes        the Write stream against a raw producer
  calls         CPU of a Put and a Get, with etcd's beside it, and how long one takes alone
  tls           calls, a stream of writes and a restore from a peer, with TLS and without
  restart       kill -9 and a small lag: process start to READY, by size of the state
  propagation   from a write on one node to its row on another, against a raw producer and consumer
  watch         from a write on one node to its event on another, many watches, a late one, and the state
  catch-up      a million records that were written while the node was stopped
  stores        fifty small stores in one node: threads, memory, time to READY
  idle          CPU and requests to the broker while nobody reads or writes: a store, and ten in one node
  eta           the time to go that Status tells, against when a throttled restore was READY
  growth        time and memory of a restore by number of records; takes long, so only when it is named
Without a figure, all but growth.
  --large       restart: also with 5 GB
  --records N   growth: up to N million records, 1 to 20 (default 20)";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    Restore,
    Peer,
    Writes,
    Calls,
    Tls,
    Restart,
    Propagation,
    Watch,
    CatchUp,
    Stores,
    Idle,
    Eta,
    Growth,
}

impl Figure {
    /// All of them, in the order in which they are measured.
    const ALL: [Figure; 13] = [
        Figure::Restore,
        Figure::Peer,
        Figure::Writes,
        Figure::Calls,
        Figure::Tls,
        Figure::Restart,
        Figure::Propagation,
        Figure::Watch,
        Figure::CatchUp,
        Figure::Stores,
        Figure::Idle,
        Figure::Eta,
        Figure::Growth,
    ];

    fn name(self) -> &'static str {
        match self {
            Figure::Restore => "restore",
            Figure::Peer => "peer",
            Figure::Writes => "writes",
            Figure::Calls => "calls",
            Figure::Tls => "tls",
            Figure::Restart => "restart",
            Figure::Propagation => "propagation",
            Figure::Watch => "watch",
            Figure::CatchUp => "catch-up",
            Figure::Stores => "stores",
            Figure::Idle => "idle",
            Figure::Eta => "eta",
            Figure::Growth => "growth",
        }
    }
}

/// What a run is to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    figures: Vec<Figure>,
    large: bool,
    growth_millions: u64,
}

impl Asked {
    /// Reads names and options as they are on the command line, in any order.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Asked> {
        let mut named = Vec::new();
        let (mut large, mut growth_millions) = (false, None);
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--large" => large = true,
                "--records" => growth_millions = Some(millions(args.next())?),
                name => match Figure::ALL.into_iter().find(|figure| figure.name() == name) {
                    Some(figure) => named.push(figure),
                    None => bail!("there is no figure `{name}`\n{USAGE}"),
                },
            }
        }
        let mut figures = Figure::ALL.to_vec();
        figures.retain(|figure| {
            if named.is_empty() { *figure != Figure::Growth } else { named.contains(figure) }
        });
        let growth = figures.contains(&Figure::Growth);
        ensure!(growth_millions.is_none() || growth, "--records is for growth\n{USAGE}");
        ensure!(!large || figures.contains(&Figure::Restart), "--large is for restart\n{USAGE}");
        Ok(Asked {
            figures,
            large,
            growth_millions: growth_millions.unwrap_or(growth::MILLIONS_MAX),
        })
    }
}

fn millions(arg: Option<String>) -> Result<u64> {
    let millions: u64 = arg.and_then(|arg| arg.parse().ok()).context(USAGE)?;
    ensure!(
        (1..=growth::MILLIONS_MAX).contains(&millions),
        "--records is 1 to 20 million\n{USAGE}"
    );
    Ok(millions)
}

/// Prints each figure as soon as it is known.
pub async fn run(asked: &Asked, cluster: &Cluster) -> Result<()> {
    for figure in &asked.figures {
        match figure {
            Figure::Restore => restore::run(cluster).await,
            Figure::Peer => peer::run(cluster).await,
            Figure::Writes => writes::run(cluster).await,
            Figure::Calls => calls::run(cluster).await,
            Figure::Tls => tls::run(cluster).await,
            Figure::Restart => restart::run(cluster, asked.large).await,
            Figure::Propagation => propagation::run(cluster).await,
            Figure::Watch => watch::run(cluster).await,
            Figure::CatchUp => catch_up::run(cluster).await,
            Figure::Stores => stores::run(cluster).await,
            Figure::Idle => idle::run(cluster).await,
            Figure::Eta => eta::run(cluster).await,
            Figure::Growth => growth::run(cluster, asked.growth_millions).await,
        }
        .with_context(|| figure.name())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Asked, Figure};

    fn parse(line: &str) -> anyhow::Result<Asked> {
        Asked::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_takes_long_is_measured_only_when_it_is_named() {
        assert!(!parse("").unwrap().figures.contains(&Figure::Growth));
        assert_eq!(parse("growth --records 2").unwrap().figures, [Figure::Growth]);
        assert_eq!(parse("calls restore").unwrap().figures, [Figure::Restore, Figure::Calls]);
    }

    #[test]
    fn what_is_not_known_is_an_error_that_names_it() {
        for line in
            ["reads", "--size 3", "growth --records 21", "growth --records", "calls --large"]
        {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains("Usage"), "{line}: {error}");
        }
        assert!(parse("reads").unwrap_err().to_string().contains("`reads`"));
    }
}
