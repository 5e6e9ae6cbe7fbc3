//! In which order a reader beside the copy's asks the log.

use super::super::reader::{Given, LogReader, Missed, Turn, Wanted};
use super::*;
use crate::fixtures::{OTHER_TOPIC, facts, kafka_error};
use crate::log::{LogCall, LogCallKind, LogEvent, Loss};

const WANTED: Wanted =
    Wanted { partition: Partition(0), from: Offset(3), epoch: Some(Epoch(1)), bytes_max: 9 };
const ASSIGN: LogCall =
    LogCall::Assign { partition: Partition(0), at: Offset(3), epoch: Some(Epoch(1)) };
const FETCH: LogCall = LogCall::Fetch { partition: Partition(0), bytes_max: 9 };
const ASSIGNED: LogEvent = LogEvent::Assigned { partition: Partition(0) };

fn facts_of(topic: crate::topic::TopicId) -> LogEvent {
    LogEvent::Facts(crate::topic::LogFacts { topic, ..facts() })
}

fn failed() -> LogEvent {
    let error = kafka_error(-187, "_ALL_BROKERS_DOWN");
    LogEvent::Failed { call: LogCallKind::Describe, error }
}

/// It has been told of the log, and waits for a batch.
fn fetching() -> LogReader {
    let mut reader = LogReader::default();
    assert_eq!(reader.read(WANTED), LogCall::Describe);
    assert_eq!(reader.on_event(facts_of(TOPIC)), Turn::Call(ASSIGN));
    assert_eq!(reader.on_event(ASSIGNED), Turn::Call(FETCH));
    reader
}

fn fetched() -> LogEvent {
    LogEvent::Fetched(batch(Partition(0), Offset(3), &[(3, 1, b"k", None)]).finish(Offset(4)))
}

#[test]
fn what_the_log_is_after_a_batch_goes_with_it() {
    let mut reader = fetching();
    assert_eq!(reader.on_event(fetched()), Turn::Call(LogCall::Describe));
    let Turn::Answer(Ok(Given { batch, topic })) = reader.on_event(facts_of(OTHER_TOPIC)) else {
        panic!("it was told of both")
    };
    assert_eq!((batch.range.end, topic.topic), (Offset(4), OTHER_TOPIC));
    assert_eq!(reader.read(Wanted { from: Offset(4), ..WANTED }), FETCH, "it goes on");
}

#[test]
fn what_lies_elsewhere_is_assigned_anew() {
    let mut reader = fetching();
    reader.on_event(fetched());
    reader.on_event(facts_of(TOPIC));
    assert_eq!(reader.read(WANTED), ASSIGN);
}

#[test]
fn what_is_lost_is_told() {
    let mut reader = fetching();
    let lost = LogEvent::Lost { partition: Partition(0), loss: Loss::Diverged };
    assert_eq!(reader.on_event(lost), Turn::Answer(Err(Missed::Lost(Loss::Diverged))));
}

/// A partition without a leader fails it for all, until it is known who is silent.
#[test]
fn a_description_that_fails_is_asked_for_again() {
    let again = || Turn::Again(LogCall::Describe);
    let mut reader = LogReader::default();
    reader.read(WANTED);
    assert_eq!(reader.on_event(failed()), again());
    assert_eq!(reader.on_event(facts_of(TOPIC)), Turn::Call(ASSIGN));
    reader.on_event(ASSIGNED);
    reader.on_event(fetched());
    assert_eq!(reader.on_event(failed()), again());
    let given = reader.on_event(facts_of(TOPIC));
    assert!(matches!(given, Turn::Answer(Ok(_))), "{given:?}");
}

/// The next batch may be of a leader that has not heard of what was asked for.
#[test]
fn what_follows_a_proof_or_the_end_of_the_log_is_assigned_anew() {
    let proof = Wanted { bytes_max: Wanted::PROOF_BYTES, ..WANTED };
    let at_end = batch(Partition(0), Offset(3), &[(3, 1, b"k", None)]).at_end(Offset(4), None);
    for (wanted, event) in [(proof, fetched()), (WANTED, LogEvent::Fetched(at_end))] {
        let mut reader = LogReader::default();
        reader.read(wanted);
        for event in [facts_of(TOPIC), ASSIGNED, event, facts_of(TOPIC)] {
            reader.on_event(event);
        }
        let next = Wanted { from: Offset(4), ..WANTED };
        assert!(matches!(reader.read(next), LogCall::Assign { .. }), "{wanted:?}");
    }
}

#[test]
fn a_partition_that_is_not_there_is_lost() {
    let mut reader = LogReader::default();
    reader.read(Wanted { partition: Partition(7), ..WANTED });
    let lost = Turn::Answer(Err(Missed::Lost(Loss::OutOfRange)));
    assert_eq!(reader.on_event(facts_of(TOPIC)), lost);
    let known = Wanted { partition: Partition(0), ..WANTED };
    assert_eq!(reader.read(known), LogCall::Describe, "it is another topic");
}
