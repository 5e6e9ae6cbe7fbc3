//! A queue of librdkafka that tells when it stops being empty.

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;

use super::client::Handle;
use super::event::{self, Event};

type Wake = Box<dyn Fn() + Send + Sync>;

pub(in crate::kafka) struct Queue {
    queue: NonNull<rd::rd_kafka_queue_t>,
    /// librdkafka calls it; it is boxed twice, so that a thin pointer to it stays where it is.
    wake: Option<Box<Wake>>,
    _client: Arc<Handle>,
}

// SAFETY: queues may be used from any thread; `wake` is Send and Sync by its type.
unsafe impl Send for Queue {}

impl Queue {
    pub(super) fn from_owned(client: Arc<Handle>, queue: *mut rd::rd_kafka_queue_t) -> Queue {
        let queue = NonNull::new(queue).expect("librdkafka aborts when memory ends");
        Queue { queue, wake: None, _client: client }
    }

    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// Calls `wake` once, and from now on whenever something arrives in the empty queue, by a thread of
    /// librdkafka that holds the queue's lock: it must neither block, nor panic, nor read the queue.
    ///
    /// What is in the queue already, such as a warning of the client's start, never arrives in an empty
    /// one: without the first call nobody would take it, and so nothing that comes after it.
    pub(in crate::kafka) fn wake_with(mut self, wake: impl Fn() + Send + Sync + 'static) -> Queue {
        let wake: Box<Wake> = Box::new(Box::new(wake));
        let opaque = ptr::from_ref::<Wake>(&wake).cast_mut().cast();
        // SAFETY: the queue is live, and `drop` takes the callback away before `wake` goes.
        unsafe { rd::rd_kafka_queue_cb_event_enable(self.as_ptr(), Some(call_wake), opaque) };
        wake();
        self.wake = Some(wake);
        self
    }

    #[cfg(test)]
    fn length(&self) -> usize {
        // SAFETY: the queue is live.
        unsafe { rd::rd_kafka_queue_length(self.as_ptr()) }
    }

    /// Hands the next event to `take`; false when none came within `timeout`.
    pub(in crate::kafka) fn poll(&self, timeout: Duration, take: impl FnMut(Event<'_>)) -> bool {
        let timeout = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the queue is live; the answer is an event for us to free.
        let event = unsafe { rd::rd_kafka_queue_poll(self.as_ptr(), timeout) };
        event::read(event, take)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is live. Taking the callback away waits for the queue's lock, under which
        // it is called: afterwards nobody calls `wake`, which is freed after this.
        unsafe {
            if self.wake.is_some() {
                rd::rd_kafka_queue_cb_event_enable(self.as_ptr(), None, ptr::null_mut());
            }
            rd::rd_kafka_queue_destroy(self.as_ptr());
        }
    }
}

unsafe extern "C" fn call_wake(_client: *mut rd::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `wake_with` gave a pointer to a `Wake` that outlives the callback's registration.
    let wake = unsafe { &*opaque.cast::<Wake>().cast_const() };
    wake();
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::kafka::raw::{Client, Kind, Timeout};

    #[test]
    fn who_sleeps_until_a_queue_wakes_hears_everything_also_of_before() {
        // This is a setting of the other kind of client: librdkafka warns of it while the client starts.
        let settings =
            [("log.queue", "true"), ("group.id", "any"), ("bootstrap.servers", "127.0.0.1:1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let client = Client::new(Kind::Producer, &settings).unwrap();
        let queue = client.main_queue();
        assert!(queue.length() > 0, "the warning waits");
        let (waker, woken) = mpsc::channel();
        let queue = queue.wake_with(move || waker.send(()).unwrap());

        client.describe_topic(c"any", 0, Timeout(Duration::from_millis(100)), &queue);

        let (mut warned, mut answered) = (false, false);
        while !answered {
            woken.recv_timeout(Duration::from_secs(20)).expect("the queue wakes its reader");
            while queue.poll(Duration::ZERO, |event| {
                warned |= matches!(event, Event::Log { .. });
                answered |= matches!(event, Event::Topic { .. });
            }) {}
        }
        assert!(warned);
    }
}
