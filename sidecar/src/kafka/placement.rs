//! Looks at the newest records of a topic: does everybody who writes to it put keys where Java's partitioner puts them?
//!
//! A record elsewhere is ignored on every node, for its key may have another one where it belongs. It has a client of
//! its own, which is gone when the answer is there.

use std::ffi::CString;
use std::ops::{ControlFlow, Range};
use std::time::Instant;

use outrigger_core::offset::{Offset, Partition};
use outrigger_core::partitioner::partition_of;

use super::config::KafkaConfig;
use super::raw::{Client, Code, Message, Topic};
use super::settings::SAMPLING_MAX;
use super::{KafkaStartError, topic_name};

/// How many offsets of a topic are looked at; its partitions share them, and each has some.
const OFFSETS_MAX: u64 = 10_000;
const OFFSETS_MIN: u64 = 20;

/// What was found among the newest records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    pub records: u64,
    /// Records in another partition than their key's.
    pub misplaced: u64,
    pub keyless: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum PlacementError {
    #[error(transparent)]
    Start(#[from] KafkaStartError),
    #[error("{name} {text}")]
    Kafka { name: String, text: String },
}

/// Looks at the newest records. Blocks for seconds; records that were not looked at by then are not counted.
pub fn placement(
    config: &KafkaConfig,
    topic: &str,
    logs: &[Range<Offset>],
) -> Result<Placement, PlacementError> {
    let until = Instant::now() + SAMPLING_MAX;
    let name: CString = topic_name(topic)?;
    let client = config.sampler().map_err(KafkaStartError::from)?;
    let topic = client.topic(&name);
    let count = u32::try_from(logs.len()).expect("Kafka counts partitions in 32 bits");
    let share = (OFFSETS_MAX / u64::from(count.max(1))).max(OFFSETS_MIN);
    let mut found = Placement::default();
    for (partition, log) in (0..).map(Partition).zip(logs) {
        let newest = Offset(log.end.0.saturating_sub(share)).max(log.start)..log.end;
        if !newest.is_empty() {
            look(&client, &topic, partition, count, newest, until, &mut found)?;
        }
    }
    Ok(found)
}

fn look(
    client: &Client,
    topic: &Topic,
    partition: Partition,
    count: u32,
    newest: Range<Offset>,
    until: Instant,
    found: &mut Placement,
) -> Result<(), PlacementError> {
    let refused = |code| kafka(code, "cannot read a partition".to_owned());
    let queue = client.new_queue();
    topic.start(partition, newest.start, &queue).map_err(refused)?;
    let looked = meet(topic, partition, count, newest.end, until, found);
    topic.stop(partition).map_err(refused)?;
    looked
}

fn meet(
    topic: &Topic,
    partition: Partition,
    count: u32,
    end: Offset,
    until: Instant,
    found: &mut Placement,
) -> Result<(), PlacementError> {
    let mut over = None;
    while over.is_none() {
        let left = until.saturating_duration_since(Instant::now());
        let came = topic.take(partition, left, |message| {
            match message {
                Message::Record { offset, key, .. } if offset < end => {
                    found.count(key, partition, count);
                    return ControlFlow::Continue(());
                }
                Message::Record { .. } | Message::End { .. } => over = Some(Ok(())),
                Message::Fault { code, text, .. } => {
                    over = Some(Err(kafka(code, text)));
                }
            }
            ControlFlow::Break(())
        });
        if !came && over.is_none() {
            return Ok(());
        }
    }
    over.unwrap_or(Ok(()))
}

fn kafka(code: Code, text: String) -> PlacementError {
    PlacementError::Kafka { name: code.name(), text }
}

impl Placement {
    fn count(&mut self, key: Option<&[u8]>, partition: Partition, count: u32) {
        self.records += 1;
        match key {
            None => self.keyless += 1,
            Some(key) if partition_of(key, count) != partition => self.misplaced += 1,
            Some(_) => {}
        }
    }
}
