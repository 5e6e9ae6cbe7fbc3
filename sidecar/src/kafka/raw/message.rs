//! What arrives for one assigned partition, message by message.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::slice;
use std::time::Duration;

use outrigger_core::offset::{Epoch, Offset};
use rdkafka::bindings as rd;

use super::queue::Queue;
use super::{Code, text};

/// Borrowed from the queue until the next one is taken.
#[derive(Debug)]
pub(in crate::kafka) enum Message<'a> {
    Record {
        offset: Offset,
        epoch: Option<Epoch>,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
    },
    /// The end of what may be read: everything below this position has been looked at.
    End {
        position: Offset,
    },
    /// `offset`: what the error speaks of, where it says so.
    Fault {
        code: Code,
        offset: Option<Offset>,
        text: String,
    },
}

/// The queue of one assignment. Taking a message is what makes room for the next fetch.
pub(in crate::kafka) struct PartitionQueue {
    /// Freed before the queue, and that before the client.
    current: Option<Taken>,
    queue: Queue,
}

struct Taken(NonNull<rd::rd_kafka_message_t>);

// SAFETY: a message may be read and freed by any one thread.
unsafe impl Send for Taken {}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: ours, used for the last time, while its client lives.
        unsafe { rd::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

impl PartitionQueue {
    pub(in crate::kafka) fn new(queue: Queue) -> PartitionQueue {
        PartitionQueue { current: None, queue }
    }

    /// The next message, when one is there now. One by one on purpose: a batch would step over
    /// control records without their epoch, see `Topic::epoch_read`.
    pub(in crate::kafka) fn next(&mut self) -> Option<Message<'_>> {
        self.next_within(Duration::ZERO)
    }

    /// The same, waiting for it.
    pub(in crate::kafka) fn next_within(&mut self, timeout: Duration) -> Option<Message<'_>> {
        let timeout = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        self.current = None;
        // SAFETY: the queue is live; the answer is a message for us to free.
        let message = unsafe { rd::rd_kafka_consume_queue(self.queue.as_ptr(), timeout) };
        let message = NonNull::new(message)?;
        self.current = Some(Taken(message));
        // SAFETY: the message lives in `current` until the next call, which needs `self` alone.
        Some(unsafe { view(message) })
    }
}

/// # Safety
/// The message lives for `'a`.
unsafe fn view<'a>(message: NonNull<rd::rd_kafka_message_t>) -> Message<'a> {
    let message = message.as_ptr();
    // SAFETY: live by contract. The code is read as a number, for it may be one that the enum lacks.
    let code = Code(unsafe { (&raw const (*message).err).cast::<i32>().read() });
    // SAFETY: live by contract.
    let (offset, payload, length) =
        unsafe { ((*message).offset, (*message).payload, (*message).len) };
    let offset = u64::try_from(offset).ok().map(Offset);
    match (code, offset) {
        // SAFETY: live by contract; key and payload are buffers of the named lengths or null.
        (Code::NONE, Some(offset)) => unsafe {
            Message::Record {
                offset,
                epoch: u32::try_from(rd::rd_kafka_message_leader_epoch(message)).ok().map(Epoch),
                key: bytes((*message).key, (*message).key_len),
                value: bytes(payload, length),
            }
        },
        (Code::PARTITION_EOF, Some(position)) => Message::End { position },
        (Code::NONE, None) => Message::Fault {
            code: Code::BAD_MSG,
            offset: None,
            text: "a record without an offset".to_owned(),
        },
        // SAFETY: the payload of an error is its text as a C string.
        (code, offset) => Message::Fault { code, offset, text: unsafe { text(payload.cast()) } },
    }
}

/// # Safety
/// `start` is null or begins `length` bytes that live for `'a`.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: not null here, and as long as the contract says.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), length) })
}
