//! A librdkafka client and its handles to topics.

use std::ffi::{CStr, CString, c_int, c_void};
use std::ops::ControlFlow;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use outrigger_core::offset::{Epoch, Offset, Partition};
use rdkafka::bindings as rd;

use super::connections::Connections;
use super::event;
use super::message::{self, Message};
use super::queue::Queue;
use super::{Code, ErrorText, ffi};

/// The setting that names the brokers to begin with.
const BOOTSTRAP: &str = "bootstrap.servers";

/// What a client is for. Admin requests work on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kafka) enum Kind {
    Producer,
    Consumer,
}

#[derive(Debug, thiserror::Error)]
pub(in crate::kafka) enum ClientError {
    #[error("setting {name:?}: {detail}")]
    Setting { name: String, detail: String },
    #[error("{0}")]
    Start(String),
}

/// The client itself; every handle into it keeps it alive, so that it goes last.
pub(super) struct Handle {
    client: NonNull<rd::rd_kafka_t>,
    /// The brokers that it began with.
    bootstrap: CString,
    /// The client's threads call it, so that it goes after them.
    _connections: Option<Arc<Connections>>,
}

// SAFETY: a librdkafka client is made to be called from any number of threads.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_t {
        self.client.as_ptr()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the last handle goes, so nothing of this client is used any more. The flag only
        // spares the goodbye to a consumer group, which we are never in.
        unsafe {
            rd::rd_kafka_destroy_flags(self.as_ptr(), rd::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
        }
    }
}

#[derive(Clone)]
pub(in crate::kafka) struct Client {
    handle: Arc<Handle>,
}

impl Client {
    /// Starts the client's threads; they connect in the background.
    pub(in crate::kafka) fn new(
        kind: Kind,
        settings: &[(String, String)],
    ) -> Result<Client, ClientError> {
        Client::start(kind, settings, None)
    }

    /// As `new`; its connections are told to `connections`.
    pub(in crate::kafka) fn watched(
        kind: Kind,
        settings: &[(String, String)],
        connections: Arc<Connections>,
    ) -> Result<Client, ClientError> {
        Client::start(kind, settings, Some(connections))
    }

    fn start(
        kind: Kind,
        settings: &[(String, String)],
        connections: Option<Arc<Connections>>,
    ) -> Result<Client, ClientError> {
        let conf = Conf::new(settings)?;
        if let Some(connections) = &connections {
            // SAFETY: the configuration is live, and the client's handle keeps the connections until it is gone.
            unsafe { connections.watch(conf.0.as_ptr()) };
        }
        let named = settings.iter().rev().find(|(name, _)| name == BOOTSTRAP);
        let bootstrap = named.map(|(_, brokers)| brokers.as_str()).unwrap_or_default();
        let bootstrap = CString::new(bootstrap).expect("a setting that was taken has no zero byte");
        let kind = match kind {
            Kind::Producer => rd::rd_kafka_type_t::RD_KAFKA_PRODUCER,
            Kind::Consumer => rd::rd_kafka_type_t::RD_KAFKA_CONSUMER,
        };
        let mut error = ErrorText::new();
        let (buffer, length) = error.parts();
        // SAFETY: the configuration is live, and the buffer has the length that is named.
        let rk = unsafe { rd::rd_kafka_new(kind, conf.0.as_ptr(), buffer, length) };
        let rk = NonNull::new(rk).ok_or_else(|| ClientError::Start(error.text()))?;
        // A client that started owns its configuration.
        std::mem::forget(conf);
        let handle = Handle { client: rk, bootstrap, _connections: connections };
        let client = Client { handle: Arc::new(handle) };
        // SAFETY: the client is live; no queue means its main queue, where `event` reads the log.
        unsafe { rd::rd_kafka_set_log_queue(client.as_ptr(), ptr::null_mut()) };
        client.renew_tokens();
        Ok(client)
    }

    /// librdkafka renews the tokens of OAUTHBEARER where their events are served, which is done by a thread of its own:
    /// no queue of ours knows how. Other mechanisms have no such queue, and nothing is done.
    fn renew_tokens(&self) {
        // SAFETY: the client is live; the answer is null, or one reference for us to free.
        let queue = unsafe { rd::rd_kafka_queue_get_sasl(self.as_ptr()) };
        let Some(queue) = NonNull::new(queue) else { return };
        drop(Queue::from_owned(self.handle(), queue.as_ptr()));
        // SAFETY: the client is live, and the answer is ours.
        let enabled = unsafe {
            event::take_error(rd::rd_kafka_sasl_background_callbacks_enable(self.as_ptr()))
        };
        enabled.expect("a client with such a queue gets the thread that serves it");
    }

