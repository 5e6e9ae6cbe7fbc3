//! Consumer groups from outside: what one has committed, and consumers that are members.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use outrigger_core::offset::{Offset, Partition};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

use super::client::{self, ASK_MAX};
use super::topic::{SETTLE_MAX, Topic, kafka_offset, kafka_partition};

/// What a group has committed, by partition, each with its metadata.
pub type GroupOffsets = BTreeMap<Partition, (Offset, String)>;

impl Topic {
    /// What a group has committed in this topic.
    pub fn committed(&self, group: &str) -> Result<GroupOffsets> {
        let mut asked = TopicPartitionList::new();
        for partition in Partition::all(self.partitions()) {
            asked.add_partition(self.name(), kafka_partition(partition));
        }
        let told = client::member(&self.bootstrap, group)?.committed_offsets(asked, ASK_MAX)?;
        let committed = told.elements().into_iter().filter_map(|entry| {
            let rdkafka::Offset::Offset(offset) = entry.offset() else { return None };
            let partition = Partition(u32::try_from(entry.partition()).ok()?);
            let offset = Offset(u64::try_from(offset).ok()?);
            Some((partition, (offset, entry.metadata().to_owned())))
        });
        Ok(committed.collect())
    }

    /// Commits in the name of a group that has no members.
    pub fn commit(&self, group: &str, offsets: &GroupOffsets) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, (offset, metadata)) in offsets {
            let mut entry = list.add_partition(self.name(), kafka_partition(*partition));
            entry.set_offset(kafka_offset(*offset))?;
            entry.set_metadata(metadata);
        }
        let consumer = client::member(&self.bootstrap, group)?;
        consumer.commit(&list, CommitMode::Sync).context("committing offsets")
    }

    /// Somebody who consumes the topic as a member of a group, for as long as it lives.
    pub fn join(&self, group: &str) -> Result<BaseConsumer> {
        let consumer = client::member(&self.bootstrap, group)?;
        consumer.subscribe(&[self.name()])?;
        let deadline = Instant::now() + SETTLE_MAX;
        while consumer.assignment()?.count() == 0 {
            ensure!(Instant::now() < deadline, "nothing is assigned to a member of {group}");
            // What it reads does not matter, and neither do errors of a group that is about to be there.
            drop(consumer.poll(client::ASK_MAX / 50));
        }
        Ok(consumer)
    }
}

/// The groups of a cluster.
pub(super) fn names(bootstrap: &str) -> Result<Vec<String>> {
    let groups = client::member(bootstrap, "outrigger-tests")?.fetch_group_list(None, ASK_MAX)?;
    Ok(groups.groups().iter().map(|group| group.name().to_owned()).collect())
}
