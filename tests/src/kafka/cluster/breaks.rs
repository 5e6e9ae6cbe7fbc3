//! The ways to break brokers, and to mend them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use outrigger_core::offset::Partition;

use super::Cluster;

const STOP_MAX: Duration = Duration::from_secs(15);

impl Cluster {
    /// Kills the broker (SIGKILL). It is gone when this returns; the controller learns of it seconds later.
    pub fn kill(&mut self, broker: usize) -> Result<()> {
        let index = self.index(broker)?;
        self.brokers[index].kill().context("killing a broker")?;
        self.name_to_leash()
    }

    pub fn kill_all(&mut self) -> Result<()> {
        (1..=self.brokers()).try_for_each(|broker| self.kill(broker))
    }

    /// Ends the broker with SIGTERM, and waits for its end.
    pub fn stop(&mut self, broker: usize) -> Result<()> {
        let index = self.index(broker)?;
        self.brokers[index].terminate()?;
        self.brokers[index].await_end(Instant::now() + STOP_MAX)?;
        self.name_to_leash()
    }

    /// Pauses the broker (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&self, broker: usize) -> Result<()> {
        let index = self.index(broker)?;
        self.brokers[index].pause()
    }

    /// Resumes the broker (SIGCONT).
    pub fn resume(&self, broker: usize) -> Result<()> {
        let index = self.index(broker)?;
        self.brokers[index].resume()
    }

    /// Loses a partition's log on a broker that is down; on a single broker the topic is empty afterwards.
    pub fn wipe_partition(&self, broker: usize, topic: &str, partition: Partition) -> Result<()> {
        self.brokers[self.index(broker)?].wipe(topic, partition)
    }

    /// Keeps a partition's log as it is now, on a broker that is down.
    pub fn keep_partition(&self, broker: usize, topic: &str, partition: Partition) -> Result<()> {
        self.brokers[self.index(broker)?].keep(topic, partition)
    }

    /// Loses what a partition's log got since it was kept, on a broker that is down.
    pub fn put_partition_back(
        &self,
        broker: usize,
        topic: &str,
        partition: Partition,
    ) -> Result<()> {
        self.brokers[self.index(broker)?].put_back(topic, partition)
    }
}
