//! Appending: offsets, order, outcomes, and what comes back.

use std::sync::Arc;

use bytes::Bytes;

use super::fixture::{ONE, P0, TWO, append, appended, delete, expected, next, put, read_to, texts};
use super::{LogUnderTest, MESSAGE_BYTES_MAX};
use crate::log::{LogCall, LogEvent, Write};
use crate::offset::{Offset, RequestId};

pub(super) fn appends_get_ascending_offsets_without_holes(log: &mut dyn LogUnderTest) {
    assert_eq!(appended(log, &[put("a", "1")]), [Offset(0)]);
    assert_eq!(appended(log, &[put("a", "2"), delete("b")]), [Offset(1), Offset(2)]);
    assert_eq!(appended(log, &[put("c", "3")]), [Offset(3)]);
}

pub(super) fn a_call_is_answered_write_by_write_in_its_order(log: &mut dyn LogUnderTest) {
    let writes: Vec<Write> = (0..1_000).map(|n| put(&format!("k{n}"), &format!("v{n}"))).collect();
    let offsets = appended(log, &writes);
    assert_eq!(offsets, (0..1_000).map(Offset).collect::<Vec<_>>());
    let seen = read_to(log, ONE, P0, Offset(0), Offset(1_000));
    for (write, (_, key, value)) in writes.iter().zip(&seen.records) {
        assert_eq!((&write.key[..], write.value.as_deref()), (&key[..], value.as_deref()));
    }
}

pub(super) fn several_calls_under_way_keep_their_order(log: &mut dyn LogUnderTest) {
    const CALLS: u64 = 20;
    for id in 0..CALLS {
        let writes = Arc::from([put("same", &format!("v{id}"))]);
        log.call(ONE, LogCall::Append { id: RequestId(id), writes });
    }
    let mut answers: Vec<(RequestId, Offset)> = Vec::new();
    for _ in 0..CALLS {
        match next(log, ONE) {
            LogEvent::Appended { id, results } => match &results[..] {
                [Ok(revision)] => answers.push((id, revision.offset)),
                other => panic!("a healthy log takes a write: {other:?}"),
            },
            other => panic!("an append was answered by {other:?}"),
        }
    }
    answers.sort_unstable();
    let in_order: Vec<_> = (0..CALLS).map(|n| (RequestId(n), Offset(n))).collect();
    assert_eq!(answers, in_order, "calls of one client are appended in their order");
}

pub(super) fn appended_records_come_back_in_order_where_they_were_acknowledged(
    log: &mut dyn LogUnderTest,
) {
    appended(log, &[put("a", "1"), put("b", "2")]);
    appended(log, &[put("a", "3")]);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(3));
    assert_eq!(
        texts(&seen),
        expected(&[(0, "a", Some("1")), (1, "b", Some("2")), (2, "a", Some("3"))])
    );
    assert_eq!(seen.position, Offset(3));
}

pub(super) fn a_tombstone_and_an_empty_value_are_not_the_same(log: &mut dyn LogUnderTest) {
    appended(log, &[put("gone", "x"), delete("gone"), put("empty", "")]);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(3));
    let all = [(0, "gone", Some("x")), (1, "gone", None), (2, "empty", Some(""))];
    assert_eq!(texts(&seen), expected(&all));
}

pub(super) fn an_empty_key_is_a_key(log: &mut dyn LogUnderTest) {
    appended(log, &[put("", "value of the empty key"), delete("")]);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(2));
    assert_eq!(texts(&seen), expected(&[(0, "", Some("value of the empty key")), (1, "", None)]));
    assert_eq!(seen.keyless, 0);
}

pub(super) fn keys_and_values_are_any_bytes(log: &mut dyn LogUnderTest) {
    let every: Vec<u8> = (0..=255).collect();
    let write = Write {
        partition: P0,
        key: Bytes::from(every.clone()),
        value: Some(Bytes::from_static(&[0, 255, 0, 10, 13, 254])),
    };
    appended(log, &[write]);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(1));
    assert_eq!(seen.records, [(Offset(0), every, Some(vec![0, 255, 0, 10, 13, 254]))]);
}

pub(super) fn a_big_value_comes_back_whole(log: &mut dyn LogUnderTest) {
    let value: Vec<u8> = (0_u8..=250).cycle().take(MESSAGE_BYTES_MAX - 10_000).collect();
    let big = Bytes::from(value.clone());
    appended(log, &[Write { partition: P0, key: Bytes::from_static(b"big"), value: Some(big) }]);
    appended(log, &[put("small", "after")]);
    let seen = read_to(log, ONE, P0, Offset(0), Offset(2));
    let (_, _, read) = seen.records.first().expect("the big record");
    assert!(read.as_deref() == Some(&value[..]), "the value changed on its way");
    assert_eq!(seen.offsets(), [0, 1]);
}

pub(super) fn a_record_too_large_did_certainly_not_happen(log: &mut dyn LogUnderTest) {
    // The value does not compress below the limit in any codec.
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let value: Bytes = (0..4 * MESSAGE_BYTES_MAX).map(|_| noise()).collect();
    let write = Write { partition: P0, key: Bytes::from_static(b"large"), value: Some(value) };
    match &append(log, ONE, &[write])[..] {
        [Err(error)] => assert!(error.not_persisted, "refused for sure: {error:?}"),
        other => panic!("more than max.message.bytes was taken: {other:?}"),
    }
    assert_eq!(appended(log, &[put("a", "1")]), [Offset(0)], "the log is as if it had not been");
    let seen = read_to(log, ONE, P0, Offset(0), Offset(1));
    assert_eq!(texts(&seen), expected(&[(0, "a", Some("1"))]));
}

pub(super) fn clients_read_each_others_appends(log: &mut dyn LogUnderTest) {
    appended(log, &[put("a", "one's")]);
    let results = append(log, TWO, &[put("b", "two's")]);
    assert!(results[0].is_ok(), "{results:?}");
    let both = expected(&[(0, "a", Some("one's")), (1, "b", Some("two's"))]);
    for client in [ONE, TWO] {
        let seen = read_to(log, client, P0, Offset(0), Offset(2));
        assert_eq!(texts(&seen), both, "client {client}");
    }
}
