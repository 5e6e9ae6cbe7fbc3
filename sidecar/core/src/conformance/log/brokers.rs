//! Several brokers: what survives a leader, what waits for replicas, what an unclean leader loses.

use std::sync::Arc;

use super::fixture::{
    CREDIT, ONE, P0, TWO, append, appended, assign, ends, expected, fetch, fetched, foreign, loss,
    next, put, read_on, read_to, silence, texts,
};
use super::{LogUnderTest, Turn, Verdict};
use crate::log::{EndAnswer, KafkaError, LogCall, LogCallKind, LogEvent, Loss, Write};
use crate::offset::{Offset, Partition, RequestId, Revision};

const CALLS: u64 = 20;

fn numbered(numbers: std::ops::Range<u64>) -> Vec<Write> {
    numbers.map(|n| put(&format!("k{n}"), "value")).collect()
}

/// One record each; the answers come later.
fn begin_appends(log: &mut dyn LogUnderTest, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let writes: Arc<[Write]> = numbered(number..number + 1).into();
        log.call(ONE, LogCall::Append { id: RequestId(number), writes });
    }
}

fn answer(log: &mut dyn LogUnderTest) -> (u64, Result<Revision, KafkaError>) {
    match next(log, ONE) {
        LogEvent::Appended { id, mut results } => {
            (id.0, results.pop().expect("one write, one result"))
        }
        other => panic!("an append was answered by {other:?}"),
    }
}

/// A try that the old leader passed on is known to the new one, one that it did not is made again.
pub(super) fn appends_under_way_when_their_leader_dies_land_once(log: &mut dyn LogUnderTest) {
    appended(log, &[put("before", "x")]);
    begin_appends(log, 0..CALLS);
    log.turn_broker(P0, Turn::KillLeader);
    begin_appends(log, CALLS..2 * CALLS);
    let mut offsets = Vec::new();
    for expected in 0..2 * CALLS {
        let (number, told) = answer(log);
        assert_eq!(number, expected, "calls are answered in their order");
        offsets.push(told.expect("two brokers are enough").offset.0);
    }
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    let end = ends(log, ONE)[0];
    let seen = read_to(log, TWO, P0, Offset(0), end.high_watermark);
    let keys = (0..2 * CALLS).map(|n| format!("k{n}").into_bytes());
    let wanted: Vec<(u64, Vec<u8>)> = offsets.into_iter().zip(keys).collect();
    let read: Vec<(u64, Vec<u8>)> =
        seen.records.into_iter().skip(1).map(|(offset, key, _)| (offset.0, key)).collect();
    assert_eq!(read, wanted, "each once, where it was acknowledged");
    log.turn_broker(P0, Turn::Heal);
}

/// The record waits until the controller holds the replica for dead: then two are enough.
pub(super) fn a_record_that_a_replica_lacks_is_neither_read_nor_acknowledged(
    log: &mut dyn LogUnderTest,
) {
    appended(log, &[put("a", "1")]);
    read_to(log, TWO, P0, Offset(0), Offset(1));
    log.turn_broker(P0, Turn::CutOffFollower);
    begin_appends(log, 0..1);
    log.call(TWO, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    silence(log, TWO);
    silence(log, ONE);
    let (_, told) = answer(log);
    assert_eq!(told.expect("two brokers are enough").offset, Offset(1));
    let batch = fetched(log, TWO, P0).expect("the position is valid");
    assert_eq!(batch.range, Offset(1)..Offset(2));
    log.turn_broker(P0, Turn::Heal);
}

pub(super) fn a_new_leader_hides_what_the_old_one_hid(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1")]);
    log.open_transaction(P0, &[foreign("a", "aborted")]);
    log.end_transaction(Verdict::Abort);
    read_to(log, ONE, P0, Offset(0), Offset(3));
    log.open_transaction(P0, &[foreign("a", "undecided")]);
    log.turn_broker(P0, Turn::KillLeader);
    assert_eq!(appended(log, &[put("b", "behind it")]), [Offset(4)]);
    let seen = read_to(log, TWO, P0, Offset(0), Offset(3));
    assert_eq!(texts(&seen), expected(&[(0, "a", Some("1"))]));
    assert_eq!(seen.position, Offset(3), "the open transaction is open under the new leader");
    log.end_transaction(Verdict::Abort);
    let seen = read_on(log, TWO, P0, Offset(3), Offset(6));
    assert_eq!(texts(&seen), expected(&[(4, "b", Some("behind it"))]));
    log.turn_broker(P0, Turn::Heal);
}

/// `NOT_ENOUGH_REPLICAS` is retried unseen: nothing is written before there are enough again.
pub(super) fn too_few_replicas_in_sync_hold_an_append_back(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "1")]);
    log.turn_broker(P0, Turn::LoseFollower);
    begin_appends(log, 0..1);
    silence(log, ONE);
    assert_eq!(ends(log, TWO)[0].high_watermark, Offset(1));
    log.turn_broker(P0, Turn::Heal);
    let (_, told) = answer(log);
    assert_eq!(told.expect("three are in sync again").offset, Offset(1));
    assert_eq!(read_to(log, TWO, P0, Offset(0), Offset(2)).offsets(), [0, 1]);
}

