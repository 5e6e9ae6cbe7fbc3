//! What a client reports on a queue, read out of librdkafka's event into plain values.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_int};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use outrigger_core::offset::{Offset, Partition};
use rdkafka::bindings as rd;

use super::admin::{self, ListedOffset, TopicDescription};
use super::groups::{self, GroupAnswer};
use super::{Code, ffi, text};

/// `tag` is what the request was given.
pub(in crate::kafka) enum Event<'a> {
    Deliveries(Deliveries<'a>),
    /// With `Code::FATAL` this client does not work any more.
    Error {
        code: Code,
        text: String,
    },
    /// `level` is syslog's.
    Log {
        level: i32,
        facility: String,
        text: String,
    },
    /// JSON, as librdkafka's STATISTICS.md tells.
    Statistics(String),
    Topic {
        tag: usize,
        answer: Result<TopicDescription, Code>,
    },
    Configs {
        tag: usize,
        answer: Result<BTreeMap<String, String>, Code>,
    },
    Offsets {
        tag: usize,
        answer: Result<Vec<ListedOffset>, Code>,
    },
    Created {
        answer: Result<(), (Code, String)>,
    },
    /// The answer to a question about consumer groups.
    Group {
        tag: usize,
        answer: Result<GroupAnswer, Code>,
    },
}

/// How one record that `Topic::produce` took ended.
#[derive(Clone, Copy, Debug)]
pub(in crate::kafka) struct Delivery {
    pub(in crate::kafka) ticket: usize,
    pub(in crate::kafka) code: Code,
    /// The message's status is NOT_PERSISTED.
    pub(in crate::kafka) not_persisted: bool,
    pub(in crate::kafka) partition: Partition,
    /// None after an error, and after an acknowledgement that did not say the offset.
    pub(in crate::kafka) offset: Option<Offset>,
}

pub(in crate::kafka) struct Deliveries<'a> {
    event: *mut rd::rd_kafka_event_t,
    alive: PhantomData<&'a ()>,
}

