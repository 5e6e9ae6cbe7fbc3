//! What a kubelet does with a pod whose node is a native sidecar.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use outrigger_client::Level;
use outrigger_tests::node::{Node, free_port};

use super::super::probes::POLL;
use super::application::{Application, Counter, count_of};
use crate::e2e::MINUTE;
use crate::seen::page;

/// What a node needs to stop, and much more than the applications here.
const GRACE: Duration = Duration::from_secs(60);

pub(super) struct Pod {
    name: String,
    pub(super) node: Node,
    probes: u16,
    pub(super) grace: Duration,
    application: Option<Application>,
    pub(super) counter: Arc<Counter>,
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    InOrder,
    /// The grace was over.
    Killed,
}

impl Pod {
    pub(super) fn new(name: &str, node: Node, counter: Arc<Counter>) -> Result<Pod> {
        let probes = free_port()?;
        let node = node.with_args(&["--metrics", &format!("127.0.0.1:{probes}")]);
        Ok(Pod { name: name.to_owned(), node, probes, grace: GRACE, application: None, counter })
    }

    /// The key in which an application counts.
    pub(super) fn key(name: &str) -> String {
        format!("app/{name}")
    }

    /// Starts the node, and nothing else.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.node.spawn()
    }

    /// Whether the startup probe has passed. Until then nobody asks anything else, so that nobody restarts the node; what
    /// the other probes would say is looked at here.
    pub(super) fn has_started(&mut self) -> Result<bool> {
        if let Some(ended) = self.node.ended()? {
            bail!("{} ended with {ended}:\n{}", self.name, self.node.log());
        }
        let Ok((started, ..)) = page(self.probes, "/started") else { return Ok(false) };
        let (live, _, why) = page(self.probes, "/live")?;
        ensure!(live == 200, "{} would be restarted: {why}", self.name);
        Ok(started == 200)
    }

    pub(super) fn is_ready(&self) -> Result<bool> {
        Ok(page(self.probes, "/ready")?.0 == 200)
    }

    async fn until_started(&mut self) -> Result<()> {
        let deadline = Instant::now() + MINUTE;
        while !self.has_started()? {
            ensure!(Instant::now() < deadline, "{} never starts:\n{}", self.name, self.node.log());
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Starts the node and, when it has started, the application, which looks at the counters of `others`, too.
    pub(super) async fn start(&mut self, others: &[&str]) -> Result<()> {
        if !self.node.is_running() {
            self.begin()?;
        }
        self.until_started().await?;
        let others = others.iter().filter(|other| **other != self.name);
        let others = others.map(|other| Pod::key(other)).collect();
        let (store, counter) = (self.node.store().await?, self.counter.clone());
        self.application = Some(Application::start(store, Pod::key(&self.name), others, counter));
        Ok(())
    }

    /// Stops the application and, when it has ended, the node, within one grace.
    pub(super) async fn stop(&mut self) -> Result<Ended> {
        let deadline = Instant::now() + self.grace;
        if let Some(application) = self.application.take() {
            application.stop().await?;
        }
        self.end(deadline).await
    }

    /// Stops the node of an application that has ended.
    async fn end(&mut self, deadline: Instant) -> Result<Ended> {
        self.node.terminate()?;
        while Instant::now() < deadline {
            if let Some(ended) = self.node.ended()? {
                ensure!(ended.success(), "{} ended with {ended}:\n{}", self.name, self.node.log());
                self.node.kill()?;
                return Ok(Ended::InOrder);
            }
            tokio::time::sleep(POLL).await;
        }
        self.node.kill()?;
        Ok(Ended::Killed)
    }

    /// Its machine is gone, with its disk.
    pub(super) fn lose(&mut self) -> Result<()> {
        if let Some(application) = self.application.take() {
            application.kill();
        }
        self.node.kill()?;
        self.node.wipe()
    }

    /// What this node knows of an application's counter, asked for after everything that was written.
    pub(super) async fn count_of(&self, name: &str) -> Result<u64> {
        let store = self.node.store().await?.with_level(Level::Latest);
        count_of(&store, &Pod::key(name)).await
    }
}
