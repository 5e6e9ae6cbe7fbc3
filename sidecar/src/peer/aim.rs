//! A position at which copies that go on can be compared.
//!
//! Without writes it is where the foremost copy is. While writes go on, every copy has passed that before the last one is
//! asked: then the position lies ahead, by what is written within a moment, and all copies come to it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outrigger_proto::v1::PartitionPosition;

/// How far ahead the position lies after a first copy had passed it; doubles with every further try.
const LEAD_MIN: Duration = Duration::from_millis(100);
const LEAD_MAX: Duration = Duration::from_secs(2);

/// By partition: position of the foremost copy, and the leader epoch of what is just below it.
pub(crate) type Foremost = BTreeMap<u32, (u64, Option<u32>)>;

#[derive(Debug, Default)]
pub(crate) struct Aim {
    /// How long what is written now takes to be at the position.
    lead: Duration,
    /// When the foremost copy of each partition was at which position.
    before: Option<(Instant, BTreeMap<u32, u64>)>,
}

impl Aim {
    /// A copy had passed the last position before it was asked.
    pub(crate) fn passed(&mut self) {
        self.lead = (self.lead * 2).clamp(LEAD_MIN, LEAD_MAX);
    }

    /// Returns where the foremost copy of each partition will be after the lead.
    pub(crate) fn at(&mut self, foremost: Foremost, now: Instant) -> Vec<PartitionPosition> {
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
        let positions = positions.collect();
        let before = foremost.into_iter().map(|(partition, (position, _))| (partition, position));
        self.before = Some((now, before.collect()));
        positions
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
    use super::*;

    const PACE: Duration = Duration::from_millis(100);

    fn at(aim: &mut Aim, positions: [u64; 2], now: Instant) -> [u64; 2] {
        let foremost = (0..).zip(positions.map(|position| (position, Some(3)))).collect();
        let at = aim.at(foremost, now);
        [at[0].position, at[1].position]
    }

    #[test]
    fn without_writes_the_position_is_where_the_foremost_copies_are() {
        let mut aim = Aim { lead: LEAD_MAX, before: None };
        let now = Instant::now();
        for later in 0..3 {
            assert_eq!(at(&mut aim, [6, 9], now + PACE * later), [6, 9]);
        }
    }

    #[test]
    fn while_writes_go_on_the_position_lies_ahead_where_they_go_on() {
        let mut aim = Aim { lead: PACE, before: None };
        aim.passed();
        let now = Instant::now();
        at(&mut aim, [1_000, 9], now);
        assert_eq!(at(&mut aim, [1_500, 9], now + PACE), [1_500 + 1_000, 9]);
        let slow = at(&mut aim, [1_501, 9], now + Duration::from_secs(100));
        assert_eq!(slow, [1_502, 9], "a slow writer is waited for as well");
        let over = at(&mut aim, [1_501, 9], now + Duration::from_secs(101));
        assert_eq!(over, [1_501, 9]);
    }

    #[test]
    fn what_no_node_says_is_never_added_up() {
        let mut aim = Aim { lead: LEAD_MAX, before: None };
        let now = Instant::now();
        at(&mut aim, [0, 0], now);
        let later = now + Duration::from_millis(1);
        assert_eq!(at(&mut aim, [u64::MAX, 0], later), [u64::MAX, 0]);
    }
}
