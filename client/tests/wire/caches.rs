use std::convert::Infallible;
use std::str;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outrigger_client::proto::v1::{ErrorDetail, Reason};
use outrigger_client::{Cache, CacheError, ErrorKind, Store, Token, Watch, WatchPoint};
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::timeout;

use crate::fake::FakeNode;
use crate::told::{
    Told, again, at, broken, change, changes_of, progress, rows, started, state_end, token,
    unauthenticated,
};

/// Everything else is a wait for ever.
const MINUTE: Duration = Duration::from_secs(60);

type Numbers = Cache<u64>;

async fn open(store: &Store, watch: Watch) -> Result<Numbers, CacheError> {
    store.cache(watch, |_key, value| str::from_utf8(value).expect("digits").parse::<u64>()).await
}

/// A cache of `a` = 1 and `b` = 2 at point 2, and what its watch is told from then on.
async fn cache() -> (FakeNode, Store, Numbers, Sender<Told>) {
    let node = FakeNode::of_topic(1);
    let told = live(&node);
    for first in [started(None), rows([("a", "1"), ("b", "2")]), state_end(2)] {
        told.send(first).await.expect("the node listens");
    }
    let store = node.client().await.store("s");
    let cache = open(&store, Watch::all()).await.expect("it opens");
    (node, store, cache, told)
}

/// What the next watch is told.
fn live(node: &FakeNode) -> Sender<Told> {
    let (sender, receiver) = channel(16);
    node.state().live.push_back(receiver);
    sender
}

async fn tell(told: &Sender<Told>, what: Told) {
    told.send(what).await.expect("the cache watches");
}

fn position(position: u64) -> Token {
    Token::try_from(token(position)).expect("a token")
}

async fn reached(cache: &Numbers, at: u64) {
    cache.reached(&position(at)).await.expect("it comes as far");
}

fn shown(cache: &Numbers) -> Vec<(String, u64)> {
    let snapshot = cache.snapshot();
    let row = |(key, value): (&[u8], Result<&u64, _>)| {
        (String::from_utf8_lossy(key).into_owned(), *value.expect("decoded"))
    };
    snapshot.iter().map(row).collect()
}

fn expected(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
}

