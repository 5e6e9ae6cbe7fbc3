//! Reads that wait for a position.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::gate::{Gate, Rejection, Until};
use crate::log::PartitionEnd;
use crate::offset::{Offset, RequestId};
use crate::stall::StallKind;
use crate::token::Token;

#[derive(Debug, Default)]
pub(super) struct Awaits {
    waiting: BTreeMap<RequestId, Await>,
}

#[derive(Debug)]
struct Await {
    need: Need,
    /// Monotonic.
    deadline: Duration,
    /// Questions for the end asked when this came: only later answers speak about it.
    ends_asked: u64,
}

#[derive(Debug)]
enum Need {
    /// The end as the leader answers it to a question asked after this came.
    End,
    Positions(Vec<Offset>),
    Token(Token),
}

/// The end that was waited for, if one was.
type Reached = Option<Vec<Offset>>;

pub(super) type Settled = Vec<(RequestId, Result<Reached, Rejection>)>;

impl Awaits {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn add(&mut self, id: RequestId, until: Until, deadline: Duration, ends_asked: u64) {
        let need = match until {
            Until::Latest => Need::End,
            Until::AtLeast(token) => Need::Token(token),
        };
        self.waiting.insert(id, Await { need, deadline, ends_asked });
    }

    pub(super) fn remove(&mut self, id: RequestId) {
        self.waiting.remove(&id);
    }

    /// The leaders answered question number `asked` with these ends.
    pub(super) fn on_ends(&mut self, asked: u64, ends: &[PartitionEnd]) -> Settled {
        let mut settled = Settled::new();
        for (id, waiting) in &mut self.waiting {
            if asked <= waiting.ends_asked {
                continue;
            }
            match &waiting.need {
                Need::End => {
                    waiting.need =
                        Need::Positions(ends.iter().map(|end| end.high_watermark).collect());
                }
                Need::Token(token) => {
                    if let Some(rejection) = beyond(token, ends) {
                        settled.push((*id, Err(rejection)));
                    }
                }
                Need::Positions(_) => {}
            }
        }
        self.forget(settled)
    }

    /// Everything that the published copy satisfies.
    pub(super) fn on_gate(&mut self, gate: &Gate) -> Settled {
        let reached = |need: &Need| match need {
            Need::End => None,
            Need::Positions(wanted) => {
                let all =
                    gate.positions.iter().zip(wanted).all(|(applied, wanted)| applied >= wanted);
                (gate.live && gate.exact && all).then(|| Ok(Some(wanted.clone())))
            }
            Need::Token(token) => match gate.check_token(token) {
                Err(rejection) => Some(Err(rejection)),
                Ok(()) => gate.holds(token).then_some(Ok(None)),
            },
        };
        let settled = self
            .waiting
            .iter()
            .filter_map(|(id, waiting)| Some((*id, reached(&waiting.need)?)))
            .collect();
        self.forget(settled)
    }

    pub(super) fn expire(&mut self, now: Moment, stall: Option<StallKind>) -> Settled {
        let late = self.waiting.iter().filter(|(_, waiting)| waiting.deadline <= now.mono);
        let settled = late.map(|(id, _)| (*id, Err(Rejection::Deadline { stall }))).collect();
        self.forget(settled)
    }

    pub(super) fn reject_all(&mut self, rejection: &Rejection) -> Settled {
        std::mem::take(&mut self.waiting)
            .into_keys()
            .map(|id| (id, Err(rejection.clone())))
            .collect()
    }

    pub(super) fn timer(&self) -> Option<Duration> {
        self.waiting.values().map(|waiting| waiting.deadline).min()
    }

    fn forget(&mut self, settled: Settled) -> Settled {
        for (id, _) in &settled {
            self.waiting.remove(id);
        }
        settled
    }
}

/// The log as its leaders answer it ends below the token. Proof needs both epochs: a leader whose epoch is
/// below the token's is a deposed one, and a write's token (no epoch) may be newer than any leader known here.
pub(super) fn beyond(token: &Token, ends: &[PartitionEnd]) -> Option<Rejection> {
    token.positions.iter().zip(ends).find_map(|((position, epoch), end)| {
        let current = end.epoch.zip(*epoch).is_some_and(|(answered, epoch)| answered >= epoch);
        let lost = current && end.high_watermark < *position;
        lost.then_some(Rejection::TokenBeyondLog { position: *position, end: end.high_watermark })
    })
}
