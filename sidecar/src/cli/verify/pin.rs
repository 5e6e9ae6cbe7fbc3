//! A position at which all copies can be pinned, and their pins.
//!
//! Without writes it is where the copies are. While writes go on, every copy has passed that before the last one is
//! asked: then the position lies ahead, by what is written within a moment, and all copies come to it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outrigger_client::proto::v1::{self, PartitionPosition, Phase};
use outrigger_client::{Error, ErrorKind, InvalidToken, Pinned, Reason, StoreStatus, Token};
use outrigger_core::digest::BUCKETS;
use tokio::task::JoinSet;

use super::{Copy, VerifyError};
use crate::shown::phase_name;

/// The time between two tries: a status is as old as this at most.
const PACE: Duration = Duration::from_millis(100);

/// How far ahead the position lies after a first copy had passed it; doubles with every further try.
const LEAD_MIN: Duration = Duration::from_millis(100);
const LEAD_MAX: Duration = Duration::from_secs(2);

/// How long one try waits for the slowest copy.
const TRY_MAX: Duration = Duration::from_secs(5);

/// Pins all copies at one position; the pins are in the order of `copies`.
pub(super) async fn all(
    copies: &[Copy],
    store: &str,
    within: Duration,
) -> Result<(Token, Vec<Pinned>), VerifyError> {
    let deadline = Instant::now() + within;
    let mut aim = Aim::default();
    loop {
        let statuses = statuses(copies, store).await?;
        let at = aim.at(&statuses, Instant::now())?;
        let left = deadline.saturating_duration_since(Instant::now());
        let (node, error) = match pin(copies, store, &at, left.min(TRY_MAX)).await {
            Ok(pinned) => return Ok((at, complete(copies, pinned)?)),
            Err(missed) => missed,
        };
        if error.reason() == Some(Reason::PositionPassed) {
            aim.lead = (aim.lead * 2).clamp(LEAD_MIN, LEAD_MAX);
        } else if !may_come(&error) {
            return Err(VerifyError::Node { node, error });
        }
        if Instant::now() + PACE >= deadline {
            return Err(VerifyError::NoPosition { within, node, error });
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Passes the pins on where all can be compared: a copy that is summed in other parts cannot.
fn complete(copies: &[Copy], pinned: Vec<Pinned>) -> Result<Vec<Pinned>, VerifyError> {
    let other = copies.iter().zip(&pinned).find(|(_, pin)| pin.buckets().len() != BUCKETS);
    match other.map(|(copy, pin)| (copy.name.clone(), pin.buckets().len())) {
        None => Ok(pinned),
        Some((node, buckets)) => Err(VerifyError::Buckets { node, buckets }),
    }
}

/// Whether another position may do, or the same one a moment later: a copy that met a gap is exact again soon.
fn may_come(error: &Error) -> bool {
    error.kind() == ErrorKind::Deadline
        || matches!(error.reason(), Some(Reason::Restoring | Reason::Overloaded))
}

async fn statuses(copies: &[Copy], store: &str) -> Result<Vec<StoreStatus>, VerifyError> {
    let mut statuses: Vec<StoreStatus> = Vec::new();
    for copy in copies {
        let status = copy.client.store(store).status().await;
        let status = status.map_err(|error| failed(copy, error))?;
        let node = copy.name.clone();
        if status.phase() != Phase::Ready {
            return Err(not_ready(node, &status));
        }
        if let Some(first) = statuses.first()
            && first.topic_id != status.topic_id
        {
            return Err(VerifyError::OtherTopic { node, first: copies[0].name.clone() });
        }
        statuses.push(status);
    }
    Ok(statuses)
}

pub(super) fn not_ready(node: String, status: &StoreStatus) -> VerifyError {
    let stalls = status.stalls.iter().map(|stall| &stall.what_to_do);
    let advice = status.cause.iter().map(|cause| &cause.what_to_do).chain(stalls);
    let advice = advice.into_iter().find(|advice| !advice.is_empty());
    let wait = || format!("wait until it is READY: `outrigger status --follow --server {node}`");
    let what_to_do = advice.cloned().unwrap_or_else(wait);
    VerifyError::NotReady { phase: phase_name(status), what_to_do, node }
}

fn failed(copy: &Copy, error: Error) -> VerifyError {
    VerifyError::Node { node: copy.name.clone(), error }
}

/// Pins all of them at once, or returns the first that could not be pinned; the others are then released.
async fn pin(
    copies: &[Copy],
    store: &str,
    at: &Token,
    wait: Duration,
) -> Result<Vec<Pinned>, (String, Error)> {
    let mut pins = JoinSet::new();
    for (index, copy) in copies.iter().enumerate() {
        let (copy, store, at) = (copy.clone(), store.to_owned(), at.clone());
        pins.spawn(async move {
            let pinned = copy.client.pin(store, &at, wait).await;
            pinned.map(|pinned| (index, pinned)).map_err(|error| (copy.name, error))
        });
    }
    let mut pinned = BTreeMap::new();
    while let Some(ended) = pins.join_next().await {
        let (index, pin) = ended.expect("pinning does not panic")?;
        pinned.insert(index, pin);
    }
    Ok(pinned.into_values().collect())
}

#[derive(Debug, Default)]
struct Aim {
    /// How long what is written now takes to be at the position.
    lead: Duration,
    /// When the foremost copy of each partition was at which position.
    before: Option<(Instant, BTreeMap<u32, u64>)>,
}

impl Aim {
    /// Returns where the foremost copy of each partition will be after the lead.
    fn at(&mut self, statuses: &[StoreStatus], now: Instant) -> Result<Token, InvalidToken> {
        let mut foremost: BTreeMap<u32, (u64, Option<u32>)> = BTreeMap::new();
        for at in statuses.iter().flat_map(|status| &status.partitions) {
            let foremost = foremost.entry(at.partition).or_default();
            *foremost = (*foremost).max((at.position, at.leader_epoch));
        }
        let positions = foremost.iter().map(|(&partition, &(position, leader_epoch))| {
            match self.ahead(partition, position, now) {
                0 => PartitionPosition { partition, position, leader_epoch },
                // It is not known who will lead by then.
                more => {
                    let position = position.saturating_add(more);
                    PartitionPosition { partition, position, leader_epoch: None }
                }
            }
        });
        let topic_id = statuses[0].topic_id.clone();
        let at = v1::Token { topic_id, positions: positions.collect() };
        let positions =
            foremost.into_iter().map(|(partition, (position, _))| (partition, position));
        self.before = Some((now, positions.collect()));
        Token::try_from(at)
    }

    /// Returns the offsets that are written within the lead, at the rate since the last try.
    fn ahead(&self, partition: u32, position: u64, now: Instant) -> u64 {
        let Some((then, before)) = &self.before else { return 0 };
        let written = position.saturating_sub(before.get(&partition).copied().unwrap_or(position));
        let elapsed_ms = now.saturating_duration_since(*then).as_millis().max(1);
        let ahead = u128::from(written) * self.lead.as_millis() / elapsed_ms;
        match written {
            0 => 0,
            _ => u64::try_from(ahead).unwrap_or(u64::MAX >> 2).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use v1::PartitionStatus;

    use super::*;

    fn status(positions: &[u64]) -> StoreStatus {
        let partitions = (0..).zip(positions).map(|(partition, &position)| PartitionStatus {
            partition,
            position,
            leader_epoch: Some(3),
            ..PartitionStatus::default()
        });
        StoreStatus {
            topic_id: vec![7; 16].into(),
            partitions: partitions.collect(),
            ..StoreStatus::default()
        }
    }

    fn positions(token: &Token) -> Vec<u64> {
        (0..2).map(|partition| token.position(partition)).collect()
    }

    #[test]
    fn without_writes_the_position_is_where_the_foremost_copies_are() {
        let mut aim = Aim { lead: LEAD_MAX, before: None };
        let now = Instant::now();
        for later in 0..3 {
            let statuses = [status(&[5, 9]), status(&[6, 8])];
            let at = aim.at(&statuses, now + PACE * later).unwrap();
            assert_eq!(positions(&at), [6, 9]);
        }
    }

    #[test]
    fn while_writes_go_on_the_position_lies_ahead_where_they_go_on() {
        let mut aim = Aim { lead: Duration::from_millis(200), before: None };
        let now = Instant::now();
        aim.at(&[status(&[1_000, 9])], now).unwrap();
        let at = aim.at(&[status(&[1_500, 9])], now + Duration::from_millis(100)).unwrap();
        assert_eq!(positions(&at), [1_500 + 1_000, 9]);
        let slow = aim.at(&[status(&[1_501, 9])], now + Duration::from_secs(100)).unwrap();
        assert_eq!(positions(&slow), [1_502, 9], "a slow writer is waited for as well");
        let over = aim.at(&[status(&[1_501, 9])], now + Duration::from_secs(101)).unwrap();
        assert_eq!(positions(&over), [1_501, 9]);
    }

    #[test]
    fn what_no_node_says_is_refused_and_never_added_up() {
        let mut aim = Aim { lead: LEAD_MAX, before: None };
        let now = Instant::now();
        aim.at(&[status(&[0])], now).unwrap();
        let later = now + Duration::from_millis(1);
        assert_eq!(aim.at(&[status(&[u64::MAX])], later), Err(InvalidToken::Position(0)));
        let nameless = StoreStatus { topic_id: vec![].into(), ..status(&[1]) };
        assert_eq!(aim.at(&[nameless], later), Err(InvalidToken::TopicId(0)));
    }
}
