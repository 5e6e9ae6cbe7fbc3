//! The functions of librdkafka that return an error code, declared with a number for it.
//!
//! The generated bindings return a Rust enum, which a code of a newer broker would make undefined.

use std::ffi::{c_char, c_int};

use rdkafka::bindings::{
    rd_kafka_ConfigResource_t, rd_kafka_error_t, rd_kafka_event_t, rd_kafka_metadata as Metadata,
    rd_kafka_t, rd_kafka_topic_result_t, rd_kafka_topic_t,
};

unsafe extern "C" {
    pub(super) fn rd_kafka_err2name(code: c_int) -> *const c_char;
    pub(super) fn rd_kafka_last_error() -> c_int;
    pub(super) fn rd_kafka_fatal_error(
        client: *mut rd_kafka_t,
        text: *mut c_char,
        length: usize,
    ) -> c_int;
    #[cfg(test)]
    pub(super) fn rd_kafka_test_fatal_error(
        client: *mut rd_kafka_t,
        code: c_int,
        reason: *const c_char,
    ) -> c_int;
    pub(super) fn rd_kafka_metadata(
        client: *mut rd_kafka_t,
        all_topics: c_int,
        only: *mut rd_kafka_topic_t,
        metadata: *mut *const Metadata,
        timeout_ms: c_int,
    ) -> c_int;
    pub(super) fn rd_kafka_event_error(event: *mut rd_kafka_event_t) -> c_int;
    pub(super) fn rd_kafka_error_code(error: *const rd_kafka_error_t) -> c_int;
    pub(super) fn rd_kafka_ConfigResource_error(
        resource: *const rd_kafka_ConfigResource_t,
    ) -> c_int;
    pub(super) fn rd_kafka_topic_result_error(result: *const rd_kafka_topic_result_t) -> c_int;
}
