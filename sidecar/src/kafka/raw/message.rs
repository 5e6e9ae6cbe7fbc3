//! What arrives for an assigned partition, message by message.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::slice;

use outrigger_core::offset::{Epoch, Offset};
use rdkafka::bindings as rd;

use super::{Code, text};

/// A message that is borrowed from librdkafka while it is looked at.
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
    /// `offset`: the offset that the error is about, where it says so.
    Fault {
        code: Code,
        offset: Option<Offset>,
        text: String,
    },
}

/// # Safety
/// The message lives for `'a`.
pub(super) unsafe fn view<'a>(message: NonNull<rd::rd_kafka_message_t>) -> Message<'a> {
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
