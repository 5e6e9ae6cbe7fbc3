//! Reads that wait for a position.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::gate::{Gate, Rejection, Until};
use crate::log::{EndAnswer, KafkaError};
use crate::offset::{Offset, Partition, RequestId};
use crate::phase::Phase;
use crate::stall::StallKind;
use crate::token::Token;

use super::Shared;
use crate::node::event::Reply;

#[derive(Debug, Default)]
pub(in crate::node) struct Awaits {
    waiting: BTreeMap<RequestId, Await>,
}

#[derive(Debug)]
struct Await {
    need: Need,
    /// When it is given up, on the monotonic clock.
    deadline: Duration,
    /// How many questions for the end were asked when this came: only answers to later ones speak about it.
    ends_asked: u64,
}

#[derive(Debug)]
enum Need {
    /// The end of the partition, or of all, as the leaders answer it to a question asked after this came.
    End(Option<Partition>),
    Positions(Vec<Offset>),
    Token(Token),
}

/// The end that was waited for, if one was.
type Reached = Option<Vec<Offset>>;

pub(in crate::node) type Settled = Vec<(RequestId, Result<Reached, Rejection>)>;

impl Awaits {
    pub(in crate::node) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(in crate::node) fn add(
        &mut self,
        id: RequestId,
        until: Until,
        deadline: Duration,
        ends_asked: u64,
    ) {
        let need = match until {
            Until::Latest(of) => Need::End(of),
            Until::AtLeast(token) => Need::Token(token),
        };
        self.waiting.insert(id, Await { need, deadline, ends_asked });
    }

    pub(in crate::node) fn remove(&mut self, id: RequestId) {
        self.waiting.remove(&id);
    }

    /// The leaders answered question number `asked` with these ends.
    pub(in crate::node) fn on_ends(&mut self, asked: u64, ends: &[EndAnswer]) -> Settled {
        let mut settled = Settled::new();
        for (id, waiting) in &mut self.waiting {
            if asked <= waiting.ends_asked {
                continue;
            }
            match &waiting.need {
                Need::End(of) => {
                    if let Some(positions) = wanted(*of, ends) {
                        waiting.need = Need::Positions(positions);
                    }
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

    /// Settles everything that the published copy satisfies.
    pub(in crate::node) fn on_gate(&mut self, gate: &Gate) -> Settled {
        let reached = |need: &Need| match need {
            Need::End(_) => None,
            Need::Positions(wanted) => {
                let all =
                    gate.positions.iter().zip(wanted).all(|(applied, wanted)| applied >= wanted);
                (gate.fed && gate.exact && all).then(|| Ok(Some(wanted.clone())))
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

    /// Settles what waited too long. `leaderless`: the partitions whose leaders did not answer the last question.
    pub(in crate::node) fn expire(
        &mut self,
        now: Moment,
        stall: Option<StallKind>,
        leaderless: &[Partition],
    ) -> Settled {
        let late = self.waiting.iter().filter(|(_, waiting)| waiting.deadline <= now.mono);
        let why = |need: &Need| {
            let partition = leaderless.iter().find(|partition| match need {
                Need::End(of) => of.is_none_or(|of| of == **partition),
                Need::Positions(_) | Need::Token(_) => false,
            });
            match partition {
                Some(partition) => Rejection::Leaderless { partition: *partition },
                None => Rejection::Deadline { stall },
            }
        };
        let settled = late.map(|(id, waiting)| (*id, Err(why(&waiting.need)))).collect();
        self.forget(settled)
    }

    pub(in crate::node) fn reject_all(&mut self, rejection: &Rejection) -> Settled {
        std::mem::take(&mut self.waiting)
            .into_keys()
            .map(|id| (id, Err(rejection.clone())))
            .collect()
    }

    pub(in crate::node) fn timer(&self) -> Option<Duration> {
        self.waiting.values().map(|waiting| waiting.deadline).min()
    }

    fn forget(&mut self, settled: Settled) -> Settled {
        for (id, _) in &settled {
            self.waiting.remove(id);
        }
        settled
    }
}

/// Where `of` ends, or all do, if those leaders answered; zero where nothing is waited for.
fn wanted(of: Option<Partition>, ends: &[EndAnswer]) -> Option<Vec<Offset>> {
    // A recreated topic may lack the partition; then all its ends are waited for.
    let of = of.filter(|of| of.index() < ends.len());
    let wants = |partition| of.is_none_or(|of| of == partition);
    let partitions = (0..).map(Partition).zip(ends);
    let end = |(partition, end): (Partition, &EndAnswer)| match end {
        Ok(end) if wants(partition) => Some(end.high_watermark),
        Err(_) if wants(partition) => None,
        Ok(_) | Err(_) => Some(Offset::ZERO),
    };
    partitions.map(end).collect()
}

/// The log as its leaders answer it ends below the token. Proof needs both epochs: a leader whose epoch is
/// below the token's is a deposed one, and a write's token (no epoch) may be newer than any leader known here.
pub(in crate::node) fn beyond(token: &Token, ends: &[EndAnswer]) -> Option<Rejection> {
    token.positions.iter().zip(ends).find_map(|((position, epoch), end)| {
        let end = end.as_ref().ok()?;
        let current = end.epoch.zip(*epoch).is_some_and(|(answered, epoch)| answered >= epoch);
        let lost = current && end.high_watermark < *position;
        lost.then_some(Rejection::TokenBeyondLog { position: *position, end: end.high_watermark })
    })
}

impl Shared {
    pub(in crate::node) fn settle(&mut self, settled: Settled) {
        for (id, result) in settled {
            let reply = match result {
                Ok(end) => Reply::Reached { end },
                Err(rejection) => Reply::Rejected(rejection),
            };
            self.reply(id, reply);
        }
    }

    pub(in crate::node) fn settle_awaits(&mut self, leaderless: &[(Partition, KafkaError)]) {
        let settled = match &self.phase {
            Phase::Refused(refusal) => self.awaits.reject_all(&Rejection::Refused(refusal.clone())),
            Phase::Stopped => self.awaits.reject_all(&Rejection::Draining),
            Phase::Opening | Phase::Restoring(_) | Phase::CatchingUp | Phase::Ready => {
                self.awaits.on_gate(&self.gate)
            }
        };
        self.settle(settled);
        let stall = self.stalls.first().map(|stall| stall.kind);
        let leaderless: Vec<_> = leaderless.iter().map(|(partition, _)| *partition).collect();
        let late = self.awaits.expire(self.now, stall, &leaderless);
        self.settle(late);
    }
}
