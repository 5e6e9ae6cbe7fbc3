//! The alerts of what really happens to nodes: each run is scraped, and its scrapes are played to the rules.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_core::offset::Partition;
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::{Node, free_port};
use tempfile::TempDir;

use super::promtool::{Judged, play};
use super::scrape::{POLL, Samples, samples, scrape};
use crate::e2e::verify::tamper;
use crate::e2e::{MINUTE, Place, run};

const P0: Partition = Partition(0);

/// Scrapes that show enough of what lasts: played, three minutes.
const LASTING: usize = 12;

/// What the machine of a test may have, whatever the node does.
const OF_THE_MACHINE: [&str; 3] =
    ["OutriggerDiskFullSoon", "OutriggerDiskAlmostFull", "OutriggerNoRoomForRebuild"];

/// The scrapes of a run.
struct Recorded {
    port: u16,
    scrapes: Vec<Samples>,
}

impl Recorded {
    fn of(port: u16) -> Recorded {
        Recorded { port, scrapes: Vec::new() }
    }

    /// Scrapes until this many scrapes showed what is waited for.
    async fn until(
        &mut self,
        what: &str,
        times: usize,
        wanted: impl Fn(&Samples) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + MINUTE * 2;
        let mut seen = 0;
        while seen < times {
            ensure!(Instant::now() < deadline, "{what}: not in time: {:#?}", self.scrapes.last());
            if let Ok(text) = scrape(self.port) {
                let samples = samples(&text)?;
                seen += usize::from(wanted(&samples));
                self.scrapes.push(samples);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

fn is(samples: &Samples, series: &str, value: f64) -> bool {
    samples.get(series) == Some(&value)
}

fn is_ready(samples: &Samples) -> bool {
    is(samples, r#"outrigger_phase{store="state",phase="READY"}"#, 1.0)
        && samples.contains_key("outrigger_disk_free_bytes")
}

/// A broker and a node of its own, which is READY.
async fn alone(name: &str) -> Result<(Cluster, outrigger_tests::kafka::Topic, Node, u16, TempDir)> {
    let (cluster, port) = (Cluster::start(1, &[])?, free_port()?);
    let topic = cluster.topic(name, TopicSpec::store())?;
    let dir = TempDir::new()?;
    let node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
    let mut node = node.with_args(&["--metrics", &format!("127.0.0.1:{port}")]);
    node.start().await?;
    node.until_ready().await?;
    Ok((cluster, topic, node, port, dir))
}

#[test]
fn brokers_that_are_gone_are_a_stall_that_alarms() -> Result<()> {
    run(async {
        let (mut cluster, _topic, _node, port, _dir) = alone("alarm-stall").await?;
        let mut run = Recorded::of(port);
        run.until("READY", LASTING, is_ready).await?;
        let quiet = run.scrapes.len();
        cluster.kill_all()?;
        let stalled = |samples: &Samples| {
            is(samples, r#"outrigger_stall{store="state",stall="log_unreachable"}"#, 1.0)
        };
        run.until("the stall", LASTING, stalled).await?;
        let fire = ["OutriggerStallLogUnreachable"];
        let may_fire = [&OF_THE_MACHINE[..], &["OutriggerStallLeaderUnavailable"]].concat();
        play(&run.scrapes, &Judged { quiet, fire: &fire, may_fire: &may_fire })
    })
}

#[test]
fn a_log_that_lost_what_a_copy_has_alarms() -> Result<()> {
    run(async {
        let (mut cluster, topic, node, port, _dir) = alone("alarm-lost").await?;
        let store = node.store().await?;
        for number in 0..10 {
            store.put(format!("old {number}"), "1").await?;
        }
        let on_disk = |status: &outrigger_client::StoreStatus| {
            status.partitions.iter().all(|partition| partition.durable >= 10)
        };
        node.until("on disk", MINUTE, on_disk).await?;
        let mut run = Recorded::of(port);
        run.until("READY", LASTING, is_ready).await?;
        let quiet = run.scrapes.len();
        cluster.kill_all()?;
        cluster.wipe_partition(1, topic.name(), P0)?;
        cluster.start_all()?;
        let told = |samples: &Samples| {
            is_ready(samples) && is(samples, r#"outrigger_lost_rows{store="state"}"#, 10.0)
        };
        run.until("what was lost", 2, told).await?;
        let fire = ["OutriggerLogLostRecords", "OutriggerCopySetAside", "OutriggerLostRows"];
        play(&run.scrapes, &Judged { quiet, fire: &fire, may_fire: &OF_THE_MACHINE })
    })
}

/// 4 MB.
fn fill(place: &Place) -> Result<()> {
    let keys: Vec<_> = (0..4_000).map(|number| format!("{number:06}")).collect();
    let value = [b'v'; 1_000];
    place.topic.put_all(keys.iter().map(|key| (P0, key.as_bytes(), Some(&value[..]))))?;
    Ok(())
}

#[test]
fn a_restore_alarms_only_where_tombstones_live_shorter() -> Result<()> {
    run(async {
        let spec = TopicSpec::store().set("delete.retention.ms", "60000");
        let (place, port) = (Place::new("alarm-restore", spec)?, free_port()?);
        tokio::task::block_in_place(|| fill(&place))?;
        let address = format!("127.0.0.1:{port}");
        let args = ["--metrics", &address, "--restore-rate", "32KiB"];
        let mut node = place.node("one")?.with_args(&args);
        node.start().await?;
        let mut run = Recorded::of(port);
        let late = |samples: &Samples| {
            let of = |name: &str| samples.get(&format!("{name}{{store=\"state\"}}")).copied();
            let to_go = of("outrigger_restore_time_to_go_seconds");
            to_go.zip(of("outrigger_horizon_seconds")).is_some_and(|(to_go, left)| to_go > left)
        };
        run.until("a restore that takes too long", LASTING, late).await?;
        let fire = ["OutriggerRestoreTooSlow", "OutriggerNotReady"];
        let may_fire = [&OF_THE_MACHINE[..], &["OutriggerHorizonNear"]].concat();
        play(&run.scrapes, &Judged { quiet: 0, fire: &fire, may_fire: &may_fire })?;

        ensure!(node.ask("throttle", &["off"])?.status.success());
        let mut run = Recorded::of(port);
        run.until("READY", LASTING, is_ready).await?;
        play(&run.scrapes, &Judged { quiet: 0, fire: &[], may_fire: &OF_THE_MACHINE })
    })
}

#[test]
fn a_full_disk_alarms() -> Result<()> {
    run(async {
        let (place, port) = (Place::new("alarm-full", TopicSpec::store())?, free_port()?);
        // It does not compress: the files must reach the limit.
        let mut state = 1_u64;
        for number in 0..80 {
            let noise = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            });
            let value: Vec<u8> = noise.take(100_000).collect();
            place.topic.put(P0, format!("key {number}").as_bytes(), Some(&value))?;
        }
        let address = format!("127.0.0.1:{port}");
        let mut node = place.node("one")?.with_args(&["--metrics", &address]);
        node.limit_files(Some(2 * 1_024 * 1_024));
        node.start().await?;
        let mut run = Recorded::of(port);
        let full = |samples: &Samples| {
            is(samples, r#"outrigger_stall{store="state",stall="store_full"}"#, 1.0)
        };
        run.until("the stall", LASTING, full).await?;
        let fire = ["OutriggerStallStoreFull", "OutriggerNotReady"];
        play(&run.scrapes, &Judged { quiet: 0, fire: &fire, may_fire: &OF_THE_MACHINE })
    })
}

#[test]
fn a_copy_that_differs_from_a_peers_alarms_until_it_is_made_anew() -> Result<()> {
    run(async {
        let (place, port) = (Place::new("alarm-differs", TopicSpec::store())?, free_port()?);
        let mut other = place.peer("other", &[])?;
        other.start().await?;
        other.until_ready().await?;
        let address = format!("127.0.0.1:{port}");
        let (url, every) = (other.url(), "10s");
        let args = ["--metrics", &address, "--peers", &url, "--verify-every", every];
        let mut one = place.peer("one", &args)?;
        one.start().await?;
        one.until_ready().await?;
        let store = one.store().await?;
        for number in 0..200 {
            store.put(format!("row {number}"), "value").await?;
        }
        let on_disk = |status: &outrigger_client::StoreStatus| {
            status.partitions.iter().all(|partition| partition.durable >= 200)
        };
        other.until("on disk", MINUTE, on_disk).await?;
        let compared = |outcome: &str| {
            format!("outrigger_verify_total{{store=\"state\",outcome=\"{outcome}\"}}")
        };
        let differ = |samples: &Samples| {
            samples.get(r#"outrigger_verify_peers_differ{store="state"}"#).copied()
        };
        let mut run = Recorded::of(port);
        let equal = |samples: &Samples| samples.get(&compared("equal")) >= Some(&1.0);
        run.until("equal copies", LASTING, |samples| is_ready(samples) && equal(samples)).await?;
        let quiet = run.scrapes.len();

        ensure!(other.stop()?.success());
        tamper(&other)?;
        other.start().await?;
        other.until_ready().await?;
        run.until("a difference", LASTING, |samples| differ(samples) == Some(1.0)).await?;
        let told = one.log();
        let told = told.lines().find(|line| line.contains("the copies differ"));
        let told = told.context("the log says so")?;
        ensure!(told.contains(&url) && told.contains("outrigger verify"), "{told}");
        let warned = one.status().await?.warnings;
        let bad = |warning: &String| warning.starts_with("bad: ") && warning.contains(&url);
        ensure!(warned.iter().any(bad), "{warned:?}");
        let fire = ["OutriggerCopiesDiffer"];
        play(&run.scrapes, &Judged { quiet, fire: &fire, may_fire: &OF_THE_MACHINE })?;

        other.kill()?;
        other.wipe()?;
        other.start().await?;
        let mut run = Recorded::of(port);
        let again = |samples: &Samples| differ(samples) == Some(0.0) && is_ready(samples);
        run.until("equal again", LASTING, again).await?;
        let warned = one.status().await?.warnings;
        ensure!(!warned.iter().any(bad), "{warned:?}");
        let quiet = run.scrapes.len() - LASTING;
        play(&run.scrapes[quiet..], &Judged { quiet: 0, fire: &[], may_fire: &OF_THE_MACHINE })
    })
}
