//! Orders of effects that no oracle on contents would see.

mod ask;
mod awaits;
mod cancel;
mod clocks;
mod confirmations;
mod exactness;
mod gather;
mod heard;
mod keeping_up;
mod leaderless;
mod losses;
mod notices;
mod only_peers;
mod opening;
mod peers;
mod pins;
mod policy;
mod ring;
mod slow_store;
mod stalls;
mod throttle;
mod unheard;
mod writes;

use super::*;
use crate::batch::{Batch, BatchBuilder};
use crate::clock::{Clock, Moment};
use crate::fixtures::{
    DAY_MS, G1, G2, G3, G4, OTHER_TOPIC, P0, P1, TOPIC, copy, corrupt, end, epochs, facts, intact,
    kafka_error, records, token_at,
};
use crate::lineage::Lineage;
use crate::log::LogCall;
use crate::log::LogCallKind;
use crate::offset::{Epoch, Offset};
use crate::store::StoreCallKind;
use crate::store::{Found, StoreCall};
use crate::time::Now;
use crate::topic::TopicPolicy;
use crate::watch::ring::RingNews;

const SECOND: Duration = Duration::from_secs(1);
const JUST: Duration = Duration::from_millis(1);

/// What a gap makes inexact is applied as it comes, also beside a READY copy.
const GAPS_AT_ONCE: Limits = Limits { gap_wait_max: Duration::ZERO, ..Limits::PRODUCTION };

struct Driven {
    node: Node,
    now: Now,
}

fn batch(from: u64, key: &[u8]) -> Batch {
    let mut builder = BatchBuilder::new(P0, 1, Offset(from));
    builder.push(Offset(from), None, Some(key), Some(b"v"));
    builder.finish(Offset(from + 1))
}

fn ends(high_watermark: u64, epoch: Option<u32>) -> LogEvent {
    LogEvent::Ends(vec![Ok(end(high_watermark, epoch))])
}

impl Driven {
    /// A node that has asked for the log's facts.
    fn new(limits: Limits) -> Driven {
        let now = Now { mono: Duration::from_secs(10), wall_ms: 1_000_000 };
        Driven { node: Node::new("s".to_owned(), limits, now), now }
    }

    /// A node that rebuilds from a log with these facts, before its assignment is answered.
    fn rebuilding(facts: LogFacts, limits: Limits) -> Driven {
        let mut driven = Driven::new(limits);
        driven.log(LogEvent::Facts(facts));
        driven.store(StoreEvent::Found(Found::Nothing));
        driven.done(StoreCallKind::Create);
        driven
    }

    /// A READY node of an empty log, with a credit out.
    fn reading() -> Driven {
        Driven::ready(facts(), Limits::PRODUCTION)
    }

    fn ready(facts: LogFacts, limits: Limits) -> Driven {
        let partitions = facts.identity("s").partitions;
        let mut driven = Driven::rebuilding(facts, limits);
        for partition in Partition::all(partitions) {
            driven.log(LogEvent::Assigned { partition });
        }
        // The question of the start, then the one that the first flush waits for.
        driven.log(LogEvent::TopicId(TOPIC));
        driven.log(LogEvent::TopicId(TOPIC));
        driven.done(StoreCallKind::Flush);
        driven.done(StoreCallKind::Activate);
        driven.effects();
        assert_eq!(driven.node.shared.phase, Phase::Ready);
        driven
    }

    fn event(&mut self, event: Event) {
        self.node.handle(self.now, event);
    }

    fn log(&mut self, event: LogEvent) {
        self.event(Event::Log(event));
    }

    fn store(&mut self, event: StoreEvent) {
        self.event(Event::Store(event));
    }

    fn done(&mut self, call: StoreCallKind) {
        self.store(StoreEvent::Done { call, generation: G1 });
    }

    /// A batch comes and is applied.
    fn takes(&mut self, batch: Batch) {
        let position = batch.range.end;
        self.log(LogEvent::Fetched(batch));
        self.store(StoreEvent::Applied { generation: G1, partition: P0, position });
    }

    /// The topic is asked for, found unchanged, and what waited for that is done.
    fn flushed(&mut self) -> bool {
        self.log(LogEvent::TopicId(TOPIC));
        self.event(Event::Timer);
        self.log(LogEvent::TopicId(TOPIC));
        flushes(&self.effects())
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.now.wall_ms += u64::try_from(time.as_millis()).unwrap();
        self.event(Event::Timer);
    }

