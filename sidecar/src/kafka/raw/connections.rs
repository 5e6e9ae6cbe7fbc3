//! Whether a client reaches any broker, as librdkafka tells it of each connection.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Mutex, PoisonError};

use rdkafka::bindings as rd;

use super::text;

type Back = Box<dyn Fn() + Send + Sync>;

/// What is known of one client's connections. It outlives the client.
pub(in crate::kafka) struct Connections {
    /// Locked for a look or a change of one broker; `back` is called without it.
    state: Mutex<State>,
    /// A thread of librdkafka calls it when the first broker is reached again: it must neither block nor panic.
    back: Back,
}

#[derive(Default)]
struct State {
    up: BTreeSet<(String, u16)>,
    /// Whether a connection failed since a broker was last up. An idle connection that a broker closed is no sign of an
    /// outage: librdkafka connects again when it has something to send.
    failed: bool,
}

const INTERCEPTOR: &CStr = c"outrigger-connections";

impl Connections {
    pub(in crate::kafka) fn new(back: impl Fn() + Send + Sync + 'static) -> Connections {
        Connections { state: Mutex::default(), back: Box::new(back) }
    }

    /// Whether no broker is connected, and none could be.
    pub(in crate::kafka) fn away(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failed && state.up.is_empty()
    }

    /// Notes a broker's new state; `state` is librdkafka's name of it.
    fn note(&self, broker: (String, u16), state: &[u8]) {
        let back = {
            let mut known = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let was_away = known.failed && known.up.is_empty();
            match state {
                b"UP" => {
                    known.up.insert(broker);
                    known.failed = false;
                }
                b"DOWN" => known.failed |= !known.up.remove(&broker),
                // It is on its way to one of these.
                _ => {}
            }
            was_away && !known.up.is_empty()
        };
        if back {
            (self.back)();
        }
    }

    /// Makes every client of this configuration tell `self`, which must outlive it.
    ///
    /// # Safety
    /// `conf` is a live configuration.
    pub(super) unsafe fn watch(&self, conf: *mut rd::rd_kafka_conf_t) {
        let opaque = std::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the configuration is live by this function's contract, the name is a C string, and whoever calls
        // keeps `self` for longer than the client.
        let added = unsafe {
            rd::rd_kafka_conf_interceptor_add_on_new(
                conf,
                INTERCEPTOR.as_ptr(),
                Some(on_new),
                opaque,
            )
        };
        assert!(added == OK, "an interceptor needs only memory and a name of its own: {added:?}");
    }
}

const OK: rd::rd_kafka_resp_err_t = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

unsafe extern "C" fn on_new(
    client: *mut rd::rd_kafka_t,
    _conf: *const rd::rd_kafka_conf_t,
    opaque: *mut c_void,
    _error: *mut c_char,
    _error_bytes: usize,
) -> rd::rd_kafka_resp_err_t {
    // SAFETY: librdkafka calls this with the client that begins, and `watch` gave the pointer.
    unsafe {
        rd::rd_kafka_interceptor_add_on_broker_state_change(
            client,
            INTERCEPTOR.as_ptr(),
            Some(on_broker_state_change),
            opaque,
        )
    }
}

unsafe extern "C" fn on_broker_state_change(
    _client: *mut rd::rd_kafka_t,
    _broker: i32,
    _protocol: *const c_char,
    name: *const c_char,
    port: c_int,
    state: *const c_char,
    opaque: *mut c_void,
) -> rd::rd_kafka_resp_err_t {
    // SAFETY: `watch` gave a pointer to `Connections` that outlive the client, which calls this; its texts live
    // for this call.
    let (connections, name, state) =
        unsafe { (&*opaque.cast::<Connections>().cast_const(), text(name), text(state)) };
    // librdkafka's own broker, which holds what has no leader, is no connection.
    if let Ok(port @ 1..) = u16::try_from(port) {
        connections.note((name, port), state.as_bytes());
    }
    OK
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn away_is_what_could_not_be_reached_and_not_what_was_idle() {
        let times = Arc::new(AtomicU32::new(0));
        let told = Arc::clone(&times);
        let connections = Connections::new(move || {
            told.fetch_add(1, Ordering::Relaxed);
        });
        let note = |broker: &str, state: &str| {
            connections.note((broker.to_owned(), 9092), state.as_bytes());
            (connections.away(), times.load(Ordering::Relaxed))
        };
        assert_eq!(note("a", "TRY_CONNECT"), (false, 0), "nothing failed yet");
        assert_eq!(note("a", "DOWN"), (true, 0));
        assert_eq!(note("b", "UP"), (false, 1));
        assert_eq!(note("a", "DOWN"), (false, 1));
        assert_eq!(note("a", "UP"), (false, 1), "it was not away");
        assert_eq!(note("b", "DOWN"), (false, 1));
        assert_eq!(note("a", "DOWN"), (false, 1), "closed, and not tried again");
        assert_eq!(note("a", "CONNECT"), (false, 1));
        assert_eq!(note("a", "DOWN"), (true, 1));
        assert_eq!(note("a", "UP"), (false, 2));
    }
}
