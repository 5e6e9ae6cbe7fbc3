//! The kubelet, played with real processes: nodes start before their applications and stop after them, pods are restarted
//! one by one, moved, and lost, while the others write and read.

mod application;
mod pod;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use outrigger_client::Level;
use outrigger_client::proto::v1::Phase;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{STORE, binary};
use outrigger_tests::process::Process;

use self::application::Counter;
use self::pod::{Ended, Pod};
use super::probes::POLL;
use crate::e2e::peers::SECRET;
use crate::e2e::{MINUTE, Place, run};
use crate::site::{text, until_logged};

const NAMES: [&str; 3] = ["one", "two", "three"];

/// At this rate what `fill` writes takes ten seconds.
const SLOW: [&str; 2] = ["--restore-rate", "1MiB"];

/// Pods of one application that take copies from each other, with the counter of each.
struct Pods {
    place: Place,
    pods: Vec<Pod>,
}

impl Pods {
    /// All of them are started.
    async fn start(name: &str) -> Result<Pods> {
        let place = Place::new(name, TopicSpec::store())?;
        tokio::task::block_in_place(|| place.fill())?;
        let mut pods = Pods { place, pods: vec![] };
        for name in NAMES {
            let pod = pods.made(name, name, Arc::default())?;
            pods.pods.push(pod);
        }
        for pod in &mut pods.pods {
            pod.start(&NAMES).await?;
        }
        Ok(pods)
    }

    /// A pod with an empty disk, called `disk`, which takes copies from all that there are.
    fn made(&self, name: &str, disk: &str, counter: Arc<Counter>) -> Result<Pod> {
        let secret = self.place.secret("secret", SECRET)?.display().to_string();
        let node = self.place.node(disk)?.with_args(&["--peer-secret-file", &secret]);
        let peers: Vec<String> = self.pods.iter().map(|pod| pod.node.url()).collect();
        let node =
            if peers.is_empty() { node } else { node.with_args(&["--peers", &peers.join(",")]) };
        Pod::new(name, node, counter)
    }