    /// Gives the client the brokers again that it began with; those that it has stay.
    ///
    /// A broker may tell of a cluster in which nobody is up, as one does for a moment that comes back from a long pause.
    /// librdkafka then forgets every broker, and asks nobody ever again (librdkafka #5301).
    pub(in crate::kafka) fn begin_again(&self) {
        // SAFETY: client and text are live; librdkafka copies what it keeps.
        unsafe { rd::rd_kafka_brokers_add(self.as_ptr(), self.handle.bootstrap.as_ptr()) };
    }

    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_t {
        self.handle.as_ptr()
    }

    pub(super) fn handle(&self) -> Arc<Handle> {
        Arc::clone(&self.handle)
    }

    /// The queue where the client's own events arrive: errors, its log, deliveries.
    pub(in crate::kafka) fn main_queue(&self) -> Queue {
        // SAFETY: the client is live; the answer is one reference for us to free.
        let queue = unsafe { rd::rd_kafka_queue_get_main(self.as_ptr()) };
        Queue::from_owned(self.handle(), queue)
    }

    pub(in crate::kafka) fn new_queue(&self) -> Queue {
        // SAFETY: the client is live; the answer is one reference for us to free.
        let queue = unsafe { rd::rd_kafka_queue_new(self.as_ptr()) };
        Queue::from_owned(self.handle(), queue)
    }

    pub(in crate::kafka) fn topic(&self, name: &CStr) -> Topic {
        // SAFETY: the client is live and the name is a C string; no configuration means the client's.
        let topic =
            unsafe { rd::rd_kafka_topic_new(self.as_ptr(), name.as_ptr(), ptr::null_mut()) };
        let topic = NonNull::new(topic).expect("a topic handle needs only memory and a short name");
        Topic { topic, name: name.to_owned(), handle: self.handle() }
    }

    /// The error that this client met and cannot recover from: from then on it refuses everything.
    pub(in crate::kafka) fn fatal_error(&self) -> Option<Code> {
        // SAFETY: the client is live; the text is not wanted, so its buffer has no length.
        let code = unsafe { ffi::rd_kafka_fatal_error(self.as_ptr(), ptr::null_mut(), 0) };
        (code != 0).then_some(Code(code))
    }

    /// Gives up every record that is not acknowledged yet: each gets its delivery, on the main queue.
    pub(in crate::kafka) fn purge(&self) {
        let flags = rd::RD_KAFKA_PURGE_F_QUEUE
            | rd::RD_KAFKA_PURGE_F_INFLIGHT
            | rd::RD_KAFKA_PURGE_F_NON_BLOCKING;
        // SAFETY: the client is live.
        let _refused_for_a_consumer_only = unsafe { rd::rd_kafka_purge(self.as_ptr(), flags) };
    }
}

#[cfg(test)]
impl Client {
    /// Breaks the client as if librdkafka had met an error that it cannot recover from.
    pub(in crate::kafka) fn break_fatally(&self, code: Code) {
        // SAFETY: the client is live and the reason is a C string.
        unsafe {
            ffi::rd_kafka_test_fatal_error(self.as_ptr(), code.0, c"a test broke it".as_ptr());
        }
    }
}

/// A record that is handed over. `ticket` comes back with its delivery.
#[derive(Clone, Copy, Debug)]
pub(in crate::kafka) struct NewMessage<'a> {
    pub(in crate::kafka) key: &'a [u8],
    pub(in crate::kafka) value: Option<&'a [u8]>,
    pub(in crate::kafka) ticket: usize,
}

impl NewMessage<'_> {
    fn raw(self) -> rd::rd_kafka_message_t {
        let (payload, len) = match self.value {
            Some(value) => (value.as_ptr().cast_mut(), value.len()),
            None => (ptr::null_mut(), 0),
        };
        rd::rd_kafka_message_t {
            err: rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
            rkt: ptr::null_mut(),
            partition: 0,
            payload: payload.cast(),
            len,
            key: self.key.as_ptr().cast_mut().cast(),
            key_len: self.key.len(),
            offset: 0,
            _private: ptr::without_provenance_mut::<c_void>(self.ticket),
        }
    }
}

/// A topic as a client knows it.
pub(in crate::kafka) struct Topic {
    topic: NonNull<rd::rd_kafka_topic_t>,
    name: CString,
    handle: Arc<Handle>,
}

// SAFETY: topic handles may be used from any thread, as the client they belong to.
unsafe impl Send for Topic {}

