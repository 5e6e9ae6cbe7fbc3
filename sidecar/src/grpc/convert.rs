//! Protobuf to core and back, for reads and writes: the one place that knows both forms.
//!
//! What comes in is checked here, before anything is touched; what goes out cannot fail. Status has its own
//! file, because it only goes out.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use outrigger_core::digest::Digest;
use outrigger_core::gate::{Gate, ReadLevel, Rejection};
use outrigger_core::keys::{self, Range};
use outrigger_core::limits::Limits;
use outrigger_core::node::Change;
use outrigger_core::offset::{Epoch, Offset, Partition, Revision};
use outrigger_core::read::Demand;
use outrigger_core::token::Token;
use outrigger_core::topic::TopicId;
use outrigger_core::watch::cursor::CursorName;
use outrigger_core::watch::point::Point;
use outrigger_core::watch::watcher::OnLost;
use outrigger_proto::limits::{ROW_BYTES_DEFAULT, ROW_BYTES_MAX};
use outrigger_proto::v1;
use outrigger_proto::v1::key_selector::Keys as Selected;
use outrigger_proto::v1::scan_request::Keys;
use outrigger_proto::v1::write_item::Action;
use outrigger_proto::v1::{ErrorDetail, KeyRange, KeySelector, ReadOptions, WriteItem};

use super::deadline::CallDeadline;
use super::error;
use super::walk::LargeRows;
use crate::config::Ack;

/// Kafka's offsets are 63 bits wide.
const POSITION_MAX: u64 = i64::MAX.unsigned_abs();

/// The shortest pause that a caller may ask for between messages.
const PAUSE_MIN_MS: u32 = 100;

/// What a read asks of the copy, and how long it waits for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) demand: Demand,
    pub(super) wait_ms_max: Option<u64>,
}

/// Checks what a read asks for. `key`: the only one that is read; none: all keys may be.
pub(super) fn read(
    options: Option<&ReadOptions>,
    key: Option<&[u8]>,
    gate: &Gate,
) -> Result<Read, ErrorDetail> {
    let none = ReadOptions::default();
    let options = options.unwrap_or(&none);
    let level = v1::Level::try_from(options.level).map_err(|_| {
        let message = format!("the level {} is not known to this node", options.level);
        error::invalid_request(message, "use one of the levels of outrigger.v1, or a newer node")
    })?;
    let token = options.token.as_ref().map(|token| core_token(token, gate)).transpose()?;
    let (first, level) = match (level, token) {
        (v1::Level::Stale, None) => (None, ReadLevel::Stale),
        (v1::Level::Unspecified | v1::Level::Local, None) => (None, ReadLevel::Local),
        (v1::Level::AtLeast, Some(token)) => (None, ReadLevel::AtLeast(token)),
        (v1::Level::Latest, first) => (first, ReadLevel::Latest),
        (v1::Level::AtLeast, None) => {
            let what_to_do = "give the token that the answer must include, or read at LEVEL_LOCAL";
            return Err(error::invalid_request("LEVEL_AT_LEAST needs a token", what_to_do));
        }
        (level @ (v1::Level::Unspecified | v1::Level::Stale | v1::Level::Local), Some(_)) => {
            let message = format!("{} does not keep the promise of a token", level.as_str_name());
            return Err(error::invalid_request(
                message,
                "read at LEVEL_AT_LEAST, or without the token",
            ));
        }
    };
    let partition = key.and_then(|key| gate.partition_of(key));
    let demand = Demand { level, partition, first, staleness_ms_max: options.max_staleness_ms };
    Ok(Read { demand, wait_ms_max: options.wait_ms_max })
}

/// Returns a token as the store's topic understands it: one position for each partition.
pub(super) fn core_token(token: &v1::Token, gate: &Gate) -> Result<Token, ErrorDetail> {
    let topic = core_topic(token)?;
    if let Some(own) = gate.topic
        && own != topic
    {
        return Err(error::of_rejection(&Rejection::TokenOfAnotherTopic {
            token: topic,
            topic: own,
        }));
    }
    // Without positions no phase admits a read that has a token: the gate refuses it by name.
    let partitions = gate.positions.len();
    let mut positions = vec![None; partitions];
    for at in &token.positions {
        check_position(at)?;
        let index =
            usize::try_from(at.partition).expect("usize holds 32 bits on every supported platform");
        match positions.get_mut(index) {
            Some(free @ None) => *free = Some((Offset(at.position), at.leader_epoch.map(Epoch))),
            Some(Some(_)) => return Err(named_twice(at)),
            None if partitions == 0 => {}
            None => {
                let message = format!(
                    "the token names partition {}, and the topic has {partitions}",
                    at.partition
                );
                return Err(error::token_invalid(message));
            }
        }
    }
    let positions = positions.into_iter().map(|at| at.unwrap_or((Offset::ZERO, None))).collect();
    Ok(Token { topic, positions })
}

