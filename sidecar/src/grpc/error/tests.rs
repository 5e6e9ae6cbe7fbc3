//! Every failure has its name, and says what to do.

use outrigger_core::offset::{Offset, Partition};
use outrigger_core::phase::{Cause, PolicyFault};
use outrigger_core::topic::{Identity, TopicId};

use super::*;

fn identity() -> Identity {
    Identity {
        store: "notes".to_owned(),
        cluster: "c1".to_owned(),
        topic: TopicId([7; 16]),
        partitions: 3,
    }
}

fn deadline(stall: Option<StallKind>) -> Rejection {
    Rejection::Deadline { stall }
}

#[test]
fn every_rejection_has_its_name_and_says_what_to_do() {
    let policy = Refusal::Policy(PolicyFault::Cleanup("delete".to_owned()));
    let incomplete =
        Refusal::LogIncomplete { partition: Partition(0), log_start: Offset(5), position: None };
    let (token, topic) = (TopicId([1; 16]), TopicId([2; 16]));
    let table = [
        (Rejection::NotReady(Phase::Opening), Reason::NotReady),
        (Rejection::NotReady(Phase::Ready), Reason::NotReady),
        (Rejection::NotReady(Phase::Restoring(Cause::Empty)), Reason::Restoring),
        (Rejection::NotReady(Phase::CatchingUp), Reason::Restoring),
        (Rejection::NotReady(Phase::Refused(policy.clone())), Reason::RefusedTopicPolicy),
        (Rejection::NotReady(Phase::Stopped), Reason::Draining),
        (Rejection::Refused(policy), Reason::RefusedTopicPolicy),
        (Rejection::Refused(incomplete), Reason::RefusedLogIncomplete),
        (Rejection::Refused(Refusal::Cancelled), Reason::RefusedCancelled),
        (Rejection::NoRestore(Phase::Ready), Reason::WrongPhase),
        (Rejection::NotCancelled(Phase::Ready), Reason::WrongPhase),
        (Rejection::Draining, Reason::Draining),
        (Rejection::TooStale { age_ms: 5, max_ms: 4 }, Reason::TooStale),
        (Rejection::TokenOfAnotherTopic { token, topic }, Reason::TokenOfAnotherTopic),
        (Rejection::TokenMalformed { has: 2, partitions: 1 }, Reason::TokenInvalid),
        (Rejection::TokenOfAnotherHistory, Reason::TokenOfAnotherHistory),
        (Rejection::TokenBeyondLog { position: Offset(9), end: Offset(3) }, Reason::TokenBeyondLog),
        (
            Rejection::Passed { partition: Partition(0), at: Offset(3), is: Offset(9) },
            Reason::PositionPassed,
        ),
        (Rejection::Overloaded, Reason::Overloaded),
        (deadline(None), Reason::DeadlineExceeded),
        (deadline(Some(StallKind::LogUnreachable)), Reason::LogUnavailable),
        (deadline(Some(StallKind::LeaderUnavailable)), Reason::LogUnavailable),
        (deadline(Some(StallKind::TopicGone)), Reason::LogUnavailable),
        (deadline(Some(StallKind::Authorisation)), Reason::Authorisation),
        (deadline(Some(StallKind::OpenTransaction)), Reason::DeadlineExceeded),
        (deadline(Some(StallKind::StoreFull)), Reason::DeadlineExceeded),
    ];
    for (rejection, reason) in table {
        let detail = of_rejection(&rejection);
        assert_eq!(detail.reason(), reason, "{rejection:?}");
        assert!(!detail.may_have_happened, "{rejection:?} changed nothing");
        assert!(!detail.message.is_empty() && !detail.what_to_do.is_empty(), "{rejection:?}");
    }
}

#[test]
fn a_foreign_copy_is_refused_with_both_names() {
    let found = Identity { cluster: "c2".to_owned(), ..identity() }.to_string();
    let refusal = Refusal::Identity { found: found.clone(), expected: identity() };
    let detail = of_rejection(&Rejection::Refused(refusal));
    assert_eq!(detail.reason(), Reason::RefusedIdentity);
    assert!(
        detail.message.contains(&found) && detail.message.contains(&identity().to_string()),
        "{detail:?}"
    );
}

fn kafka(code: i32, name: &str) -> KafkaError {
    KafkaError { code, name: name.to_owned(), not_persisted: true }
}

#[test]
fn a_write_that_did_not_happen_and_one_in_doubt_are_apart() {
    let table = [
        (kafka(-192, "_MSG_TIMED_OUT"), Reason::WriteDidNotHappen),
        (kafka(19, "NOT_ENOUGH_REPLICAS"), Reason::WriteDidNotHappen),
        (kafka(10, "MSG_SIZE_TOO_LARGE"), Reason::WriteDidNotHappen),
        (kafka(29, "TOPIC_AUTHORIZATION_FAILED"), Reason::Authorisation),
        (kafka(-184, "_QUEUE_FULL"), Reason::Overloaded),
    ];
    for (error, reason) in table {
        let definite = write_did_not_happen(&error);
        assert_eq!(definite.reason(), reason, "{error}");
        assert!(!definite.may_have_happened, "{error}");
        assert_eq!(definite.kafka_error, error.name);
        let doubt = write_unknown(&error);
        assert_eq!(doubt.reason(), Reason::WriteUnknown, "{error}");
        assert!(doubt.may_have_happened, "{error}");
        assert_eq!(doubt.kafka_error, error.name);
    }
}

#[test]
fn a_failed_disk_is_named_and_not_the_callers_fault() {
    for kind in [StoreErrorKind::Full, StoreErrorKind::Io, StoreErrorKind::Corrupt] {
        let detail = of_store_error(&StoreError { kind, detail: "block 7".to_owned() });
        assert_eq!(detail.reason(), Reason::StoreFailed);
        assert!(detail.message.contains("block 7") && !detail.what_to_do.is_empty());
    }
}