fn kind(error: CacheError) -> ErrorKind {
    match error {
        CacheError::Watch(error) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cache_is_what_its_watch_told_up_to_a_point() {
    let (_node, store, cache, told) = cache().await;
    assert_eq!(shown(&cache), expected(&[("a", 1), ("b", 2)]));
    assert_eq!((cache.get("a").unwrap().as_deref(), cache.get("c").unwrap()), (Some(&1), None));
    let before = cache.snapshot();

    tell(&told, change("c", Some("3"), 2, None)).await;
    tell(&told, change("a", None, 3, at(4))).await;
    reached(&cache, 4).await;
    assert_eq!(shown(&cache), expected(&[("b", 2), ("c", 3)]));
    assert_eq!(cache.token(), position(4));
    assert_eq!(store.token(), Some(position(4)), "reads beside it are no older");
    assert_eq!((before.len(), before.get("a").unwrap()), (2, Some(&1)), "it stays as it was");

    let keys = |from: &str, end: Option<&[u8]>| {
        let snapshot = cache.snapshot();
        let keys = snapshot.range(from, end).map(|(key, _)| key.to_vec());
        keys.collect::<Vec<_>>().concat()
    };
    assert_eq!((keys("b", Some(b"c")), keys("bb", None)), (b"b".to_vec(), b"c".to_vec()));
    assert_eq!(cache.snapshot().prefix("c").count(), 1);
}

/// Half of what belongs together is never seen: here the first half is known to be taken, because an interruption after it is.
#[tokio::test]
async fn changes_are_shown_when_their_point_has_come_also_over_an_interruption() {
    let (node, _store, mut cache, told) = cache().await;
    let second = live(&node);
    tell(&told, change("a", Some("7"), 2, None)).await;
    tell(&told, broken()).await;
    until_interrupted(&cache).await;
    assert_eq!(shown(&cache), expected(&[("a", 1), ("b", 2)]));

    for what in [started(at(2)), change("a", Some("7"), 2, None), change("b", Some("8"), 3, at(4))]
    {
        tell(&second, what).await;
    }
    cache.changed().await.expect("it has changed");
    assert_eq!(shown(&cache), expected(&[("a", 7), ("b", 8)]));
    assert!(cache.interrupted().is_none(), "it goes on");
}

async fn until_interrupted(cache: &Numbers) {
    let interrupted = async {
        while cache.interrupted().is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(MINUTE, interrupted).await.expect("it is interrupted");
}

#[tokio::test]
async fn a_state_that_comes_again_takes_the_place_of_the_old_one_at_its_end() {
    let (_node, _store, mut cache, told) = cache().await;
    for what in [again(), rows([("b", "5")]), again(), rows([("b", "6"), ("c", "7")])] {
        tell(&told, what).await;
    }
    // All of that has been taken when the channel is empty, but for the last message or two.
    while told.capacity() < told.max_capacity() {
        tokio::task::yield_now().await;
        assert_eq!(shown(&cache), expected(&[("a", 1), ("b", 2)]), "readers see whole states");
    }
    tell(&told, state_end(9)).await;
    cache.changed().await.expect("it has changed");
    assert_eq!(shown(&cache), expected(&[("b", 6), ("c", 7)]), "`a` was deleted meanwhile");
}

#[tokio::test]
async fn each_handle_is_told_of_each_change_once_and_misses_none() {
    let (_node, _store, mut cache, told) = cache().await;
    let mut other = cache.clone();
    tell(&told, change("a", Some("7"), 2, at(3))).await;
    reached(&cache, 3).await;
    cache.changed().await.expect("it was changed before it was asked");
    tell(&told, progress(4)).await;
    reached(&cache, 4).await;
    assert!(timeout(Duration::ZERO, cache.changed()).await.is_err(), "a point is no change");

    let waiting = tokio::spawn(async move { cache.changed().await });
    tell(&told, change("b", None, 4, at(5))).await;
    waiting.await.expect("no panic").expect("it is woken");
    other.changed().await.expect("what another handle was told of");
    assert!(timeout(Duration::ZERO, other.changed()).await.is_err(), "both at once");
}

#[tokio::test]
async fn a_value_that_cannot_be_decoded_fails_the_opening_with_its_key() {
    let node = FakeNode::of_topic(1);
    let script = vec![started(None), rows([("a", "1"), ("b", "two")]), state_end(2)];
    node.state().watches.push_back(script);
    match open(&node.client().await.store("s"), Watch::all()).await {
        Err(CacheError::Undecodable(row)) => {
            assert_eq!((&row.key()[..], &row.value()[..]), (&b"b"[..], &b"two"[..]));
            assert!(row.to_string().contains("`b`") && row.to_string().contains("invalid digit"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_that_comes_later_is_told_and_its_key_fails_until_it_is_mended() {
    let (_node, _store, mut cache, told) = cache().await;
    tell(&told, change("a", Some("one"), 2, at(3))).await;
    let row = match cache.changed().await {
        Err(CacheError::Undecodable(row)) => row,
        other => panic!("{other:?}"),
    };
    assert_eq!((&row.key()[..], row.revision().offset), (&b"a"[..], 2));
    assert!(matches!(cache.get("a"), Err(CacheError::Undecodable(_))), "not what it was before");
    assert_eq!(cache.get("b").unwrap().as_deref(), Some(&2), "the others are there");
    assert_eq!(cache.snapshot().iter().filter(|(_, value)| value.is_err()).count(), 1);

    // In a state it is told, too.
    for what in [again(), rows([("a", "one")]), state_end(4)] {
        tell(&told, what).await;
    }
    assert!(matches!(cache.changed().await, Err(CacheError::Undecodable(_))));
    tell(&told, change("a", Some("1"), 4, at(5))).await;
    cache.changed().await.expect("nothing is wrong any more");
    assert_eq!(shown(&cache), expected(&[("a", 1)]));
}

#[tokio::test]
async fn a_value_that_was_mended_before_its_point_is_not_told() {
    let (_node, _store, mut cache, told) = cache().await;
    tell(&told, change("a", Some("one"), 2, None)).await;
    tell(&told, change("a", Some("1"), 3, at(4))).await;
    cache.changed().await.expect("no value of it was wrong at any point");

    tell(&told, change("a", Some("one"), 4, None)).await;
    tell(&told, change("b", Some("two"), 5, None)).await;
    tell(&told, change("b", None, 6, at(7))).await;
    match cache.changed().await {
        Err(CacheError::Undecodable(row)) => assert_eq!(row.key(), "a"),
        other => panic!("{other:?}"),
    }
}

/// As where a log is read that was compacted: there is no point for long.
#[tokio::test]
async fn of_what_changes_between_two_points_the_last_value_of_each_key_is_kept() {
    let node = FakeNode::of_topic(1);
    let batches = (0..100).map(|batch| {
        changes_of(|_| "a".to_owned(), (0..1_000).map(|n| 2 * (batch * 1_000 + n)), None)
    });
    let script = [started(None), rows([("a", "1")]), state_end(0)];
    let end = progress(200_000);
    node.state().watches.push_back(script.into_iter().chain(batches).chain([end]).collect());
    let (value, most) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
    let (each, seen) = (Arc::clone(&value), Arc::clone(&most));
    let decode = move |_key: &[u8], _value: &[u8]| {
        seen.fetch_max(Arc::strong_count(&each), Ordering::Relaxed);
        Ok::<_, Infallible>(Arc::clone(&each))
    };
    let store = node.client().await.store("s").with_read_deadline(MINUTE);
    let cache = store.cache(Watch::all(), decode).await.expect("it opens");
    cache.reached(&position(200_000)).await.expect("it comes as far");
    assert_eq!(
        (cache.len(), Arc::strong_count(&value)),
        (1, 3),
        "those of test, cache and `decode`"
    );
    assert!(most.load(Ordering::Relaxed) <= 4, "{most:?}: what is shown, and what comes next");
}

#[tokio::test]
async fn a_token_that_was_taken_away_ends_no_cache_whose_client_has_another() {
    let (node, _store, mut cache, told) = cache().await;
    let second = live(&node);
    tell(&told, unauthenticated()).await;
    until_interrupted(&cache).await;
    assert_eq!(shown(&cache), expected(&[("a", 1), ("b", 2)]));
    for what in [started(at(2)), change("b", Some("8"), 2, at(3))] {
        tell(&second, what).await;
    }
    cache.changed().await.expect("it goes on");
    assert_eq!(shown(&cache), expected(&[("a", 1), ("b", 8)]));
}

#[tokio::test]
async fn what_trying_again_does_not_mend_ends_it_and_is_told_to_everybody() {
    let (_node, _store, mut cache, told) = cache().await;
    let waits = cache.clone();
    let waiting = tokio::spawn(async move { waits.reached(&position(99)).await });
    tell(&told, Err(ErrorDetail::new(Reason::NotAllowed, "not any more").into())).await;
    assert_eq!(kind(cache.changed().await.unwrap_err()), ErrorKind::Refused);
    assert_eq!(kind(waiting.await.expect("no panic").unwrap_err()), ErrorKind::Refused);
    assert_eq!(kind(cache.get("a").unwrap_err()), ErrorKind::Refused);
    assert_eq!(kind(cache.reached(&position(99)).await.unwrap_err()), ErrorKind::Refused);
    assert_eq!(shown(&cache), expected(&[("a", 1), ("b", 2)]), "what it was is still known");
}

#[tokio::test]
async fn a_panic_of_decode_ends_it_and_nobody_waits_for_ever() {
    let node = FakeNode::of_topic(1);
    let told = live(&node);
    for first in [started(None), state_end(2)] {
        tell(&told, first).await;
    }
    let decode = |key: &[u8], _value: &[u8]| -> Result<(), String> { panic!("at {key:?}") };
    let store = node.client().await.store("s");
    let mut cache = store.cache(Watch::all(), decode).await.expect("there is nothing to decode");
    tell(&told, change("a", Some("1"), 2, at(3))).await;
    assert!(matches!(cache.changed().await, Err(CacheError::Stopped)));
    assert!(matches!(cache.get("a"), Err(CacheError::Stopped)));
    assert!(matches!(cache.reached(&position(3)).await, Err(CacheError::Stopped)));
}

#[tokio::test]
async fn a_wait_for_a_token_ends_with_its_deadline_and_at_once_for_one_of_another_topic() {
    let (node, store, _cache, _told) = cache().await;
    node.state().watches.push_back(vec![started(None), state_end(2), broken()]);
    let store = store.with_read_deadline(Duration::from_millis(200));
    let cache = open(&store, Watch::all()).await.expect("it opens");
    until_interrupted(&cache).await;
    let late = cache.reached(&position(3)).await.unwrap_err();
    assert!(matches!(kind(late), ErrorKind::Unavailable | ErrorKind::Deadline));
    let mut other = token(1);
    other.topic_id = vec![2; 16].into();
    let other = Token::try_from(other).expect("a token");
    assert_eq!(kind(cache.reached(&other).await.unwrap_err()), ErrorKind::SessionLost);
    reached(&cache, 2).await;
}

#[tokio::test]
async fn the_watch_ends_with_the_last_handle() {
    let (_node, _store, cache, told) = cache().await;
    let other = cache.clone();
    drop(cache);
    tell(&told, change("a", Some("7"), 2, at(3))).await;
    reached(&other, 3).await;
    drop(other);
    timeout(MINUTE, told.closed()).await.expect("the node is told that the caller has gone");
}

#[tokio::test]
async fn a_cache_begins_with_the_state_and_opens_whole_or_not_at_all() {
    let (node, store, _cache, _told) = cache().await;
    let point = WatchPoint::try_from(at(1).expect("made above")).expect("a point");
    for watch in [Watch::all().from_now(), Watch::all().from_point(point)] {
        assert_eq!(kind(open(&store, watch).await.unwrap_err()), ErrorKind::Invalid);
    }
    node.state().watches.push_back(vec![started(None), rows([("a", "1")]), broken()]);
    let broken_off = open(&store, Watch::all()).await.unwrap_err();
    assert_eq!(kind(broken_off), ErrorKind::Unavailable);
    assert!(node.state().watched.iter().all(|asked| asked.progress_ms <= 1_000));
}
