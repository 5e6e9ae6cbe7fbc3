//! librdkafka where its Rust wrapper has no word for what we need. The only `unsafe` of this crate's Kafka side.
//!
//! It owns every pointer: a value of this module frees what it stands for, and keeps the client alive that it belongs
//! to. Promises plain Rust values to the outside, error codes as numbers. Must not know what a store, a batch or a log
//! event is.

mod admin;
mod client;
mod connections;
mod event;
mod ffi;
mod groups;
mod message;
mod queue;
#[cfg(test)]
mod tests;

pub(super) use admin::{
    ClusterDescription, Configured, ListedOffset, NewTopic, OffsetSpec, Timeout, TopicDescription,
};
pub(super) use client::{Client, ClientError, Kind, NewMessage, Topic};
pub(super) use connections::Connections;
pub(super) use event::{Deliveries, Delivery, Event};
pub(super) use groups::GroupAnswer;
pub(super) use message::Message;
pub(super) use queue::Queue;

use std::ffi::{CStr, c_char, c_int};

/// `rd_kafka_resp_err_t` as a number: negative is librdkafka's own, positive is the broker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Code(pub(super) i32);

impl Code {
    pub(super) const NONE: Code = Code(0);
    pub(super) const BAD_MSG: Code = Code(-199);
    pub(super) const DESTROY: Code = Code(-197);
    /// Used where nothing better fits: an answer lacks what was asked for.
    pub(super) const FAIL: Code = Code(-196);
    pub(super) const TRANSPORT: Code = Code(-195);
    pub(super) const ALL_BROKERS_DOWN: Code = Code(-187);
    pub(super) const PARTITION_EOF: Code = Code(-191);
    pub(super) const SSL: Code = Code(-181);
    pub(super) const AUTHENTICATION: Code = Code(-169);
    pub(super) const TIMED_OUT: Code = Code(-185);
    /// Answer to a question for offsets: no leader is known.
    pub(super) const NOENT: Code = Code(-156);
    pub(super) const LEADER_NOT_AVAILABLE: Code = Code(5);
    pub(super) const NO_OFFSET: Code = Code(-168);
    pub(super) const FATAL: Code = Code(-150);
    pub(super) const AUTO_OFFSET_RESET: Code = Code(-140);
    pub(super) const MSG_SIZE_TOO_LARGE: Code = Code(10);
    pub(super) const COORDINATOR_LOAD_IN_PROGRESS: Code = Code(14);
    pub(super) const COORDINATOR_NOT_AVAILABLE: Code = Code(15);
    pub(super) const NOT_COORDINATOR: Code = Code(16);
    pub(super) const UNKNOWN_MEMBER_ID: Code = Code(25);
    pub(super) const REBALANCE_IN_PROGRESS: Code = Code(27);
    pub(super) const TOPIC_AUTHORIZATION_FAILED: Code = Code(29);
    pub(super) const GROUP_AUTHORIZATION_FAILED: Code = Code(30);
    pub(super) const TOPIC_ALREADY_EXISTS: Code = Code(36);
    pub(super) const INVALID_REPLICATION_FACTOR: Code = Code(38);
    pub(super) const NON_EMPTY_GROUP: Code = Code(68);
    pub(super) const GROUP_ID_NOT_FOUND: Code = Code(69);
    pub(super) const GROUP_SUBSCRIBED_TO_TOPIC: Code = Code(86);

    /// Its name, such as `NOT_LEADER_OR_FOLLOWER`, or `ERR_1234?` for one that librdkafka does not know.
    pub(super) fn name(self) -> String {
        // SAFETY: takes any number and answers a string that lives as long as the thread's next call.
        unsafe { text(ffi::rd_kafka_err2name(c_int::from(self.0))) }
    }

    /// Why the last call of this thread failed.
    fn last() -> Code {
        // SAFETY: reads a thread-local number.
        Code(unsafe { ffi::rd_kafka_last_error() })
    }
}

/// Copies a C string; null becomes an empty one.
///
/// # Safety
/// `string` is null or a C string that lives for this call.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: not null, and a C string by this function's contract.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// A buffer for the texts that librdkafka writes about what it refuses.
struct ErrorText([c_char; 512]);

impl ErrorText {
    fn new() -> ErrorText {
        ErrorText([0; 512])
    }

    fn parts(&mut self) -> (*mut c_char, usize) {
        (self.0.as_mut_ptr(), self.0.len())
    }

    fn text(&self) -> String {
        // SAFETY: zeroed at first, and librdkafka ends what it writes with a zero inside the length it is given.
        unsafe { text(self.0.as_ptr()) }
    }
}
