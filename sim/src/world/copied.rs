//! What a node's process has applied, record by record, as far as its newest reading of the log goes on from it.

use std::collections::BTreeMap;

use outrigger_core::offset::{Offset, Partition};
use outrigger_core::topic::TopicId;
use outrigger_core::watch::ring::RingNews;

/// Key and value; none: it deletes.
type Applied = (Vec<u8>, Option<Vec<u8>>);

#[derive(Debug, Default)]
pub struct Copied {
    topic: Option<TopicId>,
    records: BTreeMap<(Partition, Offset), Applied>,
}

impl Copied {
    pub(super) fn take(&mut self, news: &RingNews) {
        match news {
            RingNews::Begun { topic, from } => {
                let same = self.topic.replace(*topic) == Some(*topic);
                self.records.retain(|(partition, offset), _| {
                    let begins = from.get(partition.index()).map(|origin| origin.position());
                    same && begins > Some(*offset)
                });
            }
            RingNews::Applied(applied) => {
                let batch = applied.batch();
                for record in batch.records() {
                    let row = (record.key.to_vec(), record.value.map(<[u8]>::to_vec));
                    self.records.insert((batch.partition, record.offset), row);
                }
            }
            RingNews::Retention { .. } => {}
        }
    }

    /// Whether another record than this one was applied there.
    pub fn has_another(&self, at: (Partition, Offset), key: &[u8], value: Option<&[u8]>) -> bool {
        let applied = self.records.get(&at);
        applied.is_some_and(|(its, row)| its != key || row.as_deref() != value)
    }
}
