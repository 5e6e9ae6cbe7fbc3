//! What is done to brokers and to the wires between them. The calls block.

use anyhow::{Context, Result};
use outrigger_core::offset::Partition;

use super::bed::{BROKERS, Bed};
use crate::host::Host;
use crate::kafka::Topic;

/// Pairs of hosts that are cut apart until this is mended.
#[must_use = "a cut that is dropped lasts"]
pub struct Cut(Vec<(Host, Host)>);

impl Bed {
    /// Kills the broker. Returns whether there was a process to kill.
    pub(super) fn kill_broker(&self, broker: usize) -> Result<bool> {
        let mut cluster = self.cluster();
        let runs = cluster.is_running(broker)?;
        cluster.kill(broker)?;
        Ok(runs)
    }

    pub(super) fn stop_broker(&self, broker: usize) -> Result<bool> {
        let mut cluster = self.cluster();
        let runs = cluster.is_running(broker)?;
        if runs {
            cluster.stop(broker)?;
        }
        Ok(runs)
    }

    pub(super) fn start_broker(&self, broker: usize) -> Result<()> {
        let mut cluster = self.cluster();
        if cluster.is_running(broker)? {
            return Ok(());
        }
        cluster.spawn_broker(broker)
    }

    pub(super) fn pause_brokers(&self, brokers: &[usize]) -> Result<bool> {
        let cluster = self.cluster();
        let mut any = false;
        for &broker in brokers {
            if cluster.is_running(broker)? {
                cluster.pause(broker)?;
                any = true;
            }
        }
        Ok(any)
    }

    pub(super) fn resume_brokers(&self, brokers: &[usize]) -> Result<()> {
        let cluster = self.cluster();
        for &broker in brokers {
            if cluster.is_running(broker)? {
                cluster.resume(broker)?;
            }
        }
        Ok(())
    }

    /// Cuts off the leader from the other brokers, and `nodes` from these too: they reach nobody but the leader.
    pub fn isolate_leader(
        &self,
        topic: &Topic,
        partition: Partition,
        nodes: &[&Host],
    ) -> Result<Cut> {
        let leader = topic.leader(partition)?;
        let (ours, others): (Vec<_>, Vec<_>) =
            (1..=BROKERS).zip(self.brokers()).partition(|(broker, _)| *broker == leader);
        let ours = ours.into_iter().map(|(_, host)| host);
        let alone: Vec<&Host> = ours.chain(nodes.iter().copied()).collect();
        self.cut(
            alone.iter().flat_map(|host| {
                others.iter().map(|(_, other)| ((*host).clone(), (*other).clone()))
            }),
        )
    }

    pub(super) fn cut_off(&self, node: &Host) -> Result<Cut> {
        self.cut(self.brokers().iter().map(|broker| (node.clone(), broker.clone())))
    }

    fn cut(&self, pairs: impl Iterator<Item = (Host, Host)>) -> Result<Cut> {
        let network = self.network().map_err(|why| anyhow::anyhow!("{why}"))?;
        let cut = Cut(pairs.collect());
        for (one, other) in &cut.0 {
            network.cut(one, other).context("cutting a wire")?;
        }
        Ok(cut)
    }

    pub fn mend(&self, Cut(pairs): Cut) -> Result<()> {
        let network = self.network().map_err(|why| anyhow::anyhow!("{why}"))?;
        pairs.iter().try_for_each(|(one, other)| network.mend(one, other)).context("mending a wire")
    }
}
