//! Samples a topic here and there, to learn where its bytes lie.
//!
//! It has a client of its own, which is gone when the densities are known. It costs a broker some fifty fetches of 64 KiB,
//! and when it fails nothing is known of the time to go.

use std::ffi::CString;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Instant;

use outrigger_core::offset::{Offset, Partition};

use super::config::KafkaConfig;
use super::raw::{Client, ClientError, Code, Message, Topic};
use super::settings::SAMPLING_MAX;
use super::{KafkaStartError, topic_name};
use crate::restore_time::{Density, Sample, Sampler};

/// A sample ends when it has met one of these: more would only tell the same.
const SAMPLE_BYTES: u64 = 16 * 1024;
const SAMPLE_RECORDS: u32 = 500;

#[derive(Debug, thiserror::Error)]
enum SamplingError {
    #[error(transparent)]
    Topic(#[from] KafkaStartError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{} {text}", .code.name())]
    Kafka { code: Code, text: String },
    #[error("took longer than {SAMPLING_MAX:?}")]
    TimeUp,
}

pub fn sampler(config: KafkaConfig) -> Sampler {
    Arc::new(move |topic, ranges| {
        let densities = density(&config, topic, ranges);
        densities.inspect_err(|error| tracing::debug!(topic, %error, "no density of the log")).ok()
    })
}

fn density(
    config: &KafkaConfig,
    topic: &str,
    ranges: &[Range<Offset>],
) -> Result<Vec<Density>, SamplingError> {
    let until = Instant::now() + SAMPLING_MAX;
    let name: CString = topic_name(topic)?;
    let client = config.sampler()?;
    let topic = client.topic(&name);
    let partitions = (0..).map(Partition).zip(ranges);
    let densities = partitions.map(|(partition, range)| {
        let mut density = Density::new(range.clone(), ranges.len());
        while let Some(from) = density.next() {
            density.add(from, sample(&client, &topic, partition, from, range.end, until)?);
        }
        Ok(density)
    });
    densities.collect()
}

fn sample(
    client: &Client,
    topic: &Topic,
    partition: Partition,
    from: Offset,
    end: Offset,
    until: Instant,
) -> Result<Sample, SamplingError> {
    let refused = |code| SamplingError::Kafka { code, text: "cannot read a partition".to_owned() };
    let queue = client.new_queue();
    topic.start(partition, from, &queue).map_err(refused)?;
    let sample = meet(topic, partition, end, until);
    topic.stop(partition).map_err(refused)?;
    sample
}

/// The first records of a partition that is being read, as far as they lie below `end`.
fn meet(
    topic: &Topic,
    partition: Partition,
    end: Offset,
    until: Instant,
) -> Result<Sample, SamplingError> {
    let mut sample = Sample { first: end, end, bytes: 0 };
    let mut records = 0;
    let mut met = None;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let came = topic.take(partition, left, |message| {
            match message {
                Message::Record { offset, key, value, .. } if offset < end => {
                    if records == 0 {
                        sample.first = offset;
                    }
                    records += 1;
                    sample.end = offset.next();
                    let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
                    sample.bytes += u64::try_from(bytes).expect("lengths fit 64 bits");
                    if records < SAMPLE_RECORDS && sample.bytes < SAMPLE_BYTES {
                        return ControlFlow::Continue(());
                    }
                    met = Some(Ok(()));
                }
                // There is nothing more below the end: what was met holds until there.
                Message::Record { .. } | Message::End { .. } => {
                    sample.end = end;
                    met = Some(Ok(()));
                }
                Message::Fault { code, text, .. } => {
                    met = Some(Err(SamplingError::Kafka { code, text }));
                }
            }
            ControlFlow::Break(())
        });
        match met {
            Some(met) => return met.map(|()| sample),
            None if !came => return Err(SamplingError::TimeUp),
            None => {}
        }
    }
}
