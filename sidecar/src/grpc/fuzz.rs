//! Requests as anybody may send them: each is refused by name, or is what its caller said.

use bytes::Bytes;
use outrigger_core::gate::{Gate, ReadLevel};
use outrigger_core::limits::Limits;
use outrigger_core::offset::Offset;
use outrigger_core::token::Token;
use outrigger_core::topic::TopicId;
use outrigger_proto::limits::ROW_BYTES_MAX;
use outrigger_proto::v1::scan_request::Keys;
use outrigger_proto::v1::verify_request::Ask;
use outrigger_proto::v1::write_item::Action;
use outrigger_proto::v1::{
    self, DeleteRequest, ErrorDetail, GetRequest, KeyRange, PartitionPosition, PinRequest,
    PutRequest, ReadOptions, ScanRequest, VerifyRequest, WriteItem, WriteRequest,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

use super::convert;
use super::deadline::CallDeadline;
use super::write::Patience;
use crate::config::Ack;
use crate::mutation::{mutated, mutations};

const TOPIC: TopicId = TopicId([7; 16]);

fn gates() -> [Gate; 3] {
    let positions = vec![Offset(100); 3];
    [Gate::closed(), Gate { topic: Some(TOPIC), positions, ..Gate::closed() }, {
        Gate { topic: Some(TOPIC), ..Gate::closed() }
    }]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..12).prop_map(Bytes::from)
}

fn tokens() -> impl Strategy<Value = v1::Token> {
    let topic = prop_oneof![3 => Just(Bytes::from_static(&[7; 16])), 1 => bytes()];
    let position = prop_oneof![0..200_u64, Just(i64::MAX.unsigned_abs()), any::<u64>()];
    let position = (0..5_u32, position, any::<Option<u32>>()).prop_map(
        |(partition, position, leader_epoch)| PartitionPosition {
            partition,
            position,
            leader_epoch,
        },
    );
    (topic, vec(position, 0..4)).prop_map(|(topic_id, positions)| v1::Token { topic_id, positions })
}

fn reads() -> impl Strategy<Value = Option<ReadOptions>> {
    let level = prop_oneof![9 => 0..6_i32, 1 => any::<i32>()];
    let rest = (any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u64>>());
    option::weighted(
        0.9,
        (level, option::of(tokens()), rest).prop_map(
            |(level, token, (max_staleness_ms, wait_ms_max, row_bytes_max))| ReadOptions {
                level,
                token,
                max_staleness_ms,
                wait_ms_max,
                row_bytes_max,
            },
        ),
    )
}

fn keys() -> impl Strategy<Value = Option<Keys>> {
    prop_oneof![
        Just(None),
        bytes().prop_map(|prefix| Some(Keys::Prefix(prefix))),
        (bytes(), option::of(bytes()))
            .prop_map(|(start, end)| Some(Keys::Range(KeyRange { start, end }))),
    ]
}

fn assert_clear(detail: &ErrorDetail) {
    assert!(!detail.message.is_empty() && !detail.what_to_do.is_empty(), "{detail:?}");
    assert!(!detail.may_have_happened && detail.reason() != v1::Reason::Unspecified, "{detail:?}");
    assert!(detail.message.len() < 1_000, "{detail:?}");
}

fn judge_token(token: v1::Token) {
    for gate in gates() {
        match convert::core_token(&token, &gate) {
            Ok(taken) => assert_comes_back(&taken, &gate),
            Err(detail) => assert_clear(&detail),
        }
    }
}

fn assert_comes_back(token: &Token, gate: &Gate) {
    assert_eq!(convert::core_token(&convert::token(token), gate).as_ref(), Ok(token));
}

fn judge_read(options: Option<ReadOptions>) {
    assert!(convert::row_bytes_max(options.as_ref()) <= ROW_BYTES_MAX);
    for gate in gates() {
        match convert::read(options.as_ref(), None, &gate) {
            Ok(read) => {
                let asked = options.clone().unwrap_or_default();
                assert_eq!(read.demand.staleness_ms_max, asked.max_staleness_ms);
                let token = match read.demand.level {
                    ReadLevel::AtLeast(token) => Some(token),
                    ReadLevel::Stale | ReadLevel::Local | ReadLevel::Latest => read.demand.first,
                };
                assert_eq!(token.is_some(), asked.token.is_some(), "a token is never left out");
                if let Some(token) = &token {
                    assert_comes_back(token, &gate);
                }
                CallDeadline::NONE.wait(read.wait_ms_max);
            }
            Err(detail) => assert_clear(&detail),
        }
    }
}