fn check_position(at: &v1::PartitionPosition) -> Result<(), ErrorDetail> {
    if at.position <= POSITION_MAX {
        return Ok(());
    }
    let message = format!("the token's position in partition {} is above 2^63 - 1", at.partition);
    Err(error::token_invalid(message))
}

fn named_twice(at: &v1::PartitionPosition) -> ErrorDetail {
    error::token_invalid(format!("the token names partition {} twice", at.partition))
}

fn core_topic(token: &v1::Token) -> Result<TopicId, ErrorDetail> {
    let topic = <[u8; 16]>::try_from(&token.topic_id[..]).map(TopicId);
    topic.map_err(|_| {
        let bytes = token.topic_id.len();
        error::token_invalid(format!("the token's topic id has {bytes} bytes, not 16"))
    })
}

pub(super) fn token(token: &Token) -> v1::Token {
    let positions = (0_u32..).zip(&token.positions).map(|(partition, (position, epoch))| {
        v1::PartitionPosition {
            partition,
            position: position.0,
            leader_epoch: epoch.map(|epoch| epoch.0),
        }
    });
    v1::Token { topic_id: topic_id(token.topic), positions: positions.collect() }
}

/// Returns what a session must include to see its own writes: a position for each partition that has one.
pub(super) fn token_of_writes(
    topic: TopicId,
    written: impl IntoIterator<Item = (Partition, Offset)>,
) -> v1::Token {
    let positions = written.into_iter().map(|(partition, position)| v1::PartitionPosition {
        partition: partition.0,
        position: position.0,
        leader_epoch: None,
    });
    v1::Token { topic_id: topic_id(topic), positions: positions.collect() }
}

pub(super) fn digest(digest: &Digest, token: Option<v1::Token>) -> v1::Digest {
    v1::Digest { sum: digest.sum.to_be_bytes().to_vec().into(), rows: digest.rows, token }
}

pub(super) fn topic_id(topic: TopicId) -> Bytes {
    Bytes::copy_from_slice(&topic.0)
}

pub(super) fn revision(revision: Revision) -> v1::Revision {
    v1::Revision { partition: revision.partition.0, offset: revision.offset.0 }
}

pub(super) fn bytes(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a size fits 64 bits")
}

pub(super) fn point(point: &Point) -> v1::WatchPoint {
    let Point { token: at, confirmed_at_ms } = point;
    v1::WatchPoint { token: Some(token(at)), confirmed_at_ms: *confirmed_at_ms }
}

/// Returns a point with the partitions that it names. One of another topic, or from before the topic got a partition, is none
/// of the caller's mistakes, and nothing is made up for it: what becomes of the watch is the node's to say.
pub(super) fn core_point(point: &v1::WatchPoint) -> Result<Point, ErrorDetail> {
    let at = point.token.as_ref().ok_or_else(|| error::token_invalid("the point has no token"))?;
    let topic = core_topic(at)?;
    let mut named = BTreeMap::new();
    for at in &at.positions {
        check_position(at)?;
        if named.insert(at.partition, (Offset(at.position), at.leader_epoch.map(Epoch))).is_some() {
            return Err(named_twice(at));
        }
    }
    // Where it names others than the first ones, no topic has just these: it is of none.
    let first = (0_u32..).zip(named.keys()).all(|(partition, named)| partition == *named);
    let positions = if first { named.into_values().collect() } else { Vec::new() };
    Ok(Point { token: Token { topic, positions }, confirmed_at_ms: point.confirmed_at_ms })
}

pub(super) fn cursor_name(name: &str) -> Result<CursorName, ErrorDetail> {
    name.parse().map_err(|wrong| error::cursor_name(name, &wrong))
}

pub(super) fn on_lost(asked: i32) -> Result<OnLost, ErrorDetail> {
    match v1::OnLost::try_from(asked) {
        Ok(v1::OnLost::Unspecified | v1::OnLost::State) => Ok(OnLost::State),
        Ok(v1::OnLost::Fail) => Ok(OnLost::Fail),
        Err(_) => Err(unknown("on_lost", asked)),
    }
}

