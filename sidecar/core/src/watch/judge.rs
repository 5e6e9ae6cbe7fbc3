//! Whether changes from a place on can be proven complete.
//!
//! | what is asked | if not |
//! |---|---|
//! | is it of this topic? | `Lost::Topic` |
//! | can this history have led there? | `Lost::History` |
//! | do tombstones after it still live? What is in the ring was read by now; what is read from now on, the node reads in time | `Lost::Horizon` |
//! | has the copy come so far? | wait, as a read with a token does |
//! | is what lies right below it the same record? Where a hole hides that, the log may tell (`place::History`) | `Lost::History` |
//! | was all delivered that is the state there? The records that a hole was made for may have been lost before they came | `Lost::History` |
//!
//! A place behind the ring is read from the log, which is asked the last two questions there, and with each batch the one before
//! them: `behind`.

use super::place::{History, Place};
use super::point::Lost;
use super::ring::Lane;
use super::sight::Sight;
use crate::gate::Rejection;
use crate::offset::Partition;
use crate::token::Token;
use crate::topic::TopicId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Resume,
    /// The copy is not there yet.
    Wait,
    Lost(Lost),
}

/// Judges places in `topic`, one for each partition, on a READY node. Of the one of `from_log`, which is read from the log, the
/// log is asked the last question.
pub(super) fn judge(
    topic: TopicId,
    places: &[Place],
    from_log: Option<Partition>,
    sight: &Sight<'_>,
) -> Judgement {
    let lanes = sight.ring.lanes();
    if sight.ring.topic() != Some(topic) || lanes.len() != places.len() {
        return Judgement::Lost(Lost::Topic);
    }
    if let Some(lost) =
        sight.gate.check_token(&token(topic, places)).err().as_ref().and_then(lost_by)
    {
        return Judgement::Lost(lost);
    }
    if places.iter().any(|place| is_past_horizon(place, u64::MAX, sight)) {
        return Judgement::Lost(Lost::Horizon);
    }
    let any = |wrong: fn(&Place, &Lane) -> bool| {
        places.iter().zip(lanes).any(|(place, lane)| wrong(place, lane))
    };
    if any(|place, lane| place.at > lane.end()) {
        return Judgement::Wait;
    }
    let each = (0..).map(Partition).zip(places.iter().zip(lanes));
    let mut in_ring = each.filter(|(_, (place, lane))| place.at >= lane.from());
    let goes_on = |(partition, (place, _)): (Partition, (&Place, &Lane))| {
        let exact = Some(partition) == from_log || place.at >= place.exact_from;
        exact && place.history(partition, sight) != History::Another
    };
    if !in_ring.all(goes_on) {
        return Judgement::Lost(Lost::History);
    }
    Judgement::Resume
}

pub(super) fn token(topic: TopicId, places: &[Place]) -> Token {
    Token { topic, positions: places.iter().map(|place| (place.at, place.epoch)).collect() }
}

/// What a token's rejection says of the place that it is of; none: nothing for good.
pub(super) fn lost_by(rejection: &Rejection) -> Option<Lost> {
    let of_topic = matches!(
        rejection,
        Rejection::TokenOfAnotherTopic { .. } | Rejection::TokenMalformed { .. }
    );
    rejection.is_of_the_token().then_some(if of_topic { Lost::Topic } else { Lost::History })
}

/// What counts is the smallest retention that was in force since the confirmation: as the copy knows it, as this process has
/// heard of it for another one, or as the log `told`.
pub(super) fn is_past_horizon(place: &Place, told_ms: u64, sight: &Sight<'_>) -> bool {
    let Sight { ring, gate, limits, now } = sight;
    let Some(age) = place.age(*now) else { return true };
    let heard_ms = ring.retention_ms_since(now.mono.saturating_sub(age));
    let retention_ms = gate.delete_retention_ms_min.min(heard_ms).min(told_ms);
    let ahead_ms = place.confirmed_at_ms.saturating_sub(now.wall_ms);
    age >= limits.trusted(retention_ms) || ahead_ms > limits.margin_ms(retention_ms)
}