pub(super) fn a_partition_without_a_leader_holds_up_no_answer_about_the_others(
    log: &mut dyn LogUnderTest,
) {
    let beside = Partition(1);
    assert!(ends(log, ONE).iter().all(|end| end.high_watermark == Offset(0)));
    log.turn_broker(P0, Turn::KillLeader);
    let known = ends_until(log, |ends| ends[0].is_err());
    assert!(known[1..].iter().all(Result::is_ok), "{known:?}");
    let LogEvent::Leaderless { topic, partition, error } = ask(log, LogCall::Describe) else {
        panic!("the topic is known, and not where P0 ends")
    };
    assert_eq!((topic.partitions, partition), (3, P0), "{error}");
    let offset = log.append(beside, &[foreign("beside", "x")])[0];
    let LogEvent::Ends(grown) = ask(log, LogCall::Ends) else { panic!("the other leaders answer") };
    assert!(grown[0].is_err(), "{grown:?}");
    assert_eq!(grown[1].as_ref().map(|end| end.high_watermark), Ok(offset.next()));
    log.turn_broker(P0, Turn::Heal);
    ends_until(log, |ends| ends.iter().all(Result::is_ok));
}

fn ask(log: &mut dyn LogUnderTest, call: LogCall) -> LogEvent {
    log.call(ONE, call);
    next(log, ONE)
}

/// Asks again until the leaders answer so: which of them are gone is not known at once.
fn ends_until(log: &mut dyn LogUnderTest, wanted: impl Fn(&[EndAnswer]) -> bool) -> Vec<EndAnswer> {
    for _ in 0..100 {
        match ask(log, LogCall::Ends) {
            LogEvent::Ends(ends) if wanted(&ends) => return ends,
            LogEvent::Ends(_) | LogEvent::Failed { call: LogCallKind::Ends, .. } => {
                silence(log, ONE);
            }
            other => panic!("Ends was answered by {other:?}"),
        }
    }
    panic!("the leaders never answer as they should")
}

pub(super) fn what_an_out_of_sync_leader_lacks_is_lost(log: &mut dyn LogUnderTest) {
    appended(log, &numbered(0..10));
    log.turn_broker(P0, Turn::KillFollower);
    appended(log, &numbered(10..15));
    let epoch = read_to(log, ONE, P0, Offset(0), Offset(15)).epochs.last().expect("an epoch").0;
    let before = ends(log, ONE)[0].epoch;
    log.call(ONE, LogCall::Fetch { partition: P0, bytes_max: CREDIT });
    log.turn_broker(P0, Turn::KillLeader);
    log.turn_broker(P0, Turn::StartFirst);
    let others: Vec<_> = (0..10).map(|n| foreign(&format!("other{n}"), "value")).collect();
    assert_eq!(log.append(P0, &others)[0], Offset(10), "it goes on where its own log ends");
    // The position is out of range where the reader looked before the log had grown again.
    match fetched(log, ONE, P0) {
        Err(Loss::OutOfRange | Loss::Diverged) => {}
        Err(Loss::UnknownEpoch) => panic!("the leader leads in a later epoch"),
        Ok(batch) => panic!("the other history was read on: {batch:?}"),
    }
    assert_eq!(loss(log, TWO, Offset(15), Some(epoch)), Loss::Diverged);
    assign(log, TWO, P0, Offset(10), Some(epoch));
    let batch = fetch(log, TWO, P0, 1).expect("both histories have what is below");
    assert_eq!(batch.records().next().map(|record| record.key), Some(&b"other0"[..]));
    assert!(ends(log, TWO)[0].epoch > before, "the new leader leads in a later epoch");
    log.turn_broker(P0, Turn::Heal);
    let seen = read_to(log, TWO, P0, Offset(0), Offset(20));
    assert_eq!(seen.offsets(), (0..20).collect::<Vec<_>>());
    goes_on_appending(log);
}

/// The new leader lacks the end of this producer's sequence: librdkafka gives the producer up, with what
/// it was about to write, and the adapter makes another one, in time.
fn goes_on_appending(log: &mut dyn LogUnderTest) {
    let given_up = append(log, ONE, &[put("given up", "x")]).remove(0);
    let error = given_up.expect_err("out of its order");
    assert!(!error.not_persisted, "it was sent: {error}");
    for _ in 0..100 {
        if append(log, ONE, &[put("after", "x")])[0].is_ok() {
            return;
        }
        silence(log, ONE);
    }
    panic!("appends go on failing");
}