    /// Without what whoever watches is told.
    fn effects(&mut self) -> Vec<Effect> {
        let effects = std::iter::from_fn(|| self.node.poll());
        effects.filter(|effect| !matches!(effect, Effect::Ring(_))).collect()
    }

    /// What whoever watches is told; everything else is forgotten.
    fn ring_news(&mut self) -> Vec<RingNews> {
        let effects = std::iter::from_fn(|| self.node.poll());
        let news = |effect| match effect {
            Effect::Ring(news) => Some(news),
            Effect::Log(_)
            | Effect::Store(_)
            | Effect::Peer(_)
            | Effect::Reply(..)
            | Effect::Notice(_) => None,
        };
        effects.filter_map(news).collect()
    }

    fn replies(&mut self) -> Vec<(u64, Reply)> {
        let reply = |effect| match effect {
            Effect::Reply(RequestId(id), reply) => Some((id, reply)),
            Effect::Log(_)
            | Effect::Store(_)
            | Effect::Peer(_)
            | Effect::Ring(_)
            | Effect::Notice(_) => None,
        };
        self.effects().into_iter().filter_map(reply).collect()
    }
}

fn applies(effects: &[Effect]) -> usize {
    let apply = |effect: &&Effect| matches!(effect, Effect::Store(StoreCall::Apply { .. }));
    effects.iter().filter(apply).count()
}

fn flushes(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Store(StoreCall::Flush { .. })))
}

/// librdkafka does not notice a recreated topic: what was fetched after the question may be foreign.
#[test]
fn nothing_fetched_after_the_topic_was_asked_for_is_in_the_flush() {
    let mut driven = Driven::reading();
    driven.log(LogEvent::Fetched(batch(0, b"a")));
    assert_eq!(applies(&driven.effects()), 1);
    driven.store(StoreEvent::Applied { generation: G1, partition: P0, position: Offset(1) });

    driven.pass(Limits::PRODUCTION.flush_interval);
    assert!(driven.effects().contains(&Effect::Log(LogCall::TopicId)), "asked before the flush");
    driven.log(LogEvent::Facts(facts()));
    driven.log(LogEvent::Fetched(batch(1, b"b")));
    let held = driven.effects();
    assert!(applies(&held) == 0 && !flushes(&held), "held back until the answer: {held:?}");

    driven.log(LogEvent::TopicId(TOPIC));
    let released = driven.effects();
    let flush =
        released.iter().position(|effect| matches!(effect, Effect::Store(StoreCall::Flush { .. })));
    let apply =
        released.iter().position(|effect| matches!(effect, Effect::Store(StoreCall::Apply { .. })));
    assert!(flush.unwrap() < apply.unwrap(), "first the flush, then what was held: {released:?}");
}

#[test]
fn a_recreated_topic_is_closed_without_a_flush() {
    let mut driven = Driven::reading();
    driven.log(LogEvent::Fetched(batch(0, b"a")));
    driven.pass(Limits::PRODUCTION.flush_interval);
    driven.effects();
    driven.log(LogEvent::TopicId(OTHER_TOPIC));
    let effects = driven.effects();
    assert!(!flushes(&effects), "{effects:?}");
    assert!(effects.contains(&Effect::Store(StoreCall::Close { generation: G1 })), "{effects:?}");
}

#[test]
fn a_slow_store_is_not_overrun() {
    let mut driven = Driven::reading();
    let bytes_max = Limits::PRODUCTION.fetch_bytes_max;
    let credit = Effect::Log(LogCall::Fetch { partition: P0, bytes_max });
    let mut sent = 0;
    loop {
        driven.log(LogEvent::Fetched(batch(sent, b"a")));
        sent += 1;
        assert!(sent < 100, "overrun");
        if !driven.effects().contains(&credit) {
            break;
        }
    }
    assert_eq!(usize::try_from(sent).unwrap(), Limits::PRODUCTION.applying_batches_max);
}

#[test]
fn a_drain_does_not_wait_for_ever_for_the_log() {
    let mut driven = Driven::reading();
    driven.event(Event::Command(RequestId(1), Command::Write(Vec::new())));
    driven.event(Event::Command(RequestId(2), Command::Drain));
    driven.pass(Limits::PRODUCTION.drain_max);
    assert!(driven.effects().contains(&Effect::Store(StoreCall::Close { generation: G1 })));
    driven.done(StoreCallKind::Close);
    assert!(driven.effects().contains(&Effect::Reply(RequestId(2), Reply::Drained)));
}
