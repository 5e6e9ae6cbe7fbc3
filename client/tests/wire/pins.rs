use std::time::Duration;

use outrigger_client::proto::v1;
use outrigger_client::{ErrorKind, Reason, Token};

use crate::fake::FakeNode;

fn token() -> Token {
    let token = v1::Token { topic_id: vec![1; 16].into(), positions: Vec::new() };
    Token::try_from(token).expect("a token")
}

#[tokio::test]
async fn a_pin_tells_its_sums_and_then_its_rows_page_by_page() {
    let client = FakeNode::of_topic(1).client().await;
    let mut pinned = client.pin("a", &token(), Duration::ZERO).await.expect("pinned");
    assert_eq!(pinned.buckets().len(), 3);
    let (first, more) = pinned.rows(&[1, 2], None).await.expect("a page");
    assert!(more && first[0].key.is_empty());
    let (second, more) = pinned.rows(&[1, 2], Some(first[0].key.clone())).await.expect("a page");
    assert_eq!((&second[0].key[..], more), (&b"+"[..], false));
}

#[tokio::test]
async fn a_position_that_was_passed_is_told_by_name() {
    let client = FakeNode::of_topic(1).client().await;
    let error = client.pin("passed", &token(), Duration::ZERO).await.expect_err("too late");
    assert_eq!(
        (error.reason(), error.kind()),
        (Some(Reason::PositionPassed), ErrorKind::Unavailable)
    );
    assert!(!error.may_have_happened());
}