impl Topic {
    /// Hands over copies of these, in order; each ticket comes back with its delivery. Returns those that were not
    /// taken: they are in no log. All are handed over at once, so that the client's thread, which is woken by the
    /// first, finds all of them.
    pub(in crate::kafka) fn produce<'a>(
        &self,
        partition: Partition,
        messages: impl Iterator<Item = NewMessage<'a>>,
    ) -> Vec<(usize, Code)> {
        let mut messages: Vec<_> = messages.map(NewMessage::raw).collect();
        let count = c_int::try_from(messages.len()).expect("so many are never there at once");
        // SAFETY: the topic is live, and so many messages are there; what they point to lives for `'a`, and is read,
        // for the copies, during this call only.
        unsafe {
            rd::rd_kafka_produce_batch(
                self.topic.as_ptr(),
                signed(partition),
                rd::RD_KAFKA_MSG_F_COPY,
                messages.as_mut_ptr(),
                count,
            )
        };
        let refused = messages.iter().filter_map(|message| {
            // SAFETY: live. The code is read as a number, for it may be one that the enum lacks.
            let code = Code(unsafe { (&raw const message.err).cast::<i32>().read() });
            (code != Code::NONE).then(|| (message._private.addr(), code))
        });
        refused.collect()
    }

    /// Starts reading into `queue`, at a position whose epoch is not checked: `seek` does that.
    pub(in crate::kafka) fn start(
        &self,
        partition: Partition,
        at: Offset,
        queue: &Queue,
    ) -> Result<(), Code> {
        // SAFETY: topic and queue are live and of the same client.
        let answer = unsafe {
            rd::rd_kafka_consume_start_queue(
                self.topic.as_ptr(),
                signed(partition),
                signed_offset(at),
                queue.as_ptr(),
            )
        };
        if answer == 0 { Ok(()) } else { Err(Code::last()) }
    }

    /// Hands what has arrived of a started partition to `take`, until that breaks, at most
    /// `consume.callback.max.messages`; false when nothing came within `timeout`. What is taken makes room for the next
    /// fetch. It avoids the reader's queue, which librdkafka would empty all at once, and fetch anew.
    pub(in crate::kafka) fn take<F>(&self, partition: Partition, timeout: Duration, take: F) -> bool
    where
        F: FnMut(Message<'_>) -> ControlFlow<()>,
    {
        let timeout = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        let mut taking = Taking { take, client: self.handle.as_ptr() };
        // SAFETY: the topic is live; `taking` outlives the call, which alone uses it, by `taken` for the same type.
        let count = unsafe {
            rd::rd_kafka_consume_callback(
                self.topic.as_ptr(),
                signed(partition),
                timeout,
                Some(taken::<F>),
                (&raw mut taking).cast(),
            )
        };
        count > 0
    }

    /// Stops reading. What was fetched under this assignment never reaches a queue started later.
    pub(in crate::kafka) fn stop(&self, partition: Partition) -> Result<(), Code> {
        // SAFETY: the topic is live.
        let answer = unsafe { rd::rd_kafka_consume_stop(self.topic.as_ptr(), signed(partition)) };
        if answer == 0 { Ok(()) } else { Err(Code::last()) }
    }

    /// Moves a started partition. With an epoch, the leader is asked first whether this position is
    /// in its history (KIP-320); only a seek asks every time, a start does so at its own discretion.
    pub(in crate::kafka) fn seek(
        &self,
        partition: Partition,
        at: Offset,
        epoch: Option<Epoch>,
    ) -> Result<(), Code> {
        let list = Partitions::new(1);
        let entry = list.add(&self.name, partition, signed_offset(at));
        if let Some(epoch) = epoch {
            let epoch = i32::try_from(epoch.0).expect("Kafka counts epochs in 31 bits");
            // SAFETY: the entry is live as long as its list, which is not grown any more.
            unsafe { rd::rd_kafka_topic_partition_set_leader_epoch(entry, epoch) };
        }
        // SAFETY: client and list are live; no waiting, so only the arguments can be refused.
        let error = unsafe { rd::rd_kafka_seek_partitions(self.handle.as_ptr(), list.as_ptr(), 0) };
        // SAFETY: the answer is ours.
        unsafe { event::take_error(error) }
    }

    /// High watermark that the newest fetch brought; none when that fetch failed or there was none.
    pub(in crate::kafka) fn fetched_high_watermark(&self, partition: Partition) -> Option<Offset> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: client and name are live, the numbers outlive the call. A failure leaves them as they are.
        unsafe {
            rd::rd_kafka_get_watermark_offsets(
                self.handle.as_ptr(),
                self.name.as_ptr(),
                signed(partition),
                &raw mut low,
                &raw mut high,
            )
        };
        u64::try_from(high).ok().map(Offset)
    }

    /// Epoch of the last record or control record below the position that the application has read to. It is right only
    /// for a reader that uses `take`: librdkafka's batches count an end as a record of epoch 0.
    pub(in crate::kafka) fn epoch_read(&self, partition: Partition) -> Option<Epoch> {
        let list = Partitions::new(1);
        let entry = list.add(&self.name, partition, -1);
        // SAFETY: client and list are live; the entry is as long as its list.
        let epoch = unsafe {
            rd::rd_kafka_position(self.handle.as_ptr(), list.as_ptr());
            rd::rd_kafka_topic_partition_get_leader_epoch(entry)
        };
        u32::try_from(epoch).ok().map(Epoch)
    }
}