impl Iterator for Deliveries<'_> {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        // SAFETY: the event outlives `'_`; a message lives as long as its event.
        unsafe {
            let message = rd::rd_kafka_event_message_next(self.event);
            (!message.is_null()).then(|| delivery(message))
        }
    }
}

/// # Safety
/// `message` is a delivery report that lives for this call.
unsafe fn delivery(message: *const rd::rd_kafka_message_t) -> Delivery {
    // SAFETY: live by contract. The code is read as a number, for it may be one that the enum lacks.
    unsafe {
        let status = rd::rd_kafka_message_status(message);
        Delivery {
            ticket: (*message)._private.addr(),
            code: Code((&raw const (*message).err).cast::<i32>().read()),
            not_persisted: status == rd::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED,
            partition: Partition(u32::try_from((*message).partition).unwrap_or(0)),
            offset: u64::try_from((*message).offset).ok().map(Offset),
        }
    }
}

/// Hands `event` to `take` and frees it; false when it is none.
pub(super) fn read(event: *mut rd::rd_kafka_event_t, mut take: impl FnMut(Event<'_>)) -> bool {
    let Some(owned) = NonNull::new(event).map(OwnedEvent) else { return false };
    // SAFETY: the event lives until the end of this function, and so until `take` is done.
    if let Some(event) = unsafe { owned.view() } {
        take(event);
    }
    true
}

struct OwnedEvent(NonNull<rd::rd_kafka_event_t>);

impl OwnedEvent {
    /// # Safety
    /// The answer is not used after `self` is freed.
    unsafe fn view(&self) -> Option<Event<'_>> {
        let event = self.0.as_ptr();
        // SAFETY: live; each reader is called for the type of event that it reads.
        unsafe {
            let tag = rd::rd_kafka_event_opaque(event).addr();
            Some(match rd::rd_kafka_event_type(event) {
                rd::RD_KAFKA_EVENT_DR => {
                    Event::Deliveries(Deliveries { event, alive: PhantomData })
                }
                rd::RD_KAFKA_EVENT_ERROR => error(event),
                rd::RD_KAFKA_EVENT_LOG => log(event)?,
                rd::RD_KAFKA_EVENT_STATS => {
                    Event::Statistics(text(rd::rd_kafka_event_stats(event)))
                }
                rd::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT => {
                    Event::Topic { tag, answer: checked(event, admin::topic_result) }
                }
                rd::RD_KAFKA_EVENT_DESCRIBECONFIGS_RESULT => {
                    Event::Configs { tag, answer: checked(event, admin::configs_result) }
                }
                rd::RD_KAFKA_EVENT_LISTOFFSETS_RESULT => {
                    Event::Offsets { tag, answer: checked(event, admin::offsets_result) }
                }
                rd::RD_KAFKA_EVENT_CREATETOPICS_RESULT => Event::Created { answer: created(event) },
                rd::RD_KAFKA_EVENT_ALTERCONSUMERGROUPOFFSETS_RESULT => {
                    Event::Group { tag, answer: checked(event, groups::altered_result) }
                }
                rd::RD_KAFKA_EVENT_LISTCONSUMERGROUPOFFSETS_RESULT => {
                    Event::Group { tag, answer: checked(event, groups::offsets_result) }
                }
                rd::RD_KAFKA_EVENT_LISTCONSUMERGROUPS_RESULT => {
                    Event::Group { tag, answer: checked(event, groups::groups_result) }
                }
                rd::RD_KAFKA_EVENT_DELETECONSUMERGROUPOFFSETS_RESULT => {
                    Event::Group { tag, answer: checked(event, groups::deleted_result) }
                }
                _ => return None,
            })
        }
    }
}

impl Drop for OwnedEvent {
    fn drop(&mut self) {
        // SAFETY: ours, used for the last time.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// # Safety
/// `event` is live and `read` reads its type.
unsafe fn checked<T>(
    event: *mut rd::rd_kafka_event_t,
    read: unsafe fn(*mut rd::rd_kafka_event_t) -> Result<T, Code>,
) -> Result<T, Code> {
    // SAFETY: by contract.
    unsafe {
        match Code(ffi::rd_kafka_event_error(event)) {
            Code::NONE => read(event),
            code => Err(code),
        }
    }
}

/// # Safety
/// `event` is a live result of `create_topic`.
unsafe fn created(event: *mut rd::rd_kafka_event_t) -> Result<(), (Code, String)> {
    // SAFETY: by contract.
    unsafe {
        match Code(ffi::rd_kafka_event_error(event)) {
            Code::NONE => admin::created_result(event),
            code => Err((code, text(rd::rd_kafka_event_error_string(event)))),
        }
    }
}

/// # Safety
/// `event` is a live error.
unsafe fn error(event: *mut rd::rd_kafka_event_t) -> Event<'static> {
    // SAFETY: by contract.
    unsafe {
        let fatal = rd::rd_kafka_event_error_is_fatal(event) != 0;
        let code = if fatal { Code::FATAL } else { Code(ffi::rd_kafka_event_error(event)) };
        Event::Error { code, text: text(rd::rd_kafka_event_error_string(event)) }
    }
}

/// # Safety
/// `event` is a live log line.
unsafe fn log(event: *mut rd::rd_kafka_event_t) -> Option<Event<'static>> {
    let (mut facility, mut line): (*const c_char, *const c_char) = (ptr::null(), ptr::null());
    let mut level: c_int = 0;
    // SAFETY: by contract; the strings live as long as the event.
    unsafe {
        let answer =
            rd::rd_kafka_event_log(event, &raw mut facility, &raw mut line, &raw mut level);
        (answer == 0).then(|| Event::Log { level, facility: text(facility), text: text(line) })
    }
}

/// The result of a call that returns an error to be freed, or null.
///
/// # Safety
/// `error` is null or the caller's to free.
pub(super) unsafe fn take_error(error: *mut rd::rd_kafka_error_t) -> Result<(), Code> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: by contract, and not used afterwards.
    unsafe {
        let code = Code(ffi::rd_kafka_error_code(error));
        rd::rd_kafka_error_destroy(error);
        Err(code)
    }
}
