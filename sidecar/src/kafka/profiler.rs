//! Looks into a topic here and there, to learn where its bytes lie.
//!
//! A client of its own that is gone when the profile is there. Costs a broker some fifty fetches of 64 KiB, and fails
//! without any other consequence than that there is no profile.

use std::ffi::CString;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Instant;

use outrigger_core::offset::{Offset, Partition};

use super::config::KafkaConfig;
use super::raw::{Client, ClientError, Code, Message, Topic};
use super::settings::PROFILE_MAX;
use super::{KafkaStartError, topic_name};
use crate::profile::{Look, Profile, Profiler};

/// A look ends when it has met one of these: more would only tell the same.
const LOOK_BYTES: u64 = 16 * 1024;
const LOOK_RECORDS: u32 = 500;

#[derive(Debug, thiserror::Error)]
enum ProfileError {
    #[error(transparent)]
    Topic(#[from] KafkaStartError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{} {text}", .code.name())]
    Kafka { code: Code, text: String },
    #[error("took longer than {PROFILE_MAX:?}")]
    TimeUp,
}

pub fn profiler(config: KafkaConfig) -> Profiler {
    Arc::new(move |topic, ranges| {
        let profiles = profile(&config, topic, ranges);
        profiles.inspect_err(|error| tracing::debug!(topic, %error, "no profile of the log")).ok()
    })
}

fn profile(
    config: &KafkaConfig,
    topic: &str,
    ranges: &[Range<Offset>],
) -> Result<Vec<Profile>, ProfileError> {
    let until = Instant::now() + PROFILE_MAX;
    let name: CString = topic_name(topic)?;
    let client = config.profiler()?;
    let topic = client.topic(&name);
    let partitions = (0..).map(Partition).zip(ranges);
    let profiles = partitions.map(|(partition, range)| {
        let mut profile = Profile::new(range.clone(), ranges.len());
        while let Some(from) = profile.next() {
            profile.add(from, look(&client, &topic, partition, from, range.end, until)?);
        }
        Ok(profile)
    });
    profiles.collect()
}

fn look(
    client: &Client,
    topic: &Topic,
    partition: Partition,
    from: Offset,
    end: Offset,
    until: Instant,
) -> Result<Look, ProfileError> {
    let refused = |code| ProfileError::Kafka { code, text: "cannot read a partition".to_owned() };
    let queue = client.new_queue();
    topic.start(partition, from, &queue).map_err(refused)?;
    let look = meet(topic, partition, end, until);
    topic.stop(partition).map_err(refused)?;
    look
}

/// The first records of a partition that is being read, as far as they lie below `end`.
fn meet(
    topic: &Topic,
    partition: Partition,
    end: Offset,
    until: Instant,
) -> Result<Look, ProfileError> {
    let mut look = Look { first: end, end, bytes: 0 };
    let mut records = 0;
    let mut met = None;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let came = topic.take(partition, left, |message| {
            match message {
                Message::Record { offset, key, value, .. } if offset < end => {
                    if records == 0 {
                        look.first = offset;
                    }
                    records += 1;
                    look.end = offset.next();
                    let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
                    look.bytes += u64::try_from(bytes).expect("lengths fit 64 bits");
                    if records < LOOK_RECORDS && look.bytes < LOOK_BYTES {
                        return ControlFlow::Continue(());
                    }
                    met = Some(Ok(()));
                }
                // Nothing more below the end: what was met holds until there.
                Message::Record { .. } | Message::End { .. } => {
                    look.end = end;
                    met = Some(Ok(()));
                }
                Message::Fault { code, text, .. } => {
                    met = Some(Err(ProfileError::Kafka { code, text }));
                }
            }
            ControlFlow::Break(())
        });
        match met {
            Some(met) => return met.map(|()| look),
            None if !came => return Err(ProfileError::TimeUp),
            None => {}
        }
    }
}
