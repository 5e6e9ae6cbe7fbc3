//! O7: a token that no copy can reach any more is refused by name: no read with it waits until its deadline, and
//! none is answered.

use std::collections::BTreeMap;

use outrigger_core::gate::{Rejection, Until};
use outrigger_core::log::{EndAnswer, LogCall, LogEvent, PartitionEnd};
use outrigger_core::node::{Command, Effect, Event, Reply};
use outrigger_core::offset::RequestId;
use outrigger_core::phase::Phase;
use outrigger_core::stall::StallKind;
use outrigger_core::token::Token;

use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Tokens {
    nodes: BTreeMap<usize, Node>,
}

#[derive(Default)]
struct Node {
    /// Questions for the log's ends, of which one at a time is under way.
    asked: u64,
    waiting: BTreeMap<RequestId, Waiting>,
}

struct Waiting {
    token: Token,
    /// How many questions were asked when the read came: their answers say nothing of its token.
    asked: u64,
    /// Why its position will never come, once the node was told.
    hopeless: Option<String>,
}

impl Oracle for Tokens {
    fn id(&self) -> OracleId {
        OracleId::O7
    }

    fn handled(&mut self, node: usize, event: &Event, world: &World) -> Result<(), Wrong> {
        let state = self.nodes.entry(node).or_default();
        state.handled(event);
        state.of_another_topic(node, world);
        if let Event::Log(LogEvent::Ends(ends)) = event {
            state.beyond(node, ends, world);
        }
        Ok(())
    }

    fn effect(&mut self, node: usize, effect: &Effect, _world: &World) -> Result<(), Wrong> {
        let state = self.nodes.entry(node).or_default();
        match effect {
            Effect::Log(LogCall::Ends) => {
                state.asked += 1;
                Ok(())
            }
            Effect::Reply(id, reply) => state.replied(node, *id, reply),
            Effect::Log(_)
            | Effect::Store(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Notice(_) => Ok(()),
        }
    }

    fn forget(&mut self, node: usize) {
        self.nodes.remove(&node);
    }
}

impl Node {
    fn handled(&mut self, event: &Event) {
        if let Event::Command(id, Command::Await { until: Until::AtLeast(token), .. }) = event {
            let (token, asked) = (token.clone(), self.asked);
            self.waiting.insert(*id, Waiting { token, asked, hopeless: None });
        }
    }

    fn replied(&mut self, node: usize, id: RequestId, reply: &Reply) -> Result<(), Wrong> {
        let hopeless = self.waiting.remove(&id).and_then(|waiting| waiting.hopeless);
        let waited =
            matches!(reply, Reply::Reached { .. } | Reply::Rejected(Rejection::Deadline { .. }));
        match hopeless {
            Some(why) if waited => {
                let what = format!("a token that {why} is told: {reply:?}");
                Err(Wrong::of(node, what))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn of_another_topic(&mut self, node: usize, world: &World) {
        if self.waiting.is_empty() {
            return;
        }
        let Some(topic) = world.node(node).gate().topic else {
            return;
        };
        for waiting in self.waiting.values_mut().filter(|waiting| waiting.token.topic != topic) {
            let why = || format!("is topic {}'s, this being {topic},", waiting.token.topic);
            waiting.hopeless.get_or_insert_with(why);
        }
    }

    /// Notes reads whose token is beyond the log: its leaders answer ends below the token, and know its epochs.
    fn beyond(&mut self, node: usize, ends: &[EndAnswer], world: &World) {
        let asked = self.asked;
        let waiting = self.waiting.values_mut().filter(|waiting| waiting.asked < asked);
        for waiting in waiting {
            let Some(why) = below(&waiting.token, ends).filter(|_| is_sound(node, world)) else {
                continue;
            };
            waiting.hopeless.get_or_insert(why);
        }
    }
}

fn below(token: &Token, ends: &[EndAnswer]) -> Option<String> {
    let mut pairs = token.positions.iter().zip(ends);
    pairs.find_map(|((position, epoch), end)| {
        let end = end.as_ref().ok()?;
        let knows = epoch.zip(end.epoch).is_some_and(|(epoch, answers)| answers >= epoch);
        let PartitionEnd { high_watermark, .. } = end;
        let lost = knows && high_watermark < position;
        lost.then(|| format!("saw {position}, where the log ends at {high_watermark},"))
    })
}

/// Whether the node goes by the answer: it does not while its copy is opened anew, or when a deposed leader gave the
/// answer.
fn is_sound(node: usize, world: &World) -> bool {
    let status = world.node(node).status();
    status.phase == Phase::Ready
        && status.stalls.iter().all(|stall| stall.kind != StallKind::StaleLeader)
}
