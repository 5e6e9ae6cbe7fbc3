//! A position at which all copies can be pinned, and their pins.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outrigger_client::proto::v1::{self, Phase};
use outrigger_client::{Error, ErrorKind, InvalidToken, Pinned, Reason, StoreStatus, Token};
use outrigger_core::digest::BUCKETS;
use tokio::task::JoinSet;

use super::{Copy, VerifyError};
use crate::peer::{Aim, Foremost};
use crate::shown::phase_name;

/// The time between two tries: a status is as old as this at most.
const PACE: Duration = Duration::from_millis(100);

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
        let at = position(&mut aim, &statuses, Instant::now())?;
        let left = deadline.saturating_duration_since(Instant::now());
        let (node, error) = match pin(copies, store, &at, left.min(TRY_MAX)).await {
            Ok(pinned) => return Ok((at, complete(copies, pinned)?)),
            Err(missed) => missed,
        };
        if error.reason() == Some(Reason::PositionPassed) {
            aim.passed();
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

/// Returns where the copies can be compared, as far as that can be said beforehand.
fn position(aim: &mut Aim, statuses: &[StoreStatus], now: Instant) -> Result<Token, InvalidToken> {
    let mut foremost = Foremost::new();
    for at in statuses.iter().flat_map(|status| &status.partitions) {
        let foremost = foremost.entry(at.partition).or_default();
        *foremost = (*foremost).max((at.position, at.leader_epoch));
    }
    let topic_id = statuses[0].topic_id.clone();
    Token::try_from(v1::Token { topic_id, positions: aim.at(foremost, now) })
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

    #[test]
    fn the_position_is_where_the_foremost_copy_of_each_partition_is() {
        let statuses = [status(&[5, 9]), status(&[6, 8])];
        let at = position(&mut Aim::default(), &statuses, Instant::now()).unwrap();
        assert_eq!([0, 1].map(|partition| at.position(partition)), [6, 9]);
    }

    #[test]
    fn what_no_node_says_is_refused() {
        let at = |status| position(&mut Aim::default(), &[status], Instant::now());
        assert_eq!(at(status(&[u64::MAX])), Err(InvalidToken::Position(0)));
        let nameless = StoreStatus { topic_id: vec![].into(), ..status(&[1]) };
        assert_eq!(at(nameless), Err(InvalidToken::TopicId(0)));
    }
}