fn judge_scan(request: ScanRequest) {
    let ScanRequest { keys, read, large_rows, .. } = request;
    judge_read(read);
    match convert::range(keys.clone()) {
        Ok(range) => {
            assert!(range.end.as_ref().is_none_or(|end| range.start <= *end), "{range:?}");
            if let Some(Keys::Prefix(prefix)) = keys {
                let last = [&prefix[..], &[u8::MAX; 40]].concat();
                assert!(range.start <= last && range.end.is_none_or(|end| last < end));
            }
        }
        Err(detail) => assert_clear(&detail),
    }
    if let Err(detail) = convert::large_rows(large_rows) {
        assert_clear(&detail);
    }
}

fn judge_item(item: WriteItem) {
    let (limits, asked) = (Limits::PRODUCTION, item.clone());
    match convert::change(item, &limits) {
        Ok(change) => {
            let value = match asked.action {
                Some(Action::Put(value)) => Some(value),
                Some(Action::Delete(_)) | None => None,
            };
            assert_eq!((change.key, change.value), (asked.key, value));
        }
        Err(detail) => assert_clear(&detail),
    }
}

fn judge_patience(ack: i32, wait_ms_max: Option<u64>) {
    if let Err(detail) = Patience::of(ack, Ack::default(), wait_ms_max, CallDeadline::NONE) {
        assert_clear(&detail);
    }
}

/// Judges the same bytes as every request that there is.
fn judge_bytes(bytes: &[u8]) {
    if let Ok(GetRequest { read, .. }) = GetRequest::decode(bytes) {
        judge_read(read);
    }
    if let Ok(request) = ScanRequest::decode(bytes) {
        judge_scan(request);
    }
    if let Ok(PutRequest { key, value, wait_ms_max, ack, .. }) = PutRequest::decode(bytes) {
        judge_item(WriteItem { key, action: Some(Action::Put(value)) });
        judge_patience(ack, wait_ms_max);
    }
    if let Ok(DeleteRequest { key, wait_ms_max, ack, .. }) = DeleteRequest::decode(bytes) {
        judge_item(WriteItem { key, action: Some(Action::Delete(v1::Tombstone {})) });
        judge_patience(ack, wait_ms_max);
    }
    if let Ok(WriteRequest { items, wait_ms_max, ack, .. }) = WriteRequest::decode(bytes) {
        for item in items {
            judge_item(item);
        }
        judge_patience(ack, wait_ms_max);
    }
    if let Ok(VerifyRequest { ask: Some(ask) }) = VerifyRequest::decode(bytes) {
        match ask {
            Ask::Pin(PinRequest { at, .. }) => {
                if let Some(token) = at {
                    judge_token(token);
                }
            }
            Ask::Rows(request) => {
                if let Err(detail) = super::verify::wanted(&request.buckets) {
                    assert_clear(&detail);
                }
            }
        }
    }
    if let Ok(token) = v1::Token::decode(bytes) {
        judge_token(token);
    }
}

proptest! {
    #[test]
    fn a_request_is_refused_by_name_or_is_what_was_said(
        read in reads(), keys in keys(), large_rows in prop_oneof![0..4_i32, any::<i32>()],
        key in bytes(), value in bytes(), wait_ms_max: Option<u64>,
        ack in prop_oneof![0..4_i32, any::<i32>()], mutations in mutations(),
    ) {
        let scan = ScanRequest { keys, read: read.clone(), large_rows, ..ScanRequest::default() };
        judge_scan(scan.clone());
        let get = GetRequest { key: key.clone(), read, ..GetRequest::default() };
        let item = WriteItem { key: key.clone(), action: Some(Action::Put(value.clone())) };
        let write = WriteRequest { items: vec![item.clone(); 2], wait_ms_max, ack, ..WriteRequest::default() };
        let put = PutRequest { key, value, wait_ms_max, ack, ..PutRequest::default() };
        judge_item(item);
        for bytes in [scan.encode_to_vec(), get.encode_to_vec(), write.encode_to_vec(), put.encode_to_vec()] {
            judge_bytes(&mutated(&bytes, &mutations));
        }
    }

    #[test]
    fn bytes_that_are_none_do_no_harm(bytes in vec(any::<u8>(), 0..300)) {
        judge_bytes(&bytes);
    }
}