/// Returns the bytes of key and value that a caller takes in one row.
pub(super) fn row_bytes_max(options: Option<&ReadOptions>) -> usize {
    let asked = options.and_then(|options| options.row_bytes_max);
    let max = asked.map(|max| usize::try_from(max).unwrap_or(usize::MAX));
    max.unwrap_or(ROW_BYTES_DEFAULT).min(ROW_BYTES_MAX)
}

pub(super) fn large_rows(asked: i32) -> Result<LargeRows, ErrorDetail> {
    match v1::LargeRows::try_from(asked) {
        Ok(v1::LargeRows::Unspecified | v1::LargeRows::Refuse) => Ok(LargeRows::Refuse),
        Ok(v1::LargeRows::OmitValue) => Ok(LargeRows::OmitValue),
        Err(_) => Err(unknown("large_rows", asked)),
    }
}

pub(super) fn range(keys: Option<Keys>) -> Result<Range, ErrorDetail> {
    match keys {
        None => Ok(Range::ALL),
        Some(Keys::Prefix(prefix)) => Ok(keys::Keys::Prefix(prefix.into()).into()),
        Some(Keys::Range(range)) => key_range(range),
    }
}

pub(super) fn selected(selector: &KeySelector) -> Result<Range, ErrorDetail> {
    match selector.keys.clone() {
        Some(Selected::Key(key)) => Ok(keys::Keys::Key(key.into()).into()),
        Some(Selected::Prefix(prefix)) => Ok(keys::Keys::Prefix(prefix.into()).into()),
        Some(Selected::Range(range)) => key_range(range),
        None => {
            let what_to_do = "set key, prefix or range, or leave the selector out for all keys";
            Err(error::invalid_request("a selector names no keys", what_to_do))
        }
    }
}

fn key_range(KeyRange { start, end }: KeyRange) -> Result<Range, ErrorDetail> {
    if end.as_ref().is_some_and(|end| *end < start) {
        return Err(error::invalid_range());
    }
    Ok(Range { start: start.into(), end: end.map(Vec::from) })
}

/// Returns a pause between messages: 0 is `default_ms`.
pub(super) fn pause(asked_ms: u32, default_ms: u32) -> Duration {
    let ms = match asked_ms {
        0 => default_ms,
        asked_ms => asked_ms.max(PAUSE_MIN_MS),
    };
    Duration::from_millis(ms.into())
}

/// Returns how long a write may wait for the log; none: as long as the log's client tries.
pub(super) fn write_wait(
    wait_ms_max: Option<u64>,
    deadline: CallDeadline,
) -> Result<Option<Duration>, ErrorDetail> {
    match wait_ms_max {
        Some(0) => Err(error::invalid_request(
            "wait_ms_max is 0, and a write takes time",
            "give the milliseconds that the write may take, or leave it out",
        )),
        Some(_) | None => Ok(deadline.bound(wait_ms_max)),
    }
}

/// When a write is answered. `unasked`: where its caller does not ask for either.
pub(super) fn ack(asked: i32, unasked: Ack) -> Result<Ack, ErrorDetail> {
    match v1::Ack::try_from(asked) {
        Ok(v1::Ack::Unspecified) => Ok(unasked),
        Ok(v1::Ack::Log) => Ok(Ack::Log),
        Ok(v1::Ack::Applied) => Ok(Ack::Applied),
        Err(_) => Err(unknown("ack", asked)),
    }
}

/// A value of an enum that has come after this node.
fn unknown(field: &str, value: i32) -> ErrorDetail {
    let message = format!("{field} {value} is not known to this node");
    error::invalid_request(message, "use a value of outrigger.v1, or a newer node")
}

pub(super) fn change(item: WriteItem, limits: &Limits) -> Result<Change, ErrorDetail> {
    match item.action {
        Some(Action::Put(value)) => put(item.key, value, limits),
        Some(Action::Delete(v1::Tombstone {})) => delete(item.key, limits),
        None => Err(error::invalid_request("the item has no action", "set put or delete")),
    }
}

pub(super) fn put(key: Bytes, value: Bytes, limits: &Limits) -> Result<Change, ErrorDetail> {
    check_key(&key, limits)?;
    if value.len() > limits.value_bytes_max {
        return Err(error::value_too_large(value.len(), limits.value_bytes_max));
    }
    Ok(Change { key, value: Some(value) })
}

pub(super) fn delete(key: Bytes, limits: &Limits) -> Result<Change, ErrorDetail> {
    check_key(&key, limits)?;
    Ok(Change { key, value: None })
}

