//! What whoever watches is told of what a node reads.

use super::*;
use crate::watch::ring::{Applied, Origin};

fn applied(news: &[RingNews]) -> Vec<Applied> {
    let applied = news.iter().filter_map(|news| match news {
        RingNews::Applied(applied) => Some(applied.clone()),
        RingNews::Begun { .. } | RingNews::Retention { .. } => None,
    });
    applied.collect()
}

fn begun(news: &[RingNews]) -> Vec<&RingNews> {
    news.iter().filter(|news| matches!(news, RingNews::Begun { .. })).collect()
}

/// A read after an event must see it.
#[test]
fn a_batch_is_told_of_once_the_store_has_it() {
    let mut driven = Driven::reading();
    driven.ring_news();
    driven.log(LogEvent::Fetched(batch(0, b"a")));
    assert_eq!(driven.ring_news(), []);
    driven.store(StoreEvent::Applied { generation: G1, partition: P0, position: Offset(1) });
    let news = applied(&driven.ring_news());
    assert_eq!(news.len(), 1);
    assert_eq!(*news[0].batch(), batch(0, b"a"));
}

/// A confirmation that is only the beginning of a rebuild says nothing of what came before it.
#[test]
fn below_its_target_a_rebuild_confirms_nothing() {
    let mut driven = Driven::rebuilding(facts().reaching(0, 2), Limits::PRODUCTION);
    driven.log(LogEvent::Assigned { partition: P0 });
    driven.takes(batch(0, b"a"));
    driven.takes(batch(1, b"b"));
    let news = applied(&driven.ring_news());
    let confirmed: Vec<_> = news.iter().map(Applied::confirmed_at_ms).collect();
    assert_eq!(confirmed, [None, Some(1_000_000)]);
}

#[test]
fn every_reading_begins_with_where_it_is_read_from() {
    let mut driven = Driven::reading();
    let news = driven.ring_news();
    assert!(begun(&news).is_empty(), "the rebuild that it is has begun before: {news:?}");
    driven.log(LogEvent::Lost { partition: P0, loss: crate::log::Loss::OutOfRange });
    driven.pass(Limits::PRODUCTION.retry_max);
    driven.done(StoreCallKind::Close);
    driven.log(LogEvent::Facts(facts()));
    let lineage = Lineage::empty(1_000_000, DAY_MS);
    driven.store(StoreEvent::Found(copy(intact(G1, [lineage.clone()]), None)));
    let from = vec![Origin::of(&lineage)];
    assert_eq!(begun(&driven.ring_news()), [&RingNews::Begun { topic: TOPIC, from }]);
}

#[test]
fn what_is_heard_of_the_retention_is_told() {
    let mut driven = Driven::reading();
    driven.ring_news();
    driven.log(LogEvent::Facts(facts().retaining(7_000)));
    let heard = RingNews::Retention { delete_retention_ms: 7_000, at: driven.now.mono };
    assert!(driven.ring_news().contains(&heard));
}