    /// Every application has made progress since.
    async fn all_go_on(&self) -> Result<()> {
        let before: Vec<u64> = self.pods.iter().map(|pod| pod.counter.acknowledged()).collect();
        let deadline = Instant::now() + MINUTE;
        while self.pods.iter().zip(&before).any(|(pod, at)| pod.counter.acknowledged() < at + 3) {
            ensure!(Instant::now() < deadline, "an application does not go on after {before:?}");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// No call of any application failed, every node has every write, and all copies are the same.
    async fn end(&mut self) -> Result<()> {
        self.all_go_on().await?;
        let urls: Vec<String> = self.pods.iter().map(|pod| pod.node.url()).collect();
        let servers = urls[1..].iter().flat_map(|url| ["--server", url]);
        let compared = self.pods[0].node.ask("verify", &servers.collect::<Vec<_>>())?;
        ensure!(compared.status.success(), "{}", text(&compared));
        for pod in &self.pods {
            for (name, of) in NAMES.iter().zip(&self.pods) {
                let (least, found) = (of.counter.acknowledged(), pod.count_of(name).await?);
                ensure!(found >= least, "{name} had {least} acknowledged, and {found} is there");
            }
        }
        for pod in &mut self.pods {
            ensure!(pod.stop().await? == Ended::InOrder, "{}", pod.node.log());
        }
        Ok(())
    }
}

#[test]
fn an_application_starts_after_its_nodes_restore_and_nobody_ends_that_however_long_it_takes()
-> Result<()> {
    run(async {
        let place = Place::new("kubelet-restore", TopicSpec::store())?;
        tokio::task::block_in_place(|| place.fill())?;
        let mut pod = Pod::new("one", place.node("one")?.with_args(&SLOW), Arc::default())?;
        pod.begin()?;
        let read = |bytes| {
            move |status: &outrigger_client::StoreStatus| {
                status.restore.as_ref().is_some_and(|restore| restore.bytes_read >= bytes)
            }
        };
        for bytes in [1_u64 << 20, 2 << 20, 3 << 20] {
            let status = pod.node.until("more of the log", MINUTE, read(bytes)).await?;
            ensure!(status.phase() == Phase::Restoring, "{status:?}");
            ensure!(!pod.has_started()? && !pod.is_ready()?, "it restores");
        }
        ensure!(pod.node.ask("throttle", &["off"])?.status.success());
        pod.start(&[]).await?;
        ensure!(pod.is_ready()?, "the application is there when its node is READY");
        ensure!(pod.stop().await? == Ended::InOrder, "{}", pod.node.log());
        ensure!(pod.counter.acknowledged() > 0, "it has written");
        Ok(())
    })
}

#[test]
fn a_rolling_restart_of_three_pods_refuses_no_call_and_loses_nothing() -> Result<()> {
    run(async {
        let mut pods = Pods::start("kubelet-rolling").await?;
        for index in 0..NAMES.len() {
            pods.all_go_on().await?;
            let pod = &mut pods.pods[index];
            ensure!(pod.stop().await? == Ended::InOrder, "{}", pod.node.log());
            pod.start(&NAMES).await?;
        }
        pods.end().await
    })
}

/// A rollout, or a drained machine: the new pod is there before the old one goes, and has no disk.
#[test]
fn pods_that_are_moved_take_their_copies_from_those_that_are_there() -> Result<()> {
    run(async {
        let mut pods = Pods::start("kubelet-moved").await?;
        for (index, name) in NAMES.into_iter().enumerate() {
            pods.all_go_on().await?;
            let counter = pods.pods[index].counter.clone();
            let mut new = pods.made(name, &format!("{name}-moved"), counter)?;
            new.begin()?;
            until_logged(&new.node, "a peer gave its copy").await?;
            let mut old = std::mem::replace(&mut pods.pods[index], new);
            ensure!(old.stop().await? == Ended::InOrder, "{}", old.node.log());
            old.node.wipe()?;
            pods.pods[index].start(&NAMES).await?;
        }
        pods.end().await
    })
}

#[test]
fn a_pod_that_is_lost_with_its_disk_is_brought_back_by_the_others() -> Result<()> {
    run(async {
        let mut pods = Pods::start("kubelet-lost").await?;
        pods.all_go_on().await?;
        pods.pods[2].lose()?;
        // The others do not notice.
        let (left, before) = (&pods.pods[..2], pods.pods[0].counter.acknowledged());
        let deadline = Instant::now() + MINUTE;
        while left[0].counter.acknowledged() < before + 3 {
            ensure!(Instant::now() < deadline, "{}", left[0].node.log());
            tokio::time::sleep(POLL).await;
        }
        pods.pods[2].start(&NAMES).await?;
        until_logged(&pods.pods[2].node, "a peer gave its copy").await?;
        pods.end().await
    })
}

/// What a Job runs: it says that it is done, so that its pod need not wait.
const JOB: &str = r#""$0" put result 42 --store "$2" --server "$1" && "$0" release --server "$1""#;

#[test]
fn a_job_ends_with_its_application_whatever_the_drain_delay() -> Result<()> {
    run(async {
        let place = Place::new("kubelet-job", TopicSpec::store())?;
        let node = place.node("one")?.with_args(&["--drain-delay", "1h"]);
        let mut pod = Pod::new("job", node, Arc::default())?;
        pod.begin()?;
        let deadline = Instant::now() + MINUTE;
        while !pod.has_started()? {
            ensure!(Instant::now() < deadline, "{}", pod.node.log());
            tokio::time::sleep(POLL).await;
        }
        let mut bash = Command::new("bash");
        bash.args(["-c", JOB]).arg(binary()).arg(pod.node.url()).arg(STORE);
        let (ended, said) = Process::start(bash)?.end(MINUTE)?;
        ensure!(ended.success(), "{said}");
        ensure!(pod.is_ready()?, "what is released serves on");
        ensure!(pod.stop().await? == Ended::InOrder, "{}", pod.node.log());
        Ok(())
    })
}

/// A drain delay that is longer than the grace, of an application that never says that it is done.
#[test]
fn a_node_that_is_killed_at_the_end_of_its_grace_loses_nothing() -> Result<()> {
    run(async {
        let place = Place::new("kubelet-grace", TopicSpec::store())?;
        let node = place.node("one")?.with_args(&["--drain-delay", "1h"]);
        let mut pod = Pod::new("one", node, Arc::default())?;
        pod.start(&[]).await?;
        pod.grace = Duration::from_secs(3);
        ensure!(pod.stop().await? == Ended::Killed, "{}", pod.node.log());
        // The application finds what it was told to have written, or fails.
        pod.start(&[]).await?;
        ensure!(pod.count_of("one").await? >= pod.counter.acknowledged());
        pod.grace = MINUTE;
        let store = pod.node.store().await?.with_level(Level::Local);
        ensure!(store.get(Pod::key("one")).await?.is_some());
        pod.lose()
    })
}
