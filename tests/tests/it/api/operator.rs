//! What operators, probes and tools ask a node.

use std::time::{Duration, Instant};

use outrigger_proto::v1::{Phase, StatusRequest, WatchStatusRequest};
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::{Node, One, in_time, policy};

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_everything_about_a_ready_store() {
    let one = One::ready().await;
    let client = one.node.client().await;
    let store = client.store("notes");
    for number in 0..10 {
        store.put(number.to_string(), "v").await.expect("a write");
    }
    let applied = store.get("9").await.expect("a read");
    assert!(applied.is_some());
    let node = client.status().await.expect("a status");
    assert_eq!((&node.version[..], node.stores.len()), (env!("CARGO_PKG_VERSION"), 1));
    let status = in_time(async {
        // A status is published a few times a second.
        loop {
            let status = store.status().await.expect("a status");
            if status.partitions.first().is_some_and(|partition| partition.position == 10) {
                return status;
            }
        }
    })
    .await;
    assert_eq!((&status.store[..], &status.topic[..]), ("notes", "topic-of-notes"));
    assert_eq!((status.phase(), status.exact), (Phase::Ready, true));
    assert_eq!(&status.topic_id[..], &one.log.topic().0);
    assert!(!status.cluster_id.is_empty() && status.stalls.is_empty() && status.restore.is_none());
    assert!(status.generation.is_some() && status.generation == status.fed_generation);
    assert!(status.confirmed_age_ms.is_some_and(|age| age < 60_000));
    assert_eq!((status.lag_records, status.partitions[0].log_end), (Some(0), 10));
    assert!(status.warnings.iter().any(|warning| warning.contains("replica")), "{status:?}");
    assert_eq!(status.digest, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_at_the_same_position_have_the_same_digest() {
    let one = One::ready().await;
    let other = Node::start(&one.dir.path().join("other"), &[("notes", &one.log)]).await;
    other.ready().await;
    let (here, there) = (one.node.client().await, other.client().await);
    let (here, there) = (here.store("notes"), there.store("notes"));
    for number in 0..300 {
        here.put((number % 100).to_string(), number.to_string()).await.expect("a write");
    }
    here.delete("50").await.expect("a delete");
    there.resume(here.token().expect("it wrote")).expect("the same topic");
    assert!(here.get("50").await.expect("a read").is_none());
    assert!(there.get("50").await.expect("a read").is_none());
    let digest = |status: outrigger_client::StoreStatus| status.digest.expect("a digest");
    let mine = digest(here.status_with_digest().await.expect("a status"));
    let theirs = digest(there.status_with_digest().await.expect("a status"));
    assert_eq!((mine.rows, mine.sum.len()), (99, 16));
    assert_eq!(mine, theirs);
    here.put("50", "again").await.expect("a write");
    assert!(here.get("50").await.expect("a read").is_some());
    let changed = digest(here.status_with_digest().await.expect("a status"));
    assert_ne!(changed.sum, mine.sum);
    assert_eq!(changed.rows, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_not_there_has_no_digest() {
    let mut unsafe_policy = policy();
    unsafe_policy.cleanup = "delete".to_owned();
    let one = One::of(unsafe_policy).await;
    let request = StatusRequest { with_digest: true, ..StatusRequest::default() };
    let answer = one.node.admin().await.status(request).await.expect("a status").into_inner();
    assert_eq!(answer.node.expect("a node").stores[0].digest, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_states_follow_changes_and_keep_their_distance() {
    let one = One::ready().await;
    let client = one.node.client().await;
    let request = WatchStatusRequest { store: "notes".to_owned(), interval_ms: 150 };
    let answers = one.node.admin().await.watch_status(request).await.expect("a stream");
    let mut answers = answers.into_inner();
    let first = in_time(answers.next()).await.expect("one at once").expect("a state");
    assert_eq!(first.node.expect("a node").stores[0].phase(), Phase::Ready);
    let begun = Instant::now();
    let store = client.store("notes");
    let mut messages = 0;
    in_time(async {
        for number in 1.. {
            store.put("k", number.to_string()).await.expect("a write");
            let state = answers.next().await.expect("no end").expect("a state");
            messages += 1;
            if state.node.expect("a node").stores[0].partitions[0].position >= 5 {
                return;
            }
        }
    })
    .await;
    let least = Duration::from_millis(150) * (messages - 1);
    assert!(begun.elapsed() >= least, "{messages} messages in {:?}", begun.elapsed());
}

pub(super) async fn health(channel: &Channel, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel.clone()).check(request).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

pub(super) async fn channel(node: &Node) -> Channel {
    Channel::from_shared(node.http.clone()).expect("an address").connect().await.expect("a node")
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_liveness_and_readiness_apart() {
    let one = One::ready().await;
    let ready = channel(&one.node).await;
    for service in ["", "liveness", "readiness", "outrigger.v1.Store", "outrigger.v1.Store/notes"] {
        in_time(async {
            while health(&ready, service).await != Ok(ServingStatus::Serving) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    assert_eq!(health(&ready, "outrigger.v1.Store/other").await, Err(Code::NotFound));

    let mut unsafe_policy = policy();
    unsafe_policy.cleanup = "delete".to_owned();
    let refusing = One::of(unsafe_policy).await;
    let refusing = channel(&refusing.node).await;
    // Its first calls find every service named already.
    assert_eq!(health(&refusing, "").await, Ok(ServingStatus::Serving));
    assert_eq!(health(&refusing, "readiness").await, Ok(ServingStatus::NotServing));
    assert_eq!(health(&refusing, "outrigger.v1.Store").await, Ok(ServingStatus::NotServing));
}

/// Python's grpcio-reflection and older tools speak it.
#[tokio::test(flavor = "multi_thread")]
async fn reflection_answers_in_its_older_version_too() {
    use tonic_reflection::pb::v1alpha as old;

    let one = One::ready().await;
    let channel = channel(&one.node).await;
    let mut reflection = old::server_reflection_client::ServerReflectionClient::new(channel);
    let symbol = "outrigger.v1.ReadOptions".to_owned();
    let message_request =
        Some(old::server_reflection_request::MessageRequest::FileContainingSymbol(symbol));
    let ask = old::ServerReflectionRequest { host: String::new(), message_request };
    let answers = reflection.server_reflection_info(tokio_stream::iter([ask])).await;
    let mut answers = answers.expect("a stream").into_inner();
    let answer = answers.next().await.expect("an answer").expect("an answer").message_response;
    assert!(
        matches!(
            answer,
            Some(old::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
        ),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_describes_the_services() {
    let one = One::ready().await;
    let mut reflection = ServerReflectionClient::new(channel(&one.node).await);
    let ask = |request| {
        let message_request = Some(request);
        tokio_stream::iter([ServerReflectionRequest { host: String::new(), message_request }])
    };
    let list = ask(MessageRequest::ListServices(String::new()));
    let answers = reflection.server_reflection_info(list).await.expect("a stream");
    let answer = answers.into_inner().next().await.expect("an answer").expect("an answer");
    let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = services.service.iter().map(|service| &service.name[..]).collect();
    for name in ["outrigger.v1.Store", "outrigger.v1.Admin", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }
    // The second is in the details of every error.
    for symbol in ["outrigger.v1.Reason", "google.rpc.ErrorInfo"] {
        let symbol = ask(MessageRequest::FileContainingSymbol(symbol.to_owned()));
        let answers = reflection.server_reflection_info(symbol).await.expect("a stream");
        let answer = answers.into_inner().next().await.expect("an answer").expect("an answer");
        assert!(
            matches!(answer.message_response, Some(MessageResponse::FileDescriptorResponse(_))),
            "{answer:?}"
        );
    }
}