fn check_key(key: &Bytes, limits: &Limits) -> Result<(), ErrorDetail> {
    if key.len() > limits.key_bytes_max {
        Err(error::key_too_large(key.len(), limits.key_bytes_max))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use outrigger_proto::v1::{Level, Reason};

    use super::*;

    const TOPIC: TopicId = TopicId([7; 16]);

    fn gate(partitions: usize) -> Gate {
        Gate { topic: Some(TOPIC), positions: vec![Offset(100); partitions], ..Gate::closed() }
    }

    fn wire_token(topic: &[u8], positions: &[(u32, u64, Option<u32>)]) -> v1::Token {
        let position = |&(partition, position, leader_epoch): &(u32, u64, Option<u32>)| {
            v1::PartitionPosition { partition, position, leader_epoch }
        };
        v1::Token {
            topic_id: Bytes::copy_from_slice(topic),
            positions: positions.iter().map(position).collect(),
        }
    }

    fn options(level: Level, token: Option<v1::Token>) -> Option<ReadOptions> {
        Some(ReadOptions { level: level.into(), token, ..ReadOptions::default() })
    }

    fn reason(result: Result<Read, ErrorDetail>) -> Reason {
        let detail = result.expect_err("a wrong request");
        assert!(!detail.message.is_empty() && !detail.what_to_do.is_empty(), "{detail:?}");
        assert!(!detail.may_have_happened);
        detail.reason()
    }

    #[test]
    fn each_level_is_the_cores() {
        let here = Token {
            topic: TOPIC,
            positions: vec![(Offset(5), Some(Epoch(2))), (Offset::ZERO, None)],
        };
        let wire = wire_token(&[7; 16], &[(0, 5, Some(2))]);
        let table = [
            (None, None, ReadLevel::Local),
            (options(Level::Unspecified, None), None, ReadLevel::Local),
            (options(Level::Local, None), None, ReadLevel::Local),
            (options(Level::Stale, None), None, ReadLevel::Stale),
            (options(Level::Latest, None), None, ReadLevel::Latest),
            (options(Level::Latest, Some(wire.clone())), Some(here.clone()), ReadLevel::Latest),
            (options(Level::AtLeast, Some(wire)), None, ReadLevel::AtLeast(here)),
        ];
        for (options, first, level) in table {
            let Read { demand, .. } =
                read(options.as_ref(), None, &gate(2)).expect("a right request");
            assert_eq!((demand.first, demand.level), (first, level), "{options:?}");
        }
    }

    #[test]
    fn a_level_and_a_token_that_contradict_are_refused() {
        let token = Some(wire_token(&[7; 16], &[]));
        for level in [Level::Unspecified, Level::Local, Level::Stale] {
            assert_eq!(
                reason(read(options(level, token.clone()).as_ref(), None, &gate(1))),
                Reason::InvalidRequest
            );
        }
        assert_eq!(
            reason(read(options(Level::AtLeast, None).as_ref(), None, &gate(1))),
            Reason::InvalidRequest
        );
        let later = ReadOptions { level: 99, ..ReadOptions::default() };
        assert_eq!(reason(read(Some(&later), None, &gate(1))), Reason::InvalidRequest);
    }

    #[test]
    fn a_token_that_is_none_is_refused_by_name() {
        let table = [
            (wire_token(b"", &[]), Reason::TokenInvalid),
            (wire_token(b"fifteen bytes!!", &[]), Reason::TokenInvalid),
            (wire_token(&[7; 16], &[(0, 1, None), (0, 2, None)]), Reason::TokenInvalid),
            (wire_token(&[7; 16], &[(2, 1, None)]), Reason::TokenInvalid),
            (wire_token(&[7; 16], &[(u32::MAX, 1, None)]), Reason::TokenInvalid),
            (wire_token(&[7; 16], &[(0, POSITION_MAX + 1, None)]), Reason::TokenInvalid),
            (wire_token(&[8; 16], &[(5, 1, None)]), Reason::TokenOfAnotherTopic),
        ];
        for (token, expected) in table {
            assert_eq!(
                reason(read(options(Level::AtLeast, Some(token.clone())).as_ref(), None, &gate(2))),
                expected,
                "{token:?}"
            );
        }
    }

    #[test]
    fn before_the_topic_is_known_a_token_waits_for_the_gates_word() {
        let token = wire_token(&[7; 16], &[(u32::MAX, 1, None)]);
        let Read { demand, .. } =
            read(options(Level::AtLeast, Some(token)).as_ref(), None, &Gate::closed())
                .expect("well formed");
        assert_eq!(demand.level, ReadLevel::AtLeast(Token { topic: TOPIC, positions: Vec::new() }));
    }

    #[test]
    fn a_token_survives_the_way_out_and_in() {
        let positions =
            vec![(Offset(5), Some(Epoch(2))), (Offset::ZERO, None), (Offset(POSITION_MAX), None)];
        let before = Token { topic: TOPIC, positions };
        assert_eq!(core_token(&token(&before), &gate(3)), Ok(before));
    }

    /// A partition that is made up for a point would be gone on with as if nothing had been told of it.
    #[test]
    fn a_point_is_of_the_partitions_that_it_names_and_of_none_where_one_is_left_out() {
        let named = |positions: &[(u32, u64, Option<u32>)]| {
            let token = Some(wire_token(&[7; 16], positions));
            let point = core_point(&v1::WatchPoint { token, confirmed_at_ms: 9 });
            point.map(|point| point.token.positions).map_err(|detail| detail.reason())
        };
        let two = Ok(vec![(Offset(5), Some(Epoch(2))), (Offset(7), None)]);
        assert_eq!(named(&[(0, 5, Some(2)), (1, 7, None)]), two);
        assert_eq!(named(&[(1, 7, None), (0, 5, Some(2))]), two);
        assert_eq!(named(&[(0, 7, None)]), Ok(vec![(Offset(7), None)]));
        assert_eq!(named(&[(1, 7, None)]), Ok(vec![]));
        assert_eq!(named(&[(0, 5, None), (u32::MAX, 7, None)]), Ok(vec![]));
        assert_eq!(named(&[(0, 5, None), (0, 5, None)]), Err(Reason::TokenInvalid));
        assert_eq!(named(&[(0, POSITION_MAX + 1, None)]), Err(Reason::TokenInvalid));
    }

    #[test]
    fn a_prefix_is_the_range_of_its_keys() {
        let table: [(&[u8], Option<&[u8]>); 5] = [
            (b"", None),
            (b"a", Some(b"b")),
            (b"a\xff", Some(b"b")),
            (b"a\xfe\xff\xff", Some(b"a\xff")),
            (b"\xff\xff", None),
        ];
        for (prefix, end) in table {
            let range = range(Some(Keys::Prefix(Bytes::from_static(prefix))))
                .expect("every prefix is legal");
            assert_eq!((&range.start[..], range.end.as_deref()), (prefix, end), "{prefix:?}");
        }
    }

    #[test]
    fn a_range_may_be_empty_or_open_but_not_backwards() {
        let keys = |start: &'static [u8], end: Option<&'static [u8]>| {
            Some(Keys::Range(KeyRange { start: start.into(), end: end.map(Bytes::from_static) }))
        };
        assert!(
            range(None).is_ok()
                && range(keys(b"a", None)).is_ok()
                && range(keys(b"a", Some(b"a"))).is_ok()
        );
        let refused = range(keys(b"b", Some(b"a"))).expect_err("it ends before it starts");
        assert_eq!(refused.reason(), Reason::InvalidRange);
        let empty_end =
            range(keys(b"a", Some(b""))).expect_err("an empty end is before every other key");
        assert_eq!(empty_end.reason(), Reason::InvalidRange);
    }

    #[test]
    fn a_write_up_to_the_limits_is_accepted_and_one_byte_more_is_not() {
        let limits = Limits { key_bytes_max: 3, value_bytes_max: 4, ..Limits::PRODUCTION };
        let bytes = |count: usize| Bytes::from(vec![b'x'; count]);
        assert!(put(bytes(3), bytes(4), &limits).is_ok() && delete(bytes(3), &limits).is_ok());
        let reason = |result: Result<Change, ErrorDetail>| result.expect_err("too large").reason();
        assert_eq!(reason(put(bytes(4), bytes(0), &limits)), Reason::KeyTooLarge);
        assert_eq!(reason(delete(bytes(4), &limits)), Reason::KeyTooLarge);
        assert_eq!(reason(put(bytes(0), bytes(5), &limits)), Reason::ValueTooLarge);
    }

    #[test]
    fn an_empty_value_is_not_a_delete() {
        let limits = Limits::PRODUCTION;
        let empty = |action| change(WriteItem { key: Bytes::new(), action }, &limits);
        let put = empty(Some(Action::Put(Bytes::new()))).expect("legal");
        assert_eq!(put, Change { key: Bytes::new(), value: Some(Bytes::new()) });
        let delete = empty(Some(Action::Delete(v1::Tombstone {}))).expect("legal");
        assert_eq!(delete, Change { key: Bytes::new(), value: None });
        assert_eq!(empty(None).expect_err("no action").reason(), Reason::InvalidRequest);
    }
}
