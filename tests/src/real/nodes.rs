//! What is done to nodes: each has one process at most, and who breaks or mends it has it alone meanwhile.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::bed::Bed;
use crate::host::Host;
use crate::node::Node;

pub(super) struct Nodes {
    nodes: Vec<Mutex<Node>>,
    hosts: Vec<Host>,
    directory: TempDir,
}

impl Nodes {
    /// Makes the nodes, and starts none.
    pub(super) fn make(bed: &Bed, place: usize, count: usize, topic: &str) -> Result<Nodes> {
        let directory =
            tempfile::Builder::new().prefix("nodes-").tempdir_in(bed.cluster().directory())?;
        let hosts = bed.hosts(place)[..count].to_vec();
        let node = |(number, host): (usize, &Host)| {
            let name = format!("node-{number}");
            let node = Node::new(directory.path(), &name, bed.bootstrap(), topic)?;
            Ok(Mutex::new(node.on(host.clone())))
        };
        let nodes = hosts.iter().enumerate().map(node).collect::<Result<_>>()?;
        Ok(Nodes { nodes, hosts, directory })
    }

    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn host(&self, node: usize) -> &Host {
        &self.hosts[node]
    }

    /// The directory of nodes and their logs, which is there until this is dropped.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(super) async fn lock(&self, node: usize) -> MutexGuard<'_, Node> {
        self.nodes[node].lock().await
    }

    pub(super) async fn urls(&self) -> Vec<String> {
        let mut urls = Vec::new();
        for node in &self.nodes {
            urls.push(node.lock().await.url());
        }
        urls
    }

    pub(super) async fn start_all(&self) -> Result<()> {
        for node in 0..self.count() {
            self.start(node).await?;
        }
        Ok(())
    }

    /// Makes the node run, where it is down or paused.
    pub(super) async fn start(&self, number: usize) -> Result<()> {
        let mut node = self.lock(number).await;
        alive(&mut node, number)?;
        if node.is_running() {
            node.resume()
        } else {
            node.start().await.with_context(|| format!("starting node {number}"))
        }
    }

    /// Kills the node (SIGKILL). Returns whether there was a process to kill.
    pub(super) async fn kill(&self, number: usize) -> Result<bool> {
        let mut node = self.lock(number).await;
        kill(&mut node, number)
    }

    pub(super) async fn pause(&self, number: usize) -> Result<bool> {
        let mut node = self.lock(number).await;
        alive(&mut node, number)?;
        if !node.is_running() {
            return Ok(false);
        }
        node.pause().map(|()| true)
    }

    pub(super) async fn resume(&self, number: usize) -> Result<()> {
        let mut node = self.lock(number).await;
        if node.is_running() { node.resume() } else { Ok(()) }
    }

    /// Drains the node: its process is awake, and gets SIGTERM. Returns whether there was a process.
    pub(super) async fn drain(&self, number: usize) -> Result<bool> {
        let mut node = self.lock(number).await;
        alive(&mut node, number)?;
        if !node.is_running() {
            return Ok(false);
        }
        node.resume()?;
        let status = tokio::task::block_in_place(|| node.stop())?;
        ensure!(status.code().is_some(), "node {number} ended by {status} instead of draining");
        Ok(true)
    }

    /// Kills the node and removes its disk.
    pub(super) async fn wipe(&self, number: usize) -> Result<bool> {
        let mut node = self.lock(number).await;
        kill(&mut node, number)?;
        remove(&node.data())?;
        Ok(true)
    }

    /// Kills the node, copies its disk, and starts it again; the copy is what it finds later. Returns whether there was
    /// a disk.
    pub(super) async fn copy_disk(&self, number: usize, fault: usize) -> Result<bool> {
        let mut node = self.lock(number).await;
        let ran = kill(&mut node, number)?;
        let there = node.data().is_dir();
        if there {
            tokio::task::block_in_place(|| copy(&node.data(), &self.old(number, fault)))?;
        }
        if ran {
            node.start().await.with_context(|| format!("starting node {number}"))?;
        }
        Ok(there)
    }

    pub(super) async fn mount_old_disk(&self, number: usize, fault: usize) -> Result<()> {
        let mut node = self.lock(number).await;
        kill(&mut node, number)?;
        remove(&node.data())?;
        fs::rename(self.old(number, fault), node.data()).context("mounting the old disk")?;
        node.start().await.with_context(|| format!("starting node {number} on its old disk"))
    }

    fn old(&self, number: usize, fault: usize) -> PathBuf {
        self.directory.path().join(format!("old-{number}-{fault}"))
    }

    /// Kills and restarts the node again and again, until `until`.
    pub(super) async fn crash_loop(
        &self,
        number: usize,
        every: Duration,
        until: tokio::time::Instant,
    ) -> Result<()> {
        while tokio::time::Instant::now() < until {
            self.kill(number).await?;
            self.start(number).await?;
            tokio::time::sleep(every).await;
        }
        Ok(())
    }
}

fn alive(node: &mut Node, number: usize) -> Result<()> {
    match node.ended()? {
        None => Ok(()),
        Some(status) => {
            anyhow::bail!("node {number} ended by itself with {status}:\n{}", node.log())
        }
    }
}

fn kill(node: &mut Node, number: usize) -> Result<bool> {
    alive(node, number)?;
    let ran = node.is_running();
    if ran {
        node.kill()?;
    }
    Ok(ran)
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", directory.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
        }
    }
    Ok(())
}
