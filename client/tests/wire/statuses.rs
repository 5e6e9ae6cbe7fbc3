use std::time::Duration;

use outrigger_client::ErrorKind;
use outrigger_client::proto::v1::Phase;

use crate::fake::FakeNode;

#[tokio::test]
async fn a_node_tells_of_all_its_stores_and_a_handle_of_its_own() {
    let client = FakeNode::of_topic(1).client().await;
    let names: Vec<_> = client.status().await.expect("status").stores;
    assert_eq!(names.len(), 2);

    let status = client.store("b").status().await.expect("status");
    assert_eq!((status.store.as_str(), status.phase()), ("b", Phase::Ready));
    assert_eq!(status.digest, None);
    let with_digest = client.store("b").status_with_digest().await.expect("status");
    assert_eq!(with_digest.digest.expect("asked for").rows, 3);
}

#[tokio::test]
async fn a_nameless_handle_on_a_node_with_several_stores_has_no_status() {
    let client = FakeNode::of_topic(1).client().await;
    let error = client.store("").status().await.expect_err("which one?");
    assert_eq!(error.kind(), ErrorKind::Broken);
    assert!(error.to_string().contains("name one"), "{error}");
}

#[tokio::test]
async fn a_watch_tells_one_state_after_another_and_ends_with_the_node() {
    let client = FakeNode::of_topic(1).client().await;
    let mut watch = client.store("b").watch_status(Duration::ZERO).await.expect("a watch");
    let mut phases = Vec::new();
    while let Some(status) = watch.next().await {
        phases.push(status.expect("a status").phase());
    }
    assert_eq!(phases, [Phase::Restoring, Phase::CatchingUp, Phase::Ready]);

    let mut watch = client.watch_status(Duration::ZERO).await.expect("a watch");
    let node = watch.next().await.expect("one").expect("a status");
    assert_eq!(node.stores.len(), 2);
}
