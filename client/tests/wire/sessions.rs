use outrigger_client::proto::v1::Level as WireLevel;
use outrigger_client::{ErrorKind, Level, Token};

use crate::fake::FakeNode;

fn position(token: Option<Token>) -> u64 {
    token.expect("the session has seen something").position(0)
}

#[tokio::test]
async fn a_session_reads_its_own_writes_and_what_it_has_read() {
    let node = FakeNode::of_topic(1);
    let store = node.client().await.store("s");

    store.get("k").await.expect("read");
    let revision = store.put("k", "v").await.expect("write");
    store.get("k").await.expect("read");

    let state = node.state();
    let [first, second] = &state.reads[..] else { panic!("two reads: {:?}", state.reads) };
    assert_eq!(first.level(), WireLevel::Local);
    assert_eq!(first.token, None);
    assert_eq!(second.level(), WireLevel::AtLeast);
    let demanded = second.token.clone().expect("a token").positions[0].position;
    assert_eq!(demanded, revision.offset + 1);
    let wait_ms = second.wait_ms_max.expect("a bound");
    assert!((1_000..5_000).contains(&wait_ms), "below the deadline, so that the reason arrives");
}

#[tokio::test]
async fn clones_share_a_session_and_a_new_session_has_seen_nothing() {
    let node = FakeNode::of_topic(1);
    let store = node.client().await.store("s");
    store.clone().with_level(Level::Latest).put("k", "v").await.expect("write");
    assert_eq!(position(store.token()), 1);
    assert_eq!(store.new_session().token(), None);
}

#[tokio::test]
async fn a_session_continues_on_another_node() {
    let (here, there) = (FakeNode::of_topic(1), FakeNode::of_topic(1));
    let store = here.client().await.store("s");
    store.put("k", "v").await.expect("write");
    let token = store.token().expect("written").to_bytes();

    let moved = there.client().await.store("s");
    moved.resume(Token::from_bytes(&token).expect("a token")).expect("a fresh session");
    moved.get("k").await.expect("read");
    assert_eq!(there.state().reads[0].level(), WireLevel::AtLeast);
    assert_eq!(position(moved.token()), 1);
}

#[tokio::test]
async fn each_level_demands_what_it_says() {
    let node = FakeNode::of_topic(1);
    let store = node.client().await.store("s");
    store.put("k", "v").await.expect("write");
    for (level, wire, with_token) in [
        (Level::Session, WireLevel::AtLeast, true),
        (Level::Local, WireLevel::Local, false),
        (Level::Latest, WireLevel::Latest, true),
        (Level::Stale, WireLevel::Stale, false),
    ] {
        store.clone().with_level(level).get("k").await.expect("read");
        let read = node.state().reads.pop().expect("recorded");
        assert_eq!((read.level(), read.token.is_some()), (wire, with_token), "{level:?}");
    }
}

#[tokio::test]
async fn a_stale_answer_does_not_move_the_session() {
    let node = FakeNode::of_topic(1);
    let store = node.client().await.store("s");
    store.put("k", "v").await.expect("write");
    node.state().position = 99;

    let read = store.clone().with_level(Level::Stale).read("k").await.expect("read");
    assert_eq!(read.copy.token.position(0), 99);
    assert_eq!(position(store.token()), 1);

    store.clone().with_level(Level::Local).read("k").await.expect("read");
    assert_eq!(position(store.token()), 99);
}

#[tokio::test]
async fn a_session_does_not_forget_the_topic_it_has_seen() {
    let (old, recreated) = (FakeNode::of_topic(1), FakeNode::of_topic(2));
    let store = recreated.client().await.store("s");
    let before = old.client().await.store("s");
    before.put("k", "v").await.expect("write");
    let token = before.token().expect("written");

    store.resume(token.clone()).expect("a fresh session");
    store.put("k", "v").await.expect("the write itself succeeds");
    assert_eq!(store.token(), Some(token.clone()), "the node refuses the next read by name");

    let fresh = store.new_session();
    fresh.put("k", "v").await.expect("write");
    let refused = fresh.resume(token).expect_err("two topics have no order");
    assert_eq!(refused.kind(), ErrorKind::SessionLost);
}