struct Taking<F> {
    take: F,
    client: *mut rd::rd_kafka_t,
}

/// # Safety
/// The message is live, and `taking` points to a `Taking<F>` that nobody else uses.
unsafe extern "C" fn taken<F>(message: *mut rd::rd_kafka_message_t, taking: *mut c_void)
where
    F: FnMut(Message<'_>) -> ControlFlow<()>,
{
    // SAFETY: by contract; what is seen of the message does not outlive this call.
    unsafe {
        let taking = &mut *taking.cast::<Taking<F>>();
        if (taking.take)(message::view(NonNull::new_unchecked(message))).is_break() {
            rd::rd_kafka_yield(taking.client);
        }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: our reference, used for the last time.
        unsafe { rd::rd_kafka_topic_destroy(self.topic.as_ptr()) }
    }
}

/// A list of partitions with offsets, as several calls take it.
pub(super) struct Partitions(NonNull<rd::rd_kafka_topic_partition_list_t>);

impl Partitions {
    pub(super) fn new(capacity: usize) -> Partitions {
        let capacity = c_int::try_from(capacity).expect("Kafka counts partitions in 31 bits");
        // SAFETY: takes a number, answers a list for us to free.
        let list = unsafe { rd::rd_kafka_topic_partition_list_new(capacity) };
        Partitions(NonNull::new(list).expect("librdkafka aborts when memory ends"))
    }

    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    pub(super) fn add(
        &self,
        topic: &CStr,
        partition: Partition,
        offset: i64,
    ) -> *mut rd::rd_kafka_topic_partition_t {
        // SAFETY: list and name are live; the entry is inside the list, which nobody else reads yet.
        unsafe {
            let entry = rd::rd_kafka_topic_partition_list_add(
                self.as_ptr(),
                topic.as_ptr(),
                signed(partition),
            );
            (*entry).offset = offset;
            entry
        }
    }
}

impl Drop for Partitions {
    fn drop(&mut self) {
        // SAFETY: ours, used for the last time.
        unsafe { rd::rd_kafka_topic_partition_list_destroy(self.as_ptr()) }
    }
}

struct Conf(NonNull<rd::rd_kafka_conf_t>);

impl Conf {
    fn new(settings: &[(String, String)]) -> Result<Conf, ClientError> {
        // SAFETY: answers a configuration for us to free.
        let conf = unsafe { rd::rd_kafka_conf_new() };
        let conf = Conf(NonNull::new(conf).expect("librdkafka aborts when memory ends"));
        for (name, value) in settings {
            conf.set(name, value)?;
        }
        let events = rd::RD_KAFKA_EVENT_DR
            | rd::RD_KAFKA_EVENT_ERROR
            | rd::RD_KAFKA_EVENT_LOG
            | rd::RD_KAFKA_EVENT_STATS;
        // SAFETY: the configuration is live.
        unsafe {
            rd::rd_kafka_conf_set_events(conf.0.as_ptr(), events);
            rd::rd_kafka_conf_enable_sasl_queue(conf.0.as_ptr(), 1);
        }
        Ok(conf)
    }

    fn set(&self, name: &str, value: &str) -> Result<(), ClientError> {
        let refused = |detail: String| ClientError::Setting { name: name.to_owned(), detail };
        let no_zero = |_| refused("a zero byte inside".to_owned());
        let c_name = CString::new(name).map_err(no_zero)?;
        let c_value = CString::new(value).map_err(no_zero)?;
        let mut error = ErrorText::new();
        let (buffer, length) = error.parts();
        // SAFETY: everything is live, and the buffer has the length that is named.
        let answer = unsafe {
            rd::rd_kafka_conf_set(
                self.0.as_ptr(),
                c_name.as_ptr(),
                c_value.as_ptr(),
                buffer,
                length,
            )
        };
        match answer {
            rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK => Ok(()),
            rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_INVALID
            | rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_UNKNOWN => Err(refused(error.text())),
        }
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        // SAFETY: ours; a client that took it over has made us forget it.
        unsafe { rd::rd_kafka_conf_destroy(self.0.as_ptr()) }
    }
}

pub(super) fn signed(partition: Partition) -> i32 {
    i32::try_from(partition.0).expect("Kafka counts partitions in 31 bits")
}

fn signed_offset(offset: Offset) -> i64 {
    i64::try_from(offset.0).expect("Kafka's offsets are below 2^63")
}
